"""The Redis servers of a run, each behind a gate, and what replicas are told of them.

Owns what the rest needs to know of any topology, and the single server. Must not know clients, nor what is done to the servers.
"""

import asyncio
import random
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tests.chaos.proxied_redis import PASSWORD, REDIS_OPTIONS, ProxiedRedis, carried, users
from tests.chaos.proxy import Proxy
from tests.support.redis_clusters import NAME, Cluster, Sentinel
from tests.support.redis_servers import LOOPBACK, Kind, RedisServer, binary_of

KIND: Final[Kind] = "valkey"


@dataclass(frozen=True, slots=True)
class Setting:
    """What servers are started from. `callers`: the replicas by name. `binary`: of the server, or of what starts it."""

    folder: Path
    rng: random.Random
    callers: Sequence[str]
    binary: Path

    def options(self) -> tuple[str, ...]:
        return (*REDIS_OPTIONS, *users(self.callers))


class Stores:
    """`gates`: to all servers. `written`: of those that are written to; it changes with a failover."""

    def __init__(self, gates: Sequence[ProxiedRedis], written: Sequence[ProxiedRedis]) -> None:
        self.gates = gates
        self.written = written

    def url(self, caller: str) -> str:
        raise NotImplementedError

    def gate_of(self, server: RedisServer) -> ProxiedRedis:
        return next(gate for gate in self.gates if gate.server is server)


class SingleStores(Stores):
    def url(self, caller: str) -> str:
        return f"redis://{caller}:{PASSWORD}@{LOOPBACK}:{self.gates[0].port}/0"


class SentinelStores(Stores):
    """A primary and its replica under Sentinels. `ways`: of each caller to each Sentinel."""

    def __init__(self, gates: Sequence[ProxiedRedis], sentinels: Sequence[Sentinel], ways: dict[str, list[Proxy]]) -> None:
        super().__init__(gates, gates[:1])
        self.sentinels = sentinels
        self.ways = ways

    def url(self, caller: str) -> str:
        places = ",".join(f"{LOOPBACK}:{way.port}" for way in self.ways[caller])
        return f"redis+sentinel://{caller}:{PASSWORD}@{places}/{NAME}"

    @property
    def follower(self) -> ProxiedRedis:
        return next(gate for gate in self.gates if gate not in self.written)

    def bear(self, silence_ms: int) -> None:
        """For so long Sentinels do not call the primary dead."""
        for sentinel in self.sentinels:
            sentinel.command("SENTINEL", "SET", NAME, "down-after-milliseconds", silence_ms)


class ClusterStores(Stores):
    def __init__(self, gates: Sequence[ProxiedRedis], cluster: Cluster) -> None:
        super().__init__(gates, gates)
        self.cluster = cluster

    def url(self, caller: str) -> str:
        return f"redis+cluster://{caller}:{PASSWORD}@{','.join(f'{LOOPBACK}:{gate.port}' for gate in self.gates)}"


@contextmanager
def killed_at_the_end(server: RedisServer) -> Iterator[None]:
    try:
        yield
    finally:
        server.kill()


@asynccontextmanager
async def single(setting: Setting) -> AsyncIterator[SingleStores]:
    gate = ProxiedRedis(setting.rng)
    gate.server = RedisServer(setting.binary, made(setting.folder / "redis"), *setting.options())
    with killed_at_the_end(gate.server):
        await asyncio.to_thread(gate.server.start)
        async with carried([gate.proxy]):
            yield SingleStores([gate], [gate])


def binary() -> Path:
    return binary_of(KIND)


def made(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    return folder
