"""The server fails, stalls, forgets or is replaced: what the store on Redis does about it."""

import asyncio
import os
import signal
from pathlib import Path
from typing import Any

import pytest
from tests.store.kit import (
    append,
    create,
    event,
    ids_of,
    log_of,
    refused,
    refused_call,
    send,
    verdict,
)
from tests.store.redis_kit import BRISK, check_exactly_once, holds, opened, stream
from tests.support.redis_servers import RedisServer, running
from tests.support.waiting import until

from anypod.core.cursor import Reset, Resume
from anypod.core.errors import AnypodError
from anypod.core.identity import partition
from anypod.redis_store.functions import FunctionLibrary
from anypod.redis_store.keys import Keyspace


async def test_a_server_that_stalls_carries_everything_out_once_when_it_goes_on(own_server: RedisServer) -> None:
    async with opened(own_server.url, **BRISK) as store:
        key = await create(store)
        outcomes = [send(store, key, event(f"e{n}")) for n in range(20)]
        os.kill(own_server.pid, signal.SIGSTOP)
        outcomes += [send(store, key, event(f"e{n}")) for n in range(20, 40)]
        await until(lambda: holds(not store.is_available), "the silence is noticed")
        await asyncio.sleep(2 * BRISK["reply_s"])  # attempts to connect fail meanwhile, and leave commands behind
        os.kill(own_server.pid, signal.SIGCONT)
        assert not [result for result in await asyncio.gather(*outcomes) if isinstance(result, AnypodError)]
        assert await ids_of(store, key) == [f"e{n}" for n in range(40)]


async def test_two_versions_of_the_library_live_side_by_side(own_server: RedisServer) -> None:
    async with opened(own_server.url) as store:
        key = await create(store)
        source = FunctionLibrary().source
        digest = source.split(b"\n", 1)[0].rsplit(b"_", 1)[1]
        own_server.command("FUNCTION", "LOAD", source.replace(digest, b"0ther0ne"))
        assert (await append(store, key, event("e1")))[0].seq == 1
        names = Keyspace("anypod").session(key)
        keys = (names.meta, names.log, names.deltas, Keyspace("anypod").calendar(partition(key)))
        assert own_server.command("FCALL", "tidy_0ther0ne", 4, *keys, "name", "") == b"+-1"


async def test_a_flushed_library_is_loaded_again_and_nobody_notices(own_server: RedisServer) -> None:
    async with opened(own_server.url) as store:
        key = await create(store)
        await append(store, key, event("e0"))
        own_server.command("FUNCTION", "FLUSH")
        results = await asyncio.gather(*(send(store, key, event(f"e{n}")) for n in range(1, 21)))
        assert not [result for result in results if isinstance(result, AnypodError)]
        own_server.command("FUNCTION", "FLUSH")
        assert await ids_of(store, key) == [f"e{n}" for n in range(21)]
        own_server.command("FUNCTION", "FLUSH")
        assert await store.raise_fence(key, "t1") == 1


async def test_a_server_that_comes_back_empty_knows_no_session(own_server: RedisServer) -> None:
    async with opened(own_server.url) as store:
        key = await create(store)
        await append(store, key, event("e1"))
        own_server.command("FLUSHALL")
        own_server.command("FUNCTION", "FLUSH")
        assert await refused(store, key, event("e2")) == "no_such_session"
        await create(store, key=key, epoch="epoch002")
        assert (await append(store, key, event("e1")))[0].seq == 1


async def test_a_server_killed_under_load_loses_nothing_acknowledged_and_doubles_nothing(own_server: RedisServer) -> None:
    async with opened(own_server.url, append_wait_s=60.0) as store:
        key = await create(store)
        for first in (0, 300, 600):
            streaming = asyncio.ensure_future(stream(store, key, 300, first=first))
            await until(lambda: holds(store.is_available), "the server serves")
            own_server.kill()
            await asyncio.to_thread(own_server.start)
            sent = await streaming
            assert not [result for result in sent.values() if isinstance(result, AnypodError)]
            await check_exactly_once(store, key, sent)
        assert await ids_of(store, key) == [f"e{n}" for n in range(900)]


