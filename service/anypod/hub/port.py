"""What the hub asks of a transport, and how a transport says that it takes no more.

Owns the two sides of backpressure as protocols. Must not know any transport.

A port takes whatever it is given and never blocks. It tells its `Subscriber` how much it holds that its transport has not taken
(`Subscriber.note_unsent`): beyond its bound the subscriber is paused and falls behind, and it is given events again after
`Subscriber.resume`. Control frames are still sent to a paused one.
"""

from typing import Protocol

from anypod.core.errors import AnypodError
from anypod.hub.delivery import Batch


class SubscriberPort(Protocol):
    """The transport's side."""

    def deliver(self, batch: Batch) -> None:
        """Events, or the frames that open and end a replay around them, in order."""

    def send(self, frame: bytes) -> None:
        """One control frame."""

    def close(self, code: int, reason: str = "") -> None:
        """Close once everything that was sent before has left; a port that cannot be written to is aborted after a while."""

    def refuse(self, error: AnypodError) -> None:
        """The attachment is refused before it has opened."""

    def abort(self) -> None:
        """Give the connection up at once."""


class TalkingPort(SubscriberPort, Protocol):
    """The port of a bidirectional client."""

    def hold(self, wait_s: float) -> None:
        """Read nothing more from the client for so long."""
