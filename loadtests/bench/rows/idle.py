"""What clients cost that only listen.

Owns the two rows and their bars. Must not know how a load works. Centrifugo's memory stands beside ours for orientation.
"""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from functools import partial
from typing import Final

from loadtests.bench.bench import Absent, Bench, Row, Sides, unless_absent
from loadtests.bench.connection import LoadError
from loadtests.bench.dialect import Dialect, StreamDialect
from loadtests.bench.loads.idle import Idle, arrive, beat, leave
from loadtests.bench.outcome import Check, Sample
from loadtests.bench.scale import Scale
from loadtests.bench.server import Server
from loadtests.bench.store import Redis

INTERVAL_S: Final = 25.0
BEATING: Final = 10_000  # clients that the bar speaks of
HEARD_SHARE: Final = 0.5  # of the heartbeats that are due in a window: with fewer, something else is measured


async def _memory_of(server: Server, store: Redis, dialect: Dialect, clients: int) -> Sample:
    """On a server that has just been started: memory that was given back would be used again."""
    server.start()
    try:
        idle = await arrive(server, store, dialect, clients)
        await leave(idle)
    finally:
        server.stop()
    return idle.usage.sample(idle.bytes_each / 1024, clients, clients=float(clients))


async def _ours(server: Server, store: Redis, scale: Scale) -> Sequence[Sample]:
    return [await _memory_of(server, store, dialect, scale.idle) for dialect in (server.dialect, StreamDialect())]


async def _theirs(server: Server, store: Redis, scale: Scale) -> Sequence[Sample]:
    return [await _memory_of(server, store, server.dialect, scale.idle)]


@asynccontextmanager
async def _memory(bench: Bench) -> AsyncIterator[Sides]:
    with bench.pair() as (store, ours, theirs):
        ours.stop()
        if not isinstance(theirs, Absent):
            theirs.stop()
        yield Sides(partial(_ours, ours, store, bench.scale), unless_absent(theirs, _theirs, store, bench.scale))


@asynccontextmanager
async def _heartbeats(bench: Bench) -> AsyncIterator[Sides]:
    """All repetitions are of the same clients: together they are more than a whole turn of heartbeats."""
    scale = bench.scale
    interval_s = INTERVAL_S * scale.beating / BEATING  # fewer clients beat faster: as many heartbeats a second
    with bench.store() as store, bench.ours(store, heartbeat_ms_max=str(int(interval_s * 1000))) as ours:
        idle = await arrive(ours, store, ours.dialect, scale.beating)
        await asyncio.sleep(interval_s)  # who comes within a turn has its first heartbeat in the next one
        yield Sides(partial(_beats, ours, store, idle, interval_s=interval_s, seconds=scale.beat_s))
        await leave(idle)


async def _beats(server: Server, store: Redis, idle: Idle, *, interval_s: float, seconds: float) -> Sequence[Sample]:
    done = await beat(server, store, idle, interval_s=interval_s, seconds=seconds)
    if done.heard < HEARD_SHARE * done.sent:
        raise LoadError(f"only {done.heard} heartbeats came from the server, while {done.sent} were sent to it")
    usage = done.usage
    details = {
        "connections": float(len(idle.clients)),
        "interval s": interval_s,
        "in/s": done.sent / usage.seconds,
        "out/s": done.heard / usage.seconds,
    }
    return [usage.sample(usage.server_s / usage.seconds * 100, done.sent + done.heard, **details)]


MEMORY: Final = Row(
    "memory",
    "idle subscribers with a session each",
    "Centrifugo",
    (
        Check("memory-websocket", "a WebSocket", "KiB", "ours at most", 6.0, 3.0),
        Check("memory-sse", "an SSE stream", "KiB", "ours at most", 12.0, 6.0),
    ),
    _memory,
)
HEARTBEATS: Final = Row(
    "heartbeats",
    f"heartbeats both ways of {BEATING:,} connections at {INTERVAL_S:g} s, with a session each",
    "",
    (Check("heartbeats", "of a core", "%", "ours at most", 2.0, 0.8),),
    _heartbeats,
)
