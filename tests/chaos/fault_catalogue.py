"""The fault matrix: what is done, for how long, and what it may cost.

Owns the table. Must not know how a row is carried out.
"""

from dataclasses import dataclass
from typing import Final, Literal

from tests.chaos.faults import (
    Command,
    CutStore,
    Deed,
    DemoteRedis,
    FailOver,
    FillRedis,
    FreezeRedis,
    FreezeReplica,
    Hole,
    KillReplica,
    Lines,
    LoseReply,
    MoveSlots,
    OverflowFeeds,
    RestartRedis,
    Sever,
    SlowStore,
    SpoilKey,
    StepClock,
)
from tests.chaos.wall_clock import MISSING, library

Part = Literal["redis", "replica", "lines"]  # what two rows at once may not both touch
Topology = Literal["single", "sentinel", "cluster"]
ANYWHERE: Final[frozenset[Topology]] = frozenset({"single", "sentinel", "cluster"})
NO_RESETS: Final[frozenset[str]] = frozenset()
REPLACED: Final = frozenset({"expired", "unknown", "deleted"})  # the log is another one
NO_SESSION: Final = frozenset({"no_such_session"})  # whoever attaches makes it anew; who only publishes does not
LOST_TAIL: Final = frozenset({"rolled_back"})


@dataclass(frozen=True, slots=True)
class Row:
    """`seconds`: how long, at least and at most. `allows`: reasons of resets that clients may be told. `refuses`: codes with which a
    publish may be refused for good. `logs`: parts of the ERROR lines that a replica may write. `impossible`: why it is skipped.
    `needs_clock`: one that can be stepped.
    """

    name: str
    part: Part
    deed: Deed
    seconds: tuple[float, float] = (0.0, 0.0)
    allows: frozenset[str] = NO_RESETS
    refuses: frozenset[str] = frozenset()
    logs: tuple[str, ...] = ()
    weight: float = 1.0
    topologies: frozenset[Topology] = ANYWHERE
    impossible: str = ""

    def why_skipped(self, topology: Topology) -> str:
        """Empty: it is not."""
        if topology not in self.topologies:
            return "needs " + " or ".join(sorted(self.topologies))
        if self.needs_clock and library() is None:
            return MISSING
        return self.impossible

    @property
    def needs_clock(self) -> bool:
        return isinstance(self.deed, StepClock)


SINGLE: Final[frozenset[Topology]] = frozenset({"single"})
SENTINEL: Final[frozenset[Topology]] = frozenset({"sentinel"})
CLUSTER: Final[frozenset[Topology]] = frozenset({"cluster"})
NOT_SENTINEL: Final = SINGLE | CLUSTER  # behind Sentinels a primary that dies is failed over, which has rows of its own
HOUR_S: Final = 3_600.0


