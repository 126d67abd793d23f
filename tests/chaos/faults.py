"""What can be done to a cluster, as facts.

Owns their shapes. Must not know how they are done.
"""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class Hole:
    """Links to Redis swallow everything: of all replicas or of one, both ways or only the answers, all links or only the feed's."""

    of: Literal["all", "one"]
    links: Literal["all", "feed"] = "all"
    is_one_way: bool = False


@dataclass(frozen=True, slots=True)
class CutStore:
    """The links to Redis are reset."""

    of: Literal["all", "one"]


@dataclass(frozen=True, slots=True)
class LoseReply:
    """Redis has run the script, and the replica never hears what came of it."""


@dataclass(frozen=True, slots=True)
class SlowStore:
    """The links to Redis delay everything."""

    delay_s: float


@dataclass(frozen=True, slots=True)
class FreezeRedis:
    """SIGSTOP, then SIGCONT."""


@dataclass(frozen=True, slots=True)
class RestartRedis:
    """SIGKILL and a start. `keeps`: everything, all but the tail of its append-only file, or nothing."""

    keeps: Literal["everything", "all but the tail", "nothing"]


@dataclass(frozen=True, slots=True)
class Command:
    """Somebody gives Redis this command."""

    words: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class FillRedis:
    """`maxmemory` is below what it holds, for a while."""


@dataclass(frozen=True, slots=True)
class DemoteRedis:
    """It becomes a replica of nobody who answers, and is promoted again: it refuses writes, and comes back as another incarnation."""


@dataclass(frozen=True, slots=True)
class OverflowFeeds:
    """Redis is told to bear little, and kills the feeds that a large event is for, by their output buffer."""


@dataclass(frozen=True, slots=True)
class SpoilKey:
    """One key of one session is deleted. `letter`: which. `is_replaced`: something of another type stands there for a while."""

    letter: Literal["m", "l", "d"]
    is_replaced: bool = False


@dataclass(frozen=True, slots=True)
class KillReplica:
    """SIGKILL; it is started again at once."""


@dataclass(frozen=True, slots=True)
class FreezeReplica:
    """SIGSTOP, then SIGCONT."""


@dataclass(frozen=True, slots=True)
class Lines:
    """A share of the clients' connections.

    cut: reset; tear: reset in the middle of a frame; orphan: the client is gone and the replica is not told; deaf: the client reads
    nothing; hole: silence both ways; slow: 1 Mbit/s with losses.
    """

    how: Literal["cut", "tear", "orphan", "deaf", "hole", "slow"]
    share: float


@dataclass(frozen=True, slots=True)
class FailOver:
    """The primary dies and its follower is promoted. `is_lagging`: the line between them was a black hole before, and nobody knew."""

    is_lagging: bool


@dataclass(frozen=True, slots=True)
class Sever:
    """The primary and one replica are parted from everybody else: there are two primaries, and both are written to."""


@dataclass(frozen=True, slots=True)
class MoveSlots:
    """So many sessions' slots move to other nodes while they are written to."""

    count: int


@dataclass(frozen=True, slots=True)
class StepClock:
    """The wall's time jumps for whom it is told, and jumps back."""

    of: Literal["redis", "replica"]
    seconds: float


Deed = (
    Hole
    | CutStore
    | LoseReply
    | SlowStore
    | FreezeRedis
    | RestartRedis
    | Command
    | FillRedis
    | DemoteRedis
    | OverflowFeeds
    | SpoilKey
    | KillReplica
    | FreezeReplica
    | Lines
    | FailOver
    | Sever
    | MoveSlots
    | StepClock
)
