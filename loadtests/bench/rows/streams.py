"""Server-sent events of one session to two hundred streams.

Owns the row and its bar. Must not know how a load works. The reference application hands an event from one coroutine to the others of
its process; the product takes it through the log.
"""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from functools import partial
from typing import Final

from loadtests.bench.bench import Bench, Row, Sides
from loadtests.bench.dialect import Dialect, PlainStreamDialect, StreamDialect
from loadtests.bench.loads.streams import stream
from loadtests.bench.outcome import Check, Sample
from loadtests.bench.scale import Scale
from loadtests.bench.server import Server
from loadtests.bench.store import Redis

STREAMS_AT_ONCE: Final = 200


async def _measure(server: Server, dialect: Dialect, store: Redis, scale: Scale) -> Sequence[Sample]:
    done = await stream(server, store, dialect, streams=STREAMS_AT_ONCE, seconds=scale.window_s)
    return [done.usage.sample(done.per_s, done.deliveries)]


@asynccontextmanager
async def _sides(bench: Bench) -> AsyncIterator[Sides]:
    with bench.store() as store, bench.ours(store) as ours, bench.plain() as plain:
        yield Sides(
            partial(_measure, ours, StreamDialect(), store, bench.scale),
            partial(_measure, plain, PlainStreamDialect(), store, bench.scale),
        )


STREAMS: Final = Row(
    "sse",
    f"{STREAMS_AT_ONCE} SSE streams of one session, fed as fast as they deliver",
    "plain StreamingResponse",
    (Check("sse-rate", "delivered", "events/s", "ours/theirs at least", 4.0, 10.0),),
    _sides,
)