ROWS: Final = (
    Row("redis-black-holed", "redis", Hole("all"), (2, 8)),
    Row("redis-black-holed-for-one-replica", "redis", Hole("one"), (2, 8)),
    Row("redis-answers-black-holed", "redis", Hole("one", is_one_way=True), (2, 8)),
    Row("pubsub-black-holed", "redis", Hole("all", "feed"), (2, 8)),
    Row("redis-links-reset", "redis", CutStore("all")),
    Row("redis-links-of-one-replica-reset", "redis", CutStore("one")),
    Row("redis-far-away", "redis", SlowStore(0.1), (2, 6)),
    Row("redis-stalled-2s", "redis", FreezeRedis(), (2, 2)),
    Row("redis-stalled-6s", "redis", FreezeRedis(), (6, 6)),
    Row("redis-stalled-20s", "redis", FreezeRedis(), (20, 20), weight=0.2),
    Row("reply-lost-after-the-script-ran", "redis", LoseReply()),
    Row("redis-restarted", "redis", RestartRedis("everything"), (0, 2), topologies=NOT_SENTINEL),
    Row("redis-restarted-empty", "redis", RestartRedis("nothing"), (0, 2), REPLACED, NO_SESSION, weight=0.5, topologies=SINGLE),
    Row("aof-tail-lost", "redis", RestartRedis("all but the tail"), (0, 2), LOST_TAIL, topologies=NOT_SENTINEL),
    Row("functions-flushed", "redis", Command(("FUNCTION", "FLUSH", "SYNC"))),
    Row("pubsub-clients-killed", "redis", Command(("CLIENT", "KILL", "TYPE", "pubsub"))),
    Row("redis-full", "redis", FillRedis(), (2, 5)),
    Row("redis-emptied-by-a-command", "redis", Command(("FLUSHALL",)), (0, 0), REPLACED, NO_SESSION, weight=0.5, topologies=SINGLE),
    Row("redis-demoted-while-in-use", "redis", DemoteRedis(), (1, 4), topologies=SINGLE),
    Row("feeds-killed-by-their-output-buffer", "redis", OverflowFeeds()),
    Row("one-key-of-a-session-gone", "redis", SpoilKey("m"), (0, 0), REPLACED, NO_SESSION),
    Row("one-key-of-another-type", "redis", SpoilKey("m", is_replaced=True), (1, 4), REPLACED, NO_SESSION),
    Row("a-sessions-stream-gone", "redis", SpoilKey("l"), (0, 0), frozenset({"trimmed"})),
    Row("a-sessions-deltas-gone", "redis", SpoilKey("d")),
    Row("a-sessions-deltas-of-another-type", "redis", SpoilKey("d", is_replaced=True), (1, 4)),
    Row("failed-over", "redis", FailOver(is_lagging=False), (0, 0), LOST_TAIL, topologies=SENTINEL),
    Row("failed-over-to-a-lagging-replica", "redis", FailOver(is_lagging=True), (1, 4), LOST_TAIL, topologies=SENTINEL),
    Row("split-in-two", "redis", Sever(), (2, 6), LOST_TAIL, topologies=SENTINEL),
    Row("a-slot-moved", "redis", MoveSlots(1), weight=1.5, topologies=CLUSTER),
    Row("slots-moved", "redis", MoveSlots(4), topologies=CLUSTER),
    Row("redis-clock-stepped-by-an-hour", "redis", StepClock("redis", HOUR_S), (1, 3), topologies=SINGLE),
    Row("replica-killed", "replica", KillReplica(), weight=1.5),
    Row("replica-out-of-memory", "replica", KillReplica(), weight=0.3),  # the kernel's answer to it is the same SIGKILL
    Row("replica-frozen-30s", "replica", FreezeReplica(), (30, 30), weight=0.2),
    Row("replica-loop-stalled-5s", "replica", FreezeReplica(), (5, 5)),
    Row("replica-clock-stepped-by-an-hour", "replica", StepClock("replica", HOUR_S), (1, 3)),
    Row("clients-cut", "lines", Lines("cut", 0.3), weight=1.5),
    Row("clients-cut-all-at-once", "lines", Lines("cut", 1.0)),
    Row("clients-cut-in-a-frame", "lines", Lines("tear", 0.3), (1, 2)),
    Row("clients-half-open", "lines", Lines("orphan", 0.2), (4, 8)),
    Row("clients-behind-a-black-hole", "lines", Lines("hole", 0.2), (2, 12)),
    Row("clients-never-reading", "lines", Lines("deaf", 0.2), (3, 8)),
    Row("clients-on-a-slow-line", "lines", Lines("slow", 0.3), (3, 8)),
)


def chosen(names: str, topology: Topology) -> tuple[list[Row], list[str]]:
    """The rows that are named, all when none is: those to play, and of the others why not. Raises KeyError for a name that is none."""
    by_name = {row.name: row for row in ROWS}
    wanted = [by_name[name] for name in names.split(",")] if names else list(ROWS)
    skipped = [f"{row.name} is skipped: {reason}" for row in wanted if (reason := row.why_skipped(topology))]
    return [row for row in wanted if not row.why_skipped(topology)], skipped
