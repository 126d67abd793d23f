"""An append is acknowledged once it is as durable as the deployment wants."""

import asyncio
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from tests.store.kit import Ear, append, create, event, ids_of, patch, refused_call, send
from tests.store.redis_kit import BRISK, calls_of, check_exactly_once, holds, opened, stream
from tests.support.options import redis_options_of
from tests.support.redis_clusters import QUICK_SYNC, role
from tests.support.redis_servers import RedisServer, running
from tests.support.tcp_proxy import between
from tests.support.waiting import until, wait_for

from anypod.clock import SystemClock, system_random
from anypod.core.errors import AnypodError
from anypod.redis_store import RedisStore
from anypod.telemetry import Metrics

KINDS = ["valkey", "redis", "redis8"]
WAIT_MS = 1_200  # a machine that does much else answers late, and a probe may take 2 s


class Pair(NamedTuple):
    primary: RedisServer
    replica: RedisServer


@pytest.fixture(params=KINDS)
def pair(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Pair]:
    """A primary, and a replica that follows it."""
    kind: Any = request.param
    with running(kind, tmp_path / "primary", *QUICK_SYNC) as primary, running(kind, tmp_path / "replica", "--appendonly", "no") as replica:
        replica.command("REPLICAOF", primary.host, primary.port)
        wait_for(lambda: role(replica) == b"slave" and _is_confirmed(primary), "the replica follows")
        yield Pair(primary, replica)


def _is_confirmed(primary: RedisServer) -> bool:
    """A write reaches the replica: one that is known may still be busy with what it has been sent."""
    return primary.pipeline([["SET", "x", "1"], ["WAIT", 1, 1_000]])[1] == 1


def replicated(**options: Any) -> dict[str, Any]:
    return {"durability": "replicated", "durability_wait_ms": WAIT_MS, **options}


def hint_of(outcome: object) -> tuple[str, bool]:
    assert isinstance(outcome, AnypodError), f"not refused: {outcome}"
    return outcome.code, outcome.retry_after_ms is not None


async def test_what_is_acknowledged_is_on_the_replica(pair: Pair) -> None:
    async with opened(pair.primary.url, **replicated()) as store:
        key = await create(store)
        receipts = [(await append(store, key, event(f"e{n}")))[0].seq for n in range(5)]
        assert receipts == [1, 2, 3, 4, 5]
        pair.primary.kill()
        pair.replica.command("REPLICAOF", "NO", "ONE")
    async with opened(pair.replica.url) as other:
        assert await ids_of(other, key) == [f"e{n}" for n in range(5)]


async def test_without_its_replica_an_append_is_refused_and_so_is_its_retry_by_another_until_it_is_durable(pair: Pair) -> None:
    async with opened(pair.primary.url, **replicated()) as first, opened(pair.primary.url, **replicated()) as second:
        key = await create(first)
        await append(first, key, event("before"))
        await append(second, key, event("before"))
        with pair.replica.frozen():
            assert hint_of(await send(first, key, event("e1"))) == ("unavailable", True)
            assert hint_of(await send(second, key, event("e1"))) == ("unavailable", True)
            assert await ids_of(first, key) == ["before", "e1"], "it is logged all the same"
        async with opened(pair.primary.url, **replicated()) as third:
            again = await append(third, key, event("e1"))
        assert [(receipt.seq, receipt.is_duplicate) for receipt in again] == [(2, True)]


async def test_a_retry_that_finds_several_or_a_patch_waits_as_well(pair: Pair) -> None:
    async with opened(pair.primary.url, **replicated()) as first, opened(pair.primary.url, **replicated()) as second:
        key = await create(first)
        with pair.replica.frozen():
            for store in (first, second):
                assert hint_of(await send(store, key, event("e1"), event("e2"), patch=patch(1, state=b'{"a":1}'))) == ("unavailable", True)
                assert hint_of(await send(store, key, event("e1"), event("e2"))) == ("unavailable", True)
        assert [receipt.is_duplicate for receipt in await append(second, key, event("e1"), event("e2"))] == [True, True]


async def test_while_a_batch_waits_others_wait_no_longer_than_it_and_are_refused_in_time(pair: Pair) -> None:
    async with opened(pair.primary.url, **replicated(append_wait_s=5.0)) as store:
        key = await create(store)
        loop = asyncio.get_running_loop()
        with pair.replica.frozen():
            began = loop.time()
            outcomes = [send(store, key, event("e0"))]
            for n in range(1, 40):
                await asyncio.sleep(0)  # each in a batch of its own, were they not collected
                outcomes.append(send(store, key, event(f"e{n}")))
            await store.raise_fence(key, "turn")
            assert loop.time() - began < 1.8 * WAIT_MS / 1_000, "a request behind a wait is delayed by this one alone"
            assert {hint_of(outcome)[0] for outcome in await asyncio.gather(*outcomes)} == {"unavailable"}
            assert loop.time() - began < 2.8 * WAIT_MS / 1_000


async def test_the_deadline_of_an_append_holds_while_it_waits(pair: Pair) -> None:
    async with opened(pair.primary.url, **replicated(durability_wait_ms=1_500, append_wait_s=0.3)) as store:
        key = await create(store)
        loop = asyncio.get_running_loop()
        with pair.replica.frozen():
            began = loop.time()
            assert hint_of(await send(store, key, event("e1")))[0] == "unavailable"
            assert loop.time() - began < 1.0


