"""A primary and its replica under three Sentinels, all of whom meet through gates.

Owns how they come to know each other. Must not know what is done to them. A server announces its gate as its own address: so
replication, Sentinels and our replicas take it, and each can be kept out.
"""

import asyncio
import random
from collections.abc import AsyncIterator, Callable
from contextlib import ExitStack, asynccontextmanager
from typing import Final

from tests.chaos.link import Link, joined
from tests.chaos.proxied_redis import CONNECT_S_MAX, ProxiedRedis, carried
from tests.chaos.proxy import Proxy
from tests.chaos.stores import SentinelStores, Setting, killed_at_the_end, made
from tests.support.redis_clusters import NAME, Sentinel, role, wait_for
from tests.support.redis_servers import LOOPBACK, RedisServer, free_port

PATIENT_MS: Final = 60_000  # a primary that a busy machine keeps waiting is no row of ours
SENTINELS: Final = 3
QUORUM: Final = 2
FAILOVER_MS: Final = 6_000  # after which one that has failed may be tried again


@asynccontextmanager
async def guarded(setting: Setting) -> AsyncIterator[SentinelStores]:
    with ExitStack() as stack:
        gates = [ProxiedRedis(setting.rng) for _ in range(2)]
        for number, gate in enumerate(gates, 1):
            gate.server = RedisServer(setting.binary, made(setting.folder / f"server-{number}"), *setting.options(), *_announced(gate))
            stack.enter_context(killed_at_the_end(gate.server))
            await asyncio.to_thread(gate.server.start)
        sentinels = [Sentinel(setting.binary, made(setting.folder / f"sentinel-{number}")) for number in range(SENTINELS)]
        for sentinel in sentinels:
            stack.enter_context(killed_at_the_end(sentinel))
            await asyncio.to_thread(sentinel.start)
        ways = {caller: [_way(sentinel, setting.rng) for sentinel in sentinels] for caller in setting.callers}
        async with carried([*(gate.proxy for gate in gates), *(way for each in ways.values() for way in each)]):
            stores = SentinelStores(gates, sentinels, ways)
            await asyncio.to_thread(_introduce, stores)
            yield stores


def _announced(gate: ProxiedRedis) -> tuple[str, ...]:
    quick_sync = ("--repl-diskless-sync-delay", "0")
    return ("--replica-announce-ip", LOOPBACK, "--replica-announce-port", str(gate.port), *quick_sync)


def _way(sentinel: Sentinel, rng: random.Random) -> Proxy:
    async def dial(link: Link) -> bool:
        return await joined(link, sentinel.port, CONNECT_S_MAX)

    return Proxy(free_port(), dial, rng)


def _introduce(stores: SentinelStores) -> None:
    first, second = stores.gates
    second.server.command("REPLICAOF", LOOPBACK, first.port)
    wait_for(lambda: follows(second.server), "the replica follows")
    for sentinel in stores.sentinels:
        sentinel.command("SENTINEL", "MONITOR", NAME, LOOPBACK, first.port, QUORUM)
        sentinel.command("SENTINEL", "SET", NAME, "down-after-milliseconds", PATIENT_MS, "failover-timeout", FAILOVER_MS)
    for sentinel in stores.sentinels:
        wait_for(_all_known(sentinel), "the Sentinels know each other and the replica")


def _all_known(sentinel: Sentinel) -> Callable[[], bool]:
    def is_so() -> bool:
        facts = sentinel.command("SENTINEL", "MASTER", NAME)
        assert isinstance(facts, list)
        known = dict(zip(facts[::2], facts[1::2], strict=True))
        return (known[b"num-slaves"], known[b"num-other-sentinels"], known[b"flags"]) == (b"1", b"%d" % (SENTINELS - 1), b"master")

    return is_so


def follows(server: RedisServer) -> bool:
    """With the data of its primary. Before, it still has what it had: were it promoted then, a lost history would come back."""
    found = server.command("ROLE")
    return isinstance(found, list) and found[0] == b"slave" and found[3] == b"connected"


def is_primary(server: RedisServer) -> bool:
    return role(server) == b"master"
