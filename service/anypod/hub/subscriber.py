"""One attached transport, seen from the hub.

Owns how far the transport has been served while it is not live, and whether it takes more. Must not know which transport it is.

A *live* subscriber has no place of its own: it stands where its session stands, and gets whatever the feed brings. It falls
*behind* when its port takes no more, when it attaches, and when it asks for a replay; then `seq` and `cursor` say where it is.
"""

from enum import Enum, auto
from typing import TYPE_CHECKING, Final, Protocol

from anypod.auth import Principal
from anypod.core.cursor import After
from anypod.core.errors import AnypodError
from anypod.core.permits import Account
from anypod.hub.delivery import Batch

if TYPE_CHECKING:
    from anypod.hub.session import HubSession


class SubscriberPort(Protocol):
    """The transport's side. No call blocks; a port that is full says so by `Subscriber.pause`."""

    def deliver(self, batch: Batch) -> None:
        """Events, or the frames that open and end a replay around them, in order."""

    def send(self, frame: bytes) -> None:
        """One control frame."""

    def close(self, code: int, reason: str = "") -> None:
        """Say goodbye after what was sent before; a port that cannot be written to is aborted after a while."""

    def refuse(self, error: AnypodError) -> None:
        """The attachment does not come about."""

    def abort(self) -> None:
        """Give the connection up at once."""


class TalkingPort(SubscriberPort, Protocol):
    """Of a client that is listened to."""

    def hold(self, wait_s: float) -> None:
        """Read nothing more of it for so long."""


NEVER: Final = float("inf")  # in clock seconds
NO_FEATURES: Final = frozenset[str]()


class SubscriberPhase(Enum):
    OPENING = auto()
    BEHIND = auto()
    LIVE = auto()
    GONE = auto()


class Subscriber:
    """`cursor`: proof of the newest event served at or below `seq`; "" when none was (then nothing needs proof).

    `came_at`: when it attached. `ends_at`: when it is asked to come again. `paused_at`: when the port stopped taking more, None while it
    does. `heard_at`: when its client was last heard. `recovers_since`: when it came with a cursor, None once it is up to date. All in
    clock seconds. `replay_ref`: what the end of its replay repeats.
    `wanted`: where it asked to go while it was behind. `slot`: its place in the roster.
    """

    __slots__ = (
        "account",
        "author",
        "came_at",
        "cursor",
        "device",
        "ends_at",
        "features",
        "fold",
        "has_client_beats",
        "heard_at",
        "id",
        "is_replaying",
        "paused_at",
        "phase",
        "port",
        "principal",
        "recovers_since",
        "replay_ref",
        "seq",
        "session",
        "slot",
        "wanted",
    )

    def __init__(self, port: SubscriberPort, principal: Principal, subscriber_id: str, now: float, account: Account) -> None:
        self.account = account
        self.port = port
        self.principal = principal
        self.id = subscriber_id
        self.author: str = principal.subject
        self.device: str | None = None
        self.features: frozenset[str] = NO_FEATURES
        self.session: HubSession | None = None
        self.phase = SubscriberPhase.OPENING
        self.seq = 0
        self.cursor = ""
        self.fold = False
        self.has_client_beats = False
        self.came_at = now
        self.heard_at = now
        self.ends_at = NEVER
        self.paused_at: float | None = None
        self.is_replaying = False
        self.recovers_since: float | None = None
        self.replay_ref: str | int | None = None
        self.wanted: After | None = None
        self.slot = 0

    def stand_at(self, seq: int, cursor: str) -> None:
        self.seq = seq
        if cursor:
            self.cursor = cursor
