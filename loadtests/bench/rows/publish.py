"""Publishing, acknowledged: fifty connections with a session each.

Owns the two rows and their bars. Must not know how a load works. On both sides a publisher is not subscribed: what is measured is the way
into the log, and the fan-out measures the way out.
"""

from collections.abc import Sequence
from typing import Final

from loadtests.bench.bench import Row, beside_centrifugo
from loadtests.bench.loads.publish import publish
from loadtests.bench.outcome import Check, Sample
from loadtests.bench.scale import Scale
from loadtests.bench.server import Server
from loadtests.bench.store import Redis
from loadtests.bench.window import quantile

CONNECTIONS: Final = 50


async def _single(server: Server, store: Redis, scale: Scale) -> Sequence[Sample]:
    done = await publish(server, store, connections=CONNECTIONS, in_flight=1, seconds=scale.window_s)
    waits_ms = {f"p{share:.0%}".rstrip("%") + " ms": quantile(done.waits_s, share) * 1e3 for share in (0.5, 0.99)}
    cpu_us = done.usage.server_us(done.acknowledged)
    return [done.usage.sample(cpu_us, done.acknowledged, **{"publishes/s": done.per_s}, **waits_ms)]


async def _deep(server: Server, store: Redis, scale: Scale) -> Sequence[Sample]:
    done = await publish(server, store, connections=CONNECTIONS, in_flight=16, seconds=scale.window_s)
    cpu_us = done.usage.server_us(done.acknowledged)
    return [done.usage.sample(done.per_s, done.acknowledged), done.usage.sample(cpu_us, done.acknowledged)]


SINGLE: Final = Row(
    "publish-1",
    "50 publishers with 1 event in flight each",
    "Centrifugo",
    (Check("publish-1-cpu", "server CPU an event", "µs", "theirs/ours at least", 1.1, 1.5),),
    beside_centrifugo(_single),
)
DEEP: Final = Row(
    "publish-16",
    "50 publishers with 16 events in flight each",
    "Centrifugo",
    (
        Check("publish-16-rate", "acknowledged", "events/s", "ours/theirs at least", 1.8, 2.5),
        Check("publish-16-cpu", "server CPU an event", "µs", "theirs/ours at least", 2.5, 4.0),
    ),
    beside_centrifugo(_deep),
)
