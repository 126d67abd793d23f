"""What the client's machine asks of its shell.

Owns the commands. Must not know sockets. A shell obeys them in order, and feeds nothing to the machine while it does.
"""

from dataclasses import dataclass

from anypod.client.types import Phase, Transport
from anypod.core.errors import AnypodError
from anypod.core.event import Receipt
from anypod.core.frames import (
    ClientFrame,
    CreatedFrame,
    ErrorFrame,
    Event,
    PresenceFrame,
    PublishFrame,
    ResetFrame,
    RestoredFrame,
    SignalFrame,
)


@dataclass(frozen=True, slots=True)
class AskCredential:
    """Answer with `CredentialGiven` or `CredentialFailed`. Not asked again before."""


@dataclass(frozen=True, slots=True)
class Open:
    """Open a link; answer with `Opened`, or with `ConnectionClosed` when that fails.

    `after` (None: from the start) and `fold` (None: as the replica likes) go into an SSE request.
    """

    link: int
    transport: Transport
    after: str | None = None
    fold: bool | None = None


@dataclass(frozen=True, slots=True)
class Send:
    """Write to a WebSocket link, in the order of these commands; with `payload` as a binary frame."""

    link: int
    frame: ClientFrame
    payload: bytes | None = None


@dataclass(frozen=True, slots=True)
class Post:
    """Publish by HTTP; answer with `Answered`. Closing a link does not call it back."""

    publish: PublishFrame
    payload: bytes | None = None


@dataclass(frozen=True, slots=True)
class Fetch:
    """Fetch the page after `after` (None: from the start) by long-poll; answer with `PageReceived`, or `ConnectionClosed` when it fails."""

    link: int
    after: str | None
    wait_s: int
    fold: bool | None = None


@dataclass(frozen=True, slots=True)
class Close:
    """Close a link, a WebSocket with 1000; nothing is answered, and what it still brings is ignored. `reason` is for people."""

    link: int
    reason: str


@dataclass(frozen=True, slots=True)
class Deliver:
    """Hand to the application, in order, never dropping one."""

    item: Event | ResetFrame


@dataclass(frozen=True, slots=True)
class Notify:
    """Something beside the log: presence, signals, the state at an attach, a refusal of what no caller waits for."""

    frame: SignalFrame | PresenceFrame | CreatedFrame | RestoredFrame | ErrorFrame


@dataclass(frozen=True, slots=True)
class Complete:
    """What became of a publish. Exactly once for each `Publish`."""

    id: str
    outcome: Receipt | AnypodError


@dataclass(frozen=True, slots=True)
class Show:
    """The phase has changed. After `stopped` nothing follows but settlements of new offers."""

    phase: Phase


@dataclass(frozen=True, slots=True)
class Wake:
    """Feed a `Tick` at this time. A later `Wake` stands in place of an earlier one; ticking too early or twice is harmless."""

    at: float


Command = AskCredential | Open | Send | Post | Fetch | Close | Deliver | Notify | Complete | Show | Wake
