"""One node of a Cluster is away, silent or new: the sessions of the others do not notice."""

import asyncio
from pathlib import Path
from typing import Any, Final

import pytest
from tests.store.kit import Ear, append, create, event, ids_of, send
from tests.store.redis_kit import BRISK, calls_of, holds, opened
from tests.support.options import redis_options_of
from tests.support.redis_clusters import Cluster, ClusterNode, cluster, is_whole
from tests.support.redis_servers import binary_of
from tests.support.tcp_proxy import between
from tests.support.waiting import until, wait_for

from anypod.clock import SystemClock, system_random
from anypod.core.errors import AnypodError
from anypod.core.identity import SessionKey, partition
from anypod.redis_store import RedisStore
from anypod.redis_store.topology.cluster import Owners, partition_slots
from anypod.redis_store.topology.topology import topology_of
from anypod.redis_store.url import Deployment
from anypod.telemetry import Metrics

SLOTS_EACH: Final = 16_384 // 3
KINDS: Final = ["redis", "valkey"]


def slot_of(key: SessionKey) -> int:
    return partition_slots()[partition(key)]


async def session_of(store: RedisStore, node: int) -> SessionKey:
    """One that the node with this number serves."""
    while True:
        key = await create(store)
        if min(slot_of(key) // SLOTS_EACH, 2) == node:
            return key


@pytest.mark.parametrize("kind", KINDS)
async def test_a_node_that_is_away_does_not_hide_the_heads_of_the_others(kind: Any, tmp_path: Path) -> None:
    with cluster(kind, tmp_path) as nodes:
        nodes.primaries[1].command("CONFIG", "SET", "cluster-require-full-coverage", "no")
        nodes.primaries[2].command("CONFIG", "SET", "cluster-require-full-coverage", "no")
        async with opened(nodes.url, reply_s=0.5) as store:
            keys = [await session_of(store, number) for number in (0, 1, 2)]
            for key in keys:
                await append(store, key, event("e1"))
            nodes.primaries[0].kill()
            found = await store.heads(keys)
            assert keys[0] not in found
            assert [head is not None and head.cursor.split("-")[2] for head in (found[keys[1]], found[keys[2]])] == ["1", "1"]


@pytest.mark.parametrize("kind", KINDS)
async def test_a_node_that_falls_silent_is_noticed_by_the_probes_alone(kind: Any, tmp_path: Path) -> None:
    ear, metrics = Ear(), Metrics()
    async with between(0) as proxy:
        with cluster(kind, tmp_path, options=lambda number: ("--cluster-announce-port", str(proxy.port)) if number == 0 else ()) as nodes:
            proxy.target = nodes.primaries[0].port
            url = f"redis+cluster://127.0.0.1:{nodes.primaries[1].port}"
            store = RedisStore(redis_options_of(url, **BRISK), SystemClock(), system_random(), metrics)
            await store.open(ear)
            there, elsewhere = await session_of(store, 0), await session_of(store, 1)
            await asyncio.gather(store.subscribe(there), store.subscribe(elsewhere))

            proxy.deafen_feeds()
            await append(store, there, event("unheard"))
            await ear.until(lambda: bool(ear.barriers), "the deaf feed is noticed")
            assert ear.barriers == [[there]]

            before = metrics.store_reconnects
            proxy.holds_requests = proxy.holds_replies = True
            await until(lambda: holds(metrics.store_reconnects > before), "the silence is noticed, and nobody has asked for anything")
            assert (await append(store, elsewhere, event("e1")))[0].seq == 1
            waiting = send(store, there, event("waiting"))
            proxy.release()
            assert (await waiting)[0].seq == 2
            await until(lambda: holds(len(ear.barriers) > 1), "a barrier once the feed is back")
            assert all(keys == [there] for keys in ear.barriers)
            await store.close()


@pytest.mark.parametrize("kind", KINDS)
async def test_a_node_that_joins_gets_the_library_and_must_not_evict(kind: Any, tmp_path: Path) -> None:
    with cluster(kind, tmp_path / "first") as nodes:
        async with opened(nodes.url, append_wait_s=1.0) as store:
            key = await create(store)
            await append(store, key, event("e1"))
            (tmp_path / "new").mkdir()
            newcomer = ClusterNode(binary_of(kind), tmp_path / "new", "--maxmemory-policy", "allkeys-lru")
            newcomer.start()
            try:
                await asyncio.to_thread(join, nodes, newcomer)
                await asyncio.to_thread(nodes.move_slot, slot_of(key), newcomer)
                outcome = await send(store, key, event("e2"))
                assert isinstance(outcome, AnypodError)
                assert outcome.code == "unavailable"
                assert not calls_of(newcomer, "fcall")

                newcomer.command("CONFIG", "SET", "maxmemory-policy", "noeviction")

                async def is_served() -> bool:
                    return not isinstance(await send(store, key, event("e3")), AnypodError)

                await until(is_served, "the newcomer serves")
                assert await ids_of(store, key) == ["e1", "e3"]
            finally:
                newcomer.kill()


def join(nodes: Cluster, newcomer: ClusterNode) -> None:
    """It knows the others and serves nothing yet."""
    newcomer.command("CLUSTER", "SET-CONFIG-EPOCH", 9)
    nodes.primaries[0].command("CLUSTER", "MEET", newcomer.host, newcomer.port, newcomer.bus_port)
    nodes.primaries.append(newcomer)
    wait_for(lambda: all(lines(node) == len(nodes.primaries) and is_whole(node) for node in nodes.primaries), "all know each other")


def lines(node: ClusterNode) -> int:
    """How many nodes this one knows and hears."""
    told = node.command("CLUSTER", "NODES")
    assert isinstance(told, bytes)
    return sum(b"handshake" not in line and b" connected" in line for line in told.splitlines())


async def test_a_new_map_that_could_not_be_carried_out_is_tried_again(caplog: pytest.LogCaptureFixture, tmp_path: Path) -> None:
    with cluster("valkey", tmp_path) as nodes:
        options = redis_options_of(nodes.url)
        topology = topology_of(Deployment.parse(options), options, SystemClock())
        before, told = await topology.owners(), list[Owners]()

        def carry_out(owners: Owners) -> None:
            told.append(owners)
            if len(told) == 1:
                raise RuntimeError("planted")

        following = asyncio.create_task(topology.follow(carry_out))
        slot = partition_slots()[0]
        target = next(node for node in nodes.primaries if node is not nodes.owner(slot))
        await asyncio.to_thread(nodes.move_slot, slot, target)
        await until(lambda: holds(len(told) > 1), "the second attempt")
        assert told[-1][0] == (target.host, target.port) != before[0]
        assert "the map of the cluster was not brought up to date; trying again" in caplog.text
        following.cancel()
        await asyncio.gather(following, return_exceptions=True)
        topology.close()
