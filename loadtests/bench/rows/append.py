"""The append inside Redis, without any replica.

Owns the row and its bars. Must not know the function.
"""

import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, closing
from typing import Final

from loadtests.bench.bench import Bench, Row, Sides
from loadtests.bench.loads import own_append
from loadtests.bench.loads.append import Appender, Cost, create_sessions
from loadtests.bench.outcome import Check, Sample
from loadtests.bench.source import Source
from loadtests.bench.store import Redis

SESSIONS: Final = 200
TOGETHER: Final = 16
AT_ONCE: Final = (1, TOGETHER)  # events a call, for each check


@asynccontextmanager
async def _sides(bench: Bench) -> AsyncIterator[Sides]:
    events = bench.scale.appended
    with bench.store() as store, closing(Appender(store)) as appender:

        async def ours() -> Sequence[Sample]:
            if bench.source:
                costs = _by_its_own_load(bench.source, store, events)
            else:
                costs = [appender.appended(await create_sessions(store, SESSIONS), events=events, at_once=at_once) for at_once in AT_ONCE]
            store.ask("FLUSHALL")
            return _samples(costs)

        async def theirs() -> Sequence[Sample]:
            costs = [appender.added(streams=SESSIONS, events=events, at_once=at_once) for at_once in AT_ONCE]
            store.ask("FLUSHALL")
            return _samples(costs)

        yield Sides(ours, theirs)


def _by_its_own_load(source: Source, store: Redis, events: int) -> Sequence[Cost]:
    printed = source.python(own_append.__file__, *map(str, (store.port, store.pid, SESSIONS, events, *AT_ONCE)))
    return [Cost(*figures) for figures in json.loads(printed)]


def _samples(costs: Sequence[Cost]) -> Sequence[Sample]:
    return [Sample(cost.thread_us, details={"within the command µs": cost.command_us}) for cost in costs]


APPEND: Final = Row(
    "append",
    f"appends to {SESSIONS} sessions: CPU of Redis' main thread an event",
    "plain XADD",
    (
        Check("append-1", "one event a call", "µs", "ours/theirs at most", 10.0, 7.0),
        Check("append-16", f"{TOGETHER} events a call", "µs", "ours/theirs at most", 5.5, 4.0),
    ),
    _sides,
)
