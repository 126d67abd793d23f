"""From one replica to another.

Owns the row and its bars. Must not know how a load works. Both replicas share the server's core. Two nodes of Centrifugo stand beside
them for orientation.
"""

from collections.abc import AsyncIterator, Sequence
from contextlib import ExitStack, asynccontextmanager
from functools import partial
from typing import Final

from loadtests.bench.bench import Absent, Bench, Row, Sides, unless_absent
from loadtests.bench.connection import LoadError
from loadtests.bench.loads.crossing import cross
from loadtests.bench.outcome import Check, Sample
from loadtests.bench.scale import Scale
from loadtests.bench.server import Server
from loadtests.bench.store import Redis

RATE: Final = 1_000.0
PAIRS: Final = 50


async def _measure(nodes: Sequence[Server], store: Redis, scale: Scale) -> Sequence[Sample]:
    here, there = nodes
    done = await cross(here, there, store, pairs=PAIRS, rate=RATE, seconds=scale.window_s)
    if done.missing:
        raise LoadError(f"{done.missing} events did not arrive")
    return [done.usage.sample(done.p50_ms, done.deliveries), done.usage.sample(done.p99_ms, done.deliveries)]


@asynccontextmanager
async def _sides(bench: Bench) -> AsyncIterator[Sides]:
    with ExitStack() as stack:
        store = stack.enter_context(bench.store())
        ours = [stack.enter_context(bench.ours(store, f"replica-{number}")) for number in (1, 2)]
        nodes = [stack.enter_context(bench.theirs(store)) for _ in (1, 2)]
        absent = next((node for node in nodes if isinstance(node, Absent)), None)
        theirs = absent or [node for node in nodes if isinstance(node, Server)]
        yield Sides(partial(_measure, ours, store, bench.scale), unless_absent(theirs, _measure, store, bench.scale))


CROSSING: Final = Row(
    "crossing",
    f"{RATE:,.0f} events a second published on one replica and delivered by another",
    "Centrifugo",
    (
        Check("crossing-p50", "p50", "ms", "ours at most", 2.0, 1.0),
        Check("crossing-p99", "p99", "ms", "ours at most", 6.0, 3.0),
    ),
    _sides,
)
