"""On a Cluster: sessions spread over its nodes, slots move between them, nodes die."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from itertools import count
from pathlib import Path

import pytest
from tests.store.kit import OWNER, Ear, append, create, delta, event, ids_of, log_of, refused_call, send, seq_of
from tests.store.redis_kit import calls_of, check_exactly_once, opened, stream
from tests.support.redis_clusters import STALL_MS, Cluster, cluster
from tests.support.waiting import until, wait_for

from anypod.core.errors import AnypodError
from anypod.core.identity import SessionKey, partition
from anypod.redis_store import RedisStore
from anypod.redis_store.log.append_queue import GROUP_MAX
from anypod.redis_store.topology.cluster import partition_slots

BURST = GROUP_MAX + 1  # in one tick: a call of several, and behind it one of another kind


def slot_of(key: SessionKey) -> int:
    return partition_slots()[partition(key)]


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """Three primaries whose slots may be moved about, but which all stay."""
    with cluster("redis", tmp_path_factory.mktemp("cluster"), down_after_ms=STALL_MS) as nodes:
        yield nodes


@pytest.fixture
async def store(shared: Cluster, ear: Ear) -> AsyncIterator[RedisStore]:
    """Patient: on a machine that stalls a connection given up would be a barrier that no test here is about."""
    async with opened(shared.url, ear, append_wait_s=20.0, reply_s=20.0, probe_limit_s=20.0) as store:
        yield store


@pytest.fixture
def ear() -> Ear:
    return Ear()


async def test_sessions_spread_over_all_nodes_and_one_node_is_enough_to_start_with(shared: Cluster) -> None:
    ear = Ear()
    url = f"redis+cluster://127.0.0.1:{shared.primaries[1].port}"
    async with opened(url, ear) as store:
        before = [calls_of(node, "fcall") for node in shared.primaries]
        keys = [await create(store) for _ in range(30)]
        await asyncio.gather(*(store.subscribe(key) for key in keys))
        for key in keys:
            await append(store, key, event("e1"))
        assert all(calls_of(node, "fcall") > count for node, count in zip(shared.primaries, before, strict=True))
        await ear.until(lambda: len(ear.heard) == 30, "every event")
        heads = await store.heads(keys)
        assert [head is not None and head.cursor.split("-")[2] for head in heads.values()] == ["1"] * 30


async def test_a_slot_that_moves_under_load_loses_doubles_and_swaps_nothing(shared: Cluster, store: RedisStore, ear: Ear) -> None:
    key, other = await create(store), await create(store)
    await store.subscribe(key)
    streaming = asyncio.ensure_future(stream(store, key, 3_000))
    for n in range(4):
        await asyncio.to_thread(move, shared, slot_of(key))
        await append(store, other, event(f"o{n}"))
    sent = await streaming
    assert not [result for result in sent.values() if isinstance(result, AnypodError)]
    await check_exactly_once(store, key, sent)
    assert await ids_of(store, key) == list(sent), "in the order in which they were published"
    numbers = count()

    async def is_heard() -> bool:
        """The subscription may be on its way still: then a barrier tells that something was missed."""
        await append(store, key, event(f"last{next(numbers)}"))
        return any(b'"last' in frame for frame in ear.frames(key))

    await until(is_heard, "the feed hears the new node")
    assert ear.barriers


def move(nodes: Cluster, slot: int) -> None:
    """To another primary."""
    source = nodes.owner(slot)
    nodes.move_slot(slot, next(node for node in nodes.primaries if node is not source))


async def test_a_slot_that_leaves_is_a_gap_barrier_for_its_sessions_alone(shared: Cluster, store: RedisStore, ear: Ear) -> None:
    key = await create(store)
    neighbour = await neighbour_of(shared, store, key)
    await asyncio.gather(store.subscribe(key), store.subscribe(neighbour))
    await asyncio.to_thread(move, shared, slot_of(key))
    # The neighbour may have one of its own: another test has just moved its slot, and it was first subscribed to at the old node.
    await ear.until(lambda: any(key in keys for keys in ear.barriers), "a barrier")
    assert [key] in ear.barriers
    async with opened(shared.url) as writer:
        await append(writer, key, event("e1"))
        await append(writer, neighbour, event("e1"))
    await ear.until(lambda: bool(ear.frames(key) and ear.frames(neighbour)), "events of both")


async def neighbour_of(nodes: Cluster, store: RedisStore, key: SessionKey) -> SessionKey:
    """A session of another slot on the same node."""
    while True:
        other = await create(store)
        if slot_of(other) != slot_of(key) and nodes.owner(slot_of(other)) is nodes.owner(slot_of(key)):
            return other


async def test_while_a_slot_is_on_its_way_its_sessions_wait_and_the_others_do_not(shared: Cluster, store: RedisStore) -> None:
    key = await create(store)
    neighbour = await neighbour_of(shared, store, key)
    await append(store, key, delta("e", "part"))  # from now on it has a stream of deltas, and still no live state
    target = next(node for node in shared.primaries if node is not shared.owner(slot_of(key)))
    source = shared.move_slot(slot_of(key), target, is_finished=False)
    waiting = [send(store, key, event(f"e{n}")) for n in range(BURST)]
    reading = asyncio.ensure_future(log_of(store, key))
    for n in range(20):
        assert (await append(store, neighbour, event(f"e{n}")))[0].seq == n + 1
    assert not any(outcome.done() for outcome in waiting)
    await asyncio.to_thread(shared.finish_move, slot_of(key), source, target)
    assert [outcome[0].seq for outcome in await asyncio.gather(*waiting)] == list(range(2, BURST + 2))
    assert len(await reading) <= BURST + 1
    assert await ids_of(store, key) == ["e", *(f"e{n}" for n in range(BURST))]


async def test_a_slot_that_stays_on_its_way_too_long_is_unavailable(shared: Cluster) -> None:
    async with opened(shared.url, append_wait_s=0.5) as store:
        key = await create(store)
        target = next(node for node in shared.primaries if node is not shared.owner(slot_of(key)))
        source = shared.move_slot(slot_of(key), target, is_finished=False)
        outcome = await send(store, key, event("e1"))
        assert isinstance(outcome, AnypodError)
        assert outcome.code == "unavailable"
        assert await refused_call(store.tidy(key)) == "unavailable"
        shared.finish_move(slot_of(key), source, target)
        assert (await append(store, key, event("e2")))[0].seq == 1


async def test_a_primary_that_dies_is_replaced_by_its_replica_and_nothing_acknowledged_is_lost(tmp_path: Path) -> None:
    ear = Ear()
    with cluster("redis", tmp_path, replicas=1) as nodes:
        async with opened(nodes.url, ear, append_wait_s=30.0) as store:
            first, keys, there = nodes.primaries[0], list[SessionKey](), list[SessionKey]()
            while len(keys) < 12 or not there:
                keys.append(await create(store))
                there = [key for key in keys if nodes.owner(slot_of(key)) is first]
            await asyncio.gather(*(store.subscribe(key) for key in keys))
            for key in keys:
                await append(store, key, event("before"))
            assert first.command("WAIT", 1, 1_000) == 1, "the replica has the events"
            first.kill()
            for key in keys:
                assert (await append(store, key, event("after")))[0].seq == 2
            await ear.until(lambda: {key for keys in ear.barriers for key in keys} >= set(there), "a barrier for those who were there")
            for key in keys:
                await append(store, key, event("heard"))
            await ear.until(lambda: all(b'"heard"' in ear.frames(key)[-1] for key in keys), "every feed hears")

            await asyncio.to_thread(first.start)
            await asyncio.to_thread(wait_for, lambda: nodes.owner(slot_of(there[0])) is nodes.replicas[0], "the new primary is known")
            for key in keys:
                assert [seq_of(frame) for frame in await log_of(store, key)] == [1, 2, 3]
                assert (await append(store, key, event("later")))[0].seq == 4
            assert not calls_of(first, "fcall"), "nobody writes to the old primary"


async def test_an_index_and_its_session_may_be_on_two_nodes(store: RedisStore) -> None:
    keys = [await create(store) for _ in range(20)]
    listed = await store.sessions(keys[0].tenant, OWNER, before_ms=None, limit=1_000)
    assert {item.key for item in listed} >= set(keys)
    for key in keys:
        await store.delete(key, OWNER)
    left = await store.sessions(keys[0].tenant, OWNER, before_ms=None, limit=1_000)
    assert not {item.key for item in left} & set(keys)


async def test_a_killed_feed_is_made_anew_and_a_flushed_library_loaded_again(shared: Cluster, store: RedisStore, ear: Ear) -> None:
    key = await create(store)
    await store.subscribe(key)
    for node in shared.primaries:
        node.command("CLIENT", "KILL", "TYPE", "pubsub")
        node.command("FUNCTION", "FLUSH")
    await ear.until(lambda: bool(ear.barriers), "a barrier")
    await append(store, key, event("e1"))
    await ear.until(lambda: bool(ear.frames(key)), "the event")


async def test_a_server_that_is_no_cluster_is_refused_in_one_line(redis_server: object) -> None:
    with pytest.raises(AnypodError, match="no node knows who serves each slot"):
        async with opened(str(redis_server.url).replace("redis://", "redis+cluster://")):  # type: ignore[attr-defined]
            pass
