"""What happened in a world, as plain records in the order in which it happened.

Owns the records. Must not know the product's classes, nor what is right: the oracle does.

Records of the *truth* are written where the store commits, records of *clients* where an application would see them. Times
are virtual seconds. A cursor is the text that went over the wire; `frame` is the bytes of one event.
"""

from collections.abc import Callable
from typing import NamedTuple


# The truth: what the store did.
class Logged(NamedTuple):
    """The log took an event."""

    at: float
    session: str
    frame: bytes


class TailLost(NamedTuple):
    """A failover: everything after `head` is gone."""

    at: float
    session: str
    head: int


class Gone(NamedTuple):
    """The whole log is gone; what is written later is another life of it."""

    at: float
    session: str
    why: str


class Trimmed(NamedTuple):
    """Nothing below `oldest` is kept any longer."""

    at: float
    session: str
    oldest: int


class Folded(NamedTuple):
    """Deltas up to `through` are no longer kept."""

    at: float
    session: str
    through: int


class DeltasLost(NamedTuple):
    """Somebody took the deltas up to `through` away, those of open parts too."""

    at: float
    session: str
    through: int


class Fenced(NamedTuple):
    """A turn was taken over: `fence` is the attempt that may write from now on."""

    at: float
    session: str
    turn: str
    fence: int


class FinalLog(NamedTuple):
    """All that the store kept at the end."""

    at: float
    session: str
    frames: tuple[bytes, ...]


# A client, as its application sees it.
class Attempted(NamedTuple):
    """The application asked for a publish. `content`: what a repeated id must have in common, in one canonical form."""

    at: float
    session: str
    client: str
    id: str
    content: str


class Acknowledged(NamedTuple):
    at: float
    session: str
    client: str
    id: str
    content: str
    seq: int
    cursor: str


class Refused(NamedTuple):
    at: float
    session: str
    client: str
    id: str
    content: str
    code: str


class Started(NamedTuple):
    """An application begins, or begins again from what it stored: `after` and nothing of its memory."""

    at: float
    session: str
    client: str
    after: str | None


class Opened(NamedTuple):
    """A connection reached a replica, and what it asked for."""

    at: float
    session: str
    client: str
    connection: int
    replica: str
    after: str | None


class Asked(NamedTuple):
    """A connection was asked, by `sync` or by a heartbeat, for whatever comes after the cursor that the client had then."""

    at: float
    session: str
    client: str
    connection: int
    after: str


class Shut(NamedTuple):
    at: float
    session: str
    client: str
    connection: int
    code: int


class Received(NamedTuple):
    """An event came over a connection, whatever the client makes of it."""

    at: float
    session: str
    client: str
    connection: int
    frame: bytes


class Announced(NamedTuple):
    """The replica stated `folded`. `head` is where it says that the log stands; `base`: what it takes the client to have."""

    at: float
    session: str
    client: str
    connection: int
    folded: int
    head: str
    base: str | None = None


class Synced(NamedTuple):
    """`sync.done`: the replica says that nothing is missing up to `cursor`."""

    at: float
    session: str
    client: str
    connection: int
    cursor: str
    folded: int


class ResetSeen(NamedTuple):
    """What the client was told instead of events; it drops what it has after `common`, or everything.

    `head` and `oldest`: how the log stood when the replica read it, as the replica says.
    """

    at: float
    session: str
    client: str
    reason: str
    common: str | None
    head: str | None = None
    oldest: int = 1


class Applied(NamedTuple):
    """The application got an event."""

    at: float
    session: str
    client: str
    frame: bytes


class Vanished(NamedTuple):
    """The application was killed: nothing is asked of it any longer."""

    at: float
    session: str
    client: str


class Finished(NamedTuple):
    """The world was healed and had its time: the application stands at `cursor`; `unsettled` publishes were never answered."""

    at: float
    session: str
    client: str
    cursor: str | None
    unsettled: tuple[str, ...] = ()


# What was done to them.
class Disturbed(NamedTuple):
    """From here on promptness is not asked: of `client`, or of everybody when it is None."""

    at: float
    client: str | None
    what: str


class Calmed(NamedTuple):
    """The disturbance of the same `client` ends."""

    at: float
    client: str | None
    what: str


class Fault(NamedTuple):
    """Something was done to the world that excuses nobody by itself; for the reader of the story."""

    at: float
    what: str


Record = (
    Logged
    | TailLost
    | Gone
    | Trimmed
    | Folded
    | DeltasLost
    | Fenced
    | FinalLog
    | Attempted
    | Acknowledged
    | Refused
    | Started
    | Opened
    | Asked
    | Shut
    | Received
    | Announced
    | Synced
    | ResetSeen
    | Applied
    | Vanished
    | Finished
    | Disturbed
    | Calmed
    | Fault
)


class History:
    """Records in order. `now` gives virtual seconds."""

    def __init__(self, now: Callable[[], float]) -> None:
        self.now = now
        self.records: list[Record] = []
        self.note = self.records.append
        self._connections = 0

    def next_connection(self) -> int:
        self._connections += 1
        return self._connections
