"""The cost of letting somebody in.

Owns the row and its bar. Must not know how a load works. The reference application does less: it checks the credential in the
cheapest way and greets, while the product also finds the session, proves the place and opens the replay.
"""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from functools import partial
from typing import Final

from loadtests.bench.bench import Bench, Row, Sides
from loadtests.bench.connection import close_all
from loadtests.bench.loads.idle import accept
from loadtests.bench.loads.resume import seed
from loadtests.bench.outcome import Check, Sample
from loadtests.bench.scale import Scale
from loadtests.bench.server import Server
from loadtests.bench.store import Redis

SESSIONS: Final = 50


async def _ours(server: Server, store: Redis, scale: Scale) -> Sequence[Sample]:
    keepers, places = await seed(server, SESSIONS, 0)
    usage = await accept(server, store, [place.session for place in places], scale.accepts)
    close_all(keepers)
    return [usage.sample(usage.server_us(scale.accepts), scale.accepts)]


async def _plain(server: Server, store: Redis, scale: Scale) -> Sequence[Sample]:
    usage = await accept(server, store, ["any"], scale.accepts)
    return [usage.sample(usage.server_us(scale.accepts), scale.accepts)]


@asynccontextmanager
async def _sides(bench: Bench) -> AsyncIterator[Sides]:
    with bench.store() as store, bench.ours(store) as ours, bench.plain() as plain:
        yield Sides(partial(_ours, ours, store, bench.scale), partial(_plain, plain, store, bench.scale))


ACCEPT: Final = Row(
    "accept",
    "clients with new credentials attach to served sessions",
    "plain ASGI on uvicorn",
    (Check("accept-cpu", "server CPU a connection", "µs", "theirs/ours at least", 4.0, 7.0),),
    _sides,
)
