"""Two hundred subscribers of one session, fifty of whom publish.

Owns the two rows, their bars and what counts as a sustained rate. Must not know how a load works.
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Final

from loadtests.bench.bench import Absent, Bench, Row, Sides, beside_centrifugo
from loadtests.bench.loads.fan_out import Delivered, fan_out
from loadtests.bench.outcome import Check, Sample
from loadtests.bench.rows.search import highest_good
from loadtests.bench.scale import Scale
from loadtests.bench.server import Server
from loadtests.bench.store import Redis

PUBLISHERS: Final = 50
SUBSCRIBERS: Final = 200
P99_MS_MAX: Final = 15.0
OFFERED_SHARE: Final = 0.98  # of the offered rate that the load must have managed to send
RATE_FIRST: Final = 4_000.0  # where the search begins
RATE_FIXED: Final = 3_000.0


def is_sustained(done: Delivered) -> bool:
    return done.missing == 0 and done.p99_ms <= P99_MS_MAX and done.sent >= OFFERED_SHARE * done.offered


def _sample(done: Delivered, value: float) -> Sample:
    details = {"publishes/s": done.sent, "p50 ms": done.p50_ms, "p99 ms": done.p99_ms, "missing": float(done.missing)}
    return done.usage.sample(value, done.deliveries, **details)


class Search:
    """Begins where it ended the last time."""

    def __init__(self, server: Server, store: Redis, scale: Scale) -> None:
        self._probe: Callable[[float], Awaitable[Delivered]] = lambda rate: fan_out(
            server, store, publishers=PUBLISHERS, subscribers=SUBSCRIBERS, rate=rate, seconds=scale.probe_s
        )
        self._first = RATE_FIRST

    async def __call__(self) -> Sequence[Sample]:
        found = await highest_good(self._probe, is_sustained, first=self._first)
        self._first = found.rate
        return [_sample(found.result, found.result.per_s)]


@asynccontextmanager
async def _searches(bench: Bench) -> AsyncIterator[Sides]:
    with bench.pair() as (store, ours, theirs):
        yield Sides(Search(ours, store, bench.scale), theirs if isinstance(theirs, Absent) else Search(theirs, store, bench.scale))


async def _latency(server: Server, store: Redis, scale: Scale) -> Sequence[Sample]:
    done = await fan_out(server, store, publishers=PUBLISHERS, subscribers=SUBSCRIBERS, rate=RATE_FIXED, seconds=scale.window_s)
    return [_sample(done, done.p99_ms)]


RATE: Final = Row(
    "fan-out-rate",
    f"{PUBLISHERS} publishers × {SUBSCRIBERS} subscribers: the highest rate with p99 ≤ {P99_MS_MAX:g} ms and nothing missing",
    "Centrifugo",
    (Check("fan-out-rate", "sustained", "deliveries/s", "ours/theirs at least", 1.5, 2.6),),
    _searches,
)
LATENCY: Final = Row(
    "fan-out-p99",
    f"{RATE_FIXED:,.0f} publishes a second × {SUBSCRIBERS} subscribers",
    "Centrifugo",
    (Check("fan-out-p99", "p99 of a delivery", "ms", "ours/theirs at most", 0.5, 0.2),),
    beside_centrifugo(_latency),
)
