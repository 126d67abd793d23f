"""A link falls silent, between a replica and its Redis or between a client and its replica.

Owns what is measured: the time until either end knows. Must not know how they find out.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tests.slo.bound import Bound
from tests.slo.metrics import metric
from tests.slo.publishing import CLOCK
from tests.support.redis_servers import RedisServer
from tests.support.replica_process import Replica, credential
from tests.support.tcp_proxy import between

from anypod.client import Session
from anypod.core.timing import Timing

HEARTBEAT_MS: Final = 1_000  # of the clients' link: with the 25 s that are usual, a test would take a minute
STORE_S_MAX: Final = 4.0  # a probe every 2 s, and 2 s for it to come back
LOOK_S_MAX: Final = 1.0  # from the moment at which it is known until we have seen so: one look, on a busy machine
POLL_S: Final = 0.05
WAIT_S_MAX: Final = 60.0


@dataclass(frozen=True)
class Silent:
    """Seconds of silence until each knew, and, of the clients' link, what the formula promises: see `core.timing`."""

    store_s: float
    replica_s: float
    client_s: float
    promised_s: float
    heartbeat_s: float

    def __str__(self) -> str:
        return (
            f"a silent link to Redis is known after {self.store_s:.1f} s; one to a client, with heartbeats every {self.heartbeat_s:g} s, "
            f"to the replica after {self.replica_s:.1f} s, to the client after {self.client_s:.1f} s; "
            f"promised: {self.promised_s:g} s, and for the replica an interval more"
        )

    def bounds(self) -> list[Bound]:
        return [
            Bound("seconds until a silent link to Redis is known", self.store_s, STORE_S_MAX + LOOK_S_MAX),
            Bound("seconds until the client knows of its silent link", self.client_s, self.promised_s + LOOK_S_MAX),
            Bound("seconds until the replica knows", self.replica_s, self.promised_s + self.heartbeat_s + LOOK_S_MAX),
        ]


async def silence(server: RedisServer, folder: Path) -> Silent:
    timing = Timing.derive((), heartbeat_ms_max=HEARTBEAT_MS)
    store_s = await silent_store(server, folder)
    replica_s, client_s = await silent_client(server, folder)
    return Silent(store_s, replica_s, client_s, timing.silence_ms / 1_000, timing.heartbeat_ms / 1_000)


async def silent_store(server: RedisServer, folder: Path) -> float:
    """Nobody publishes, so that nothing but the probe can notice."""
    async with between(server.port) as link:
        replica = Replica("alone", {"redis_url": f"redis://127.0.0.1:{link.port}/0"}, folder)
        await asyncio.to_thread(replica.start)
        try:
            link.is_silent = True
            return await _until(lambda: not replica.is_ready())
        finally:
            replica.kill()


async def silent_client(server: RedisServer, folder: Path) -> tuple[float, float]:
    """What the replica and the client needed."""
    settings = {"redis_url": f"{server.url}/0", "heartbeat_ms_max": str(HEARTBEAT_MS)}
    replica = Replica("far", settings, folder)
    await asyncio.to_thread(replica.start)
    try:
        async with between(replica.port) as link:
            url = f"http://127.0.0.1:{link.port}"
            async with Session(url, "quiet", credential=credential("acme", "ann"), transport="websocket") as session:
                await session.reached("live")
                await asyncio.sleep(2 * HEARTBEAT_MS / 1_000)  # both have heard the other
                link.is_silent = True
                both = (
                    _until(lambda: metric(replica, 'errors_total{code="heartbeat_missed"}') > 0),
                    _until(lambda: session.phase.name != "live"),
                )
                replica_s, client_s = await asyncio.gather(*both)
                return replica_s, client_s
    finally:
        replica.kill()


async def _until(is_so: Callable[[], bool]) -> float:
    since = CLOCK.now()
    while not await asyncio.to_thread(is_so):
        assert CLOCK.now() - since < WAIT_S_MAX, "nobody noticed"
        await asyncio.sleep(POLL_S)
    return CLOCK.now() - since