@pytest.mark.parametrize("kind", ["valkey", "redis"])
async def test_after_a_failover_to_a_replica_that_lagged_the_lost_tail_is_told(kind: Any, tmp_path: Path) -> None:
    with running(kind, tmp_path / "primary", "--repl-diskless-sync-delay", "0") as primary, running(kind, tmp_path / "replica") as replica:
        replica.command("REPLICAOF", "127.0.0.1", primary.port)
        async with opened(primary.url) as store:
            key = await create(store)
            kept = [(await append(store, key, event(f"e{n}")))[0].cursor for n in (1, 2, 3)]
            await until(lambda: holds(primary.command("WAIT", 1, 100) == 1), "the replica has everything")
            await until(lambda: holds(replica.command("EXISTS", Keyspace("anypod").session(key).log) == 1), "the replica has the log")
            replica.command("REPLICAOF", "NO", "ONE")
            lost = [(await append(store, key, event(f"lost{n}")))[0].cursor for n in (1, 2)]
            primary.kill()
            replica.command("CONFIG", "SET", "port", primary.port)  # the name now leads to the other server

            async def has_failed_over() -> bool:
                try:
                    return len(await log_of(store, key)) == 3
                except AnypodError:
                    return False

            await until(has_failed_over, "the store has found the new primary")
            assert [await verdict(store, key, cursor) for cursor in lost] == [Reset("rolled_back", 3)] * 2
            again = [(await append(store, key, event(f"lost{n}")))[0] for n in (1, 2)]
            assert [(item.seq, item.is_duplicate) for item in again] == [(4, False), (5, False)]
            assert [await verdict(store, key, cursor) for cursor in lost] == [Reset("rolled_back", 3)] * 2
            assert [await verdict(store, key, cursor) for cursor in kept] == [Resume(1), Resume(2), Resume(3)]


async def test_a_primary_that_becomes_a_replica_in_use_refuses_until_it_is_one_again(own_server: RedisServer) -> None:
    async with opened(own_server.url, append_wait_s=0.5) as store:
        key = await create(store)
        own_server.command("REPLICAOF", "127.0.0.1", 1)
        assert await refused(store, key, event("e1")) == "unavailable"
        own_server.command("REPLICAOF", "NO", "ONE")

        async def is_back() -> bool:
            return not isinstance(await send(store, key, event("e2")), AnypodError)

        await until(is_back, "appends are accepted")
        assert "e2" in await ids_of(store, key)


async def test_a_full_server_says_so_and_still_reads_and_deletes(own_server: RedisServer) -> None:
    async with opened(own_server.url) as store:
        key, other = await create(store), await create(store)
        await append(store, key, event("e1"))
        own_server.command("CONFIG", "SET", "maxmemory", "1mb")
        outcome = await send(store, key, event("e2"))
        assert isinstance(outcome, AnypodError)
        assert (outcome.code, outcome.retry_after_ms is not None) == ("storage_full", True)
        assert await refused(store, key, event("e3"), event("e4")) == "storage_full"
        assert await refused_call(create(store)) == "storage_full"
        assert await refused_call(store.raise_fence(key, "t1")) == "storage_full"
        assert await ids_of(store, key) == ["e1"]
        await store.tidy(key)
        await store.end(key, None)
        await store.delete(other, None)
        own_server.command("CONFIG", "SET", "maxmemory", "0")
        assert (await append(store, await create(store), event("e1")))[0].seq == 1


async def test_a_session_whose_stream_is_ahead_of_its_head_fails_alone(own_server: RedisServer) -> None:
    async with opened(own_server.url) as store:
        broken, sound = await create(store), await create(store)
        await append(store, broken, event("whole"))
        own_server.command("XADD", Keyspace("anypod").session(broken).log, "99-1000000000", "f", "not ours")
        outcomes = await asyncio.gather(
            *(send(store, key, event(f"e{n}")) for n in range(10) for key in (broken, sound)),
        )
        assert {outcome.code for outcome in outcomes[::2] if isinstance(outcome, AnypodError)} == {"internal"}
        assert [outcome[0].seq for outcome in outcomes[1::2] if not isinstance(outcome, AnypodError)] == list(range(1, 11))
        assert await ids_of(store, broken) == ["whole"]
        assert store.is_available