async def test_what_is_refused_for_good_is_told_and_what_was_not_durable_is_counted(pair: Pair) -> None:
    metrics = Metrics()
    store = RedisStore(redis_options_of(pair.primary.url, **replicated()), SystemClock(), system_random(), metrics)
    await store.open(Ear())
    try:
        key = await create(store)
        await append(store, key, event("e1"))
        assert hint_of(await send(store, key, event("e1", "another body")))[0] == "conflict"
        with pair.replica.frozen():
            await asyncio.gather(*(send(store, key, event(f"x{n}")) for n in range(3)))
        assert metrics.appends_unconfirmed == 3
    finally:
        await store.close()


async def test_connections_killed_while_batches_wait_lose_and_double_nothing(pair: Pair) -> None:
    async with between(pair.primary.port) as proxy, opened(proxy.url, **{**BRISK, **replicated()}) as store:
        key = await create(store)
        streaming = asyncio.ensure_future(stream(store, key, 1_000))
        while not streaming.done():
            proxy.cut()
            await asyncio.sleep(0.02)
            await until(lambda: holds(store.is_available), "the cut is mended")
        sent = await streaming
        assert not [result for result in sent.values() if isinstance(result, AnypodError)]
        await check_exactly_once(store, key, sent)
        assert await ids_of(store, key) == list(sent)


async def test_a_start_without_a_replica_serves_readers_and_refuses_publishers(
    own_server: RedisServer, caplog: pytest.LogCaptureFixture
) -> None:
    async with opened(own_server.url, **replicated()) as store:
        assert store.is_available
        assert "durability replicated is not reached now" in caplog.text
        key = await create(store)
        assert hint_of(await send(store, key, event("e1"))) == ("unavailable", True)
        assert await ids_of(store, key) == ["e1"]


async def test_one_wait_follows_a_batch_and_none_without_durability(pair: Pair) -> None:
    async with opened(pair.primary.url, **replicated()) as store:
        key = await create(store)
        before = calls_of(pair.primary, "wait")
        await asyncio.gather(*(send(store, key, event(f"e{n}")) for n in range(200)))
        assert 1 <= calls_of(pair.primary, "wait") - before <= 3
    async with opened(pair.primary.url) as store:
        before = calls_of(pair.primary, "wait")
        await asyncio.gather(*(send(store, key, event(f"f{n}")) for n in range(200)))
        assert calls_of(pair.primary, "wait") == before


@pytest.mark.parametrize("kind", ["valkey", "redis8"])
async def test_fsynced_waits_for_the_disk(kind: Any, tmp_path: Path) -> None:
    fsynced: dict[str, Any] = {"durability": "fsynced", "durability_wait_ms": WAIT_MS}
    with running(kind, tmp_path, "--appendfsync", "always") as server:
        async with opened(server.url, **fsynced) as store:
            key = await create(store)
            before = calls_of(server, "waitaof")
            assert [(await append(store, key, event(f"e{n}")))[0].seq for n in range(3)] == [1, 2, 3]
            assert calls_of(server, "waitaof") == before + 3
            server.command("CONFIG", "SET", "appendfsync", "no")
            assert hint_of(await send(store, key, event("e3"))) == ("unavailable", True)
            assert hint_of(await send(store, key, event("e3"))) == ("unavailable", True)
            server.command("CONFIG", "SET", "appendfsync", "always")
            await until(lambda: is_durable(store, key, "e3"), "the disk has it")


async def is_durable(store: RedisStore, key: Any, name: str) -> bool:
    outcome = await send(store, key, event(name))
    return not isinstance(outcome, AnypodError) and outcome[0].is_duplicate


@pytest.mark.parametrize(("kind", "options"), [("redis", ()), ("valkey", ("--appendonly", "no")), ("redis8", ("--appendonly", "no"))])
async def test_fsynced_is_refused_at_the_start_where_it_cannot_be_had(kind: Any, options: tuple[str, ...], tmp_path: Path) -> None:
    with running(kind, tmp_path, *options) as server:
        store = RedisStore(redis_options_of(server.url, durability="fsynced"), SystemClock(), system_random())
        with pytest.raises(AnypodError, match=r"cannot promise durability fsynced .* needs Redis 7.2 or Valkey 8 with appendonly yes"):
            await store.open(Ear())


async def test_a_primary_that_is_demoted_while_a_batch_waits_is_left(pair: Pair) -> None:
    async with opened(pair.primary.url, **replicated(durability_wait_ms=1_500, append_wait_s=1.0)) as store:
        key = await create(store)
        os.kill(pair.replica.pid, signal.SIGSTOP)
        outcome = send(store, key, event("e1"))
        await until(lambda: holds(calls_of(pair.primary, "fcall") > 1), "the append was carried out")
        pair.primary.command("REPLICAOF", "127.0.0.1", 1)
        assert hint_of(await outcome)[0] == "unavailable"
        assert await refused_call(append(store, key, event("e2"))) == "unavailable"
        os.kill(pair.replica.pid, signal.SIGCONT)
        pair.primary.command("REPLICAOF", "NO", "ONE")
        await asyncio.to_thread(wait_for, lambda: pair.primary.command("WAIT", 1, 100) == 1, "the replica follows again")
        await until(lambda: is_durable(store, key, "e1"), "appends are acknowledged")
