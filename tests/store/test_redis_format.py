"""Sessions of other versions: what an older one wrote goes on, what a newer one wrote is left alone."""

import json
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from tests.store.kit import (
    OWNER,
    append,
    create,
    delta,
    event,
    fields,
    fresh_key,
    ids_of,
    log_of,
    patch,
    refused,
    refused_call,
    snapshot,
)
from tests.store.redis_kit import opened
from tests.support.redis_servers import RedisServer

from anypod.core.identity import SessionId, SessionKey, TenantId
from anypod.redis_store.keys import Keyspace
from anypod.store import Store

RECORDED = Path(__file__).parent / "session_of_format_1.json"  # by the code before a session had a format


def restore(server: RedisServer, key: SessionKey) -> None:
    """The recorded session, as if it had been appended to a minute ago."""
    names, held = Keyspace("anypod").session(key), json.loads(RECORDED.read_text())
    meta: dict[str, str] = held["hash"]
    ago_ms = time.time_ns() // 1_000_000 - 60_000 - int(meta["#7"].split()[0])
    for name in [name for name in meta if name[0] == "#"] + ["X", "x"]:
        at, space, rest = meta[name].partition(" ")
        meta[name] = f"{int(at) + ago_ms}{space}{rest}"
    server.command("HSET", names.meta, *(text.encode("latin-1") for item in meta.items() for text in item))
    for stream, entries in ((names.log, held["log"]), (names.deltas, held["deltas"])):
        for entry, frame in entries:
            server.command("XADD", stream, entry, "f", frame.encode("latin-1"))


async def test_a_session_that_was_written_before_there_were_formats_goes_on(own_server: RedisServer) -> None:
    key = SessionKey(TenantId("acme"), SessionId("old"))
    restore(own_server, key)
    async with opened(own_server.url) as store:
        assert await ids_of(store, key) == ["e1", "d1", "end", "d2", "d3", "d4", "e2"]
        found = await snapshot(store, key)
        assert (found.state, found.metadata, found.version, found.owner) == (b'{"a":2}', b'{"m":1}', 3, OWNER)
        assert (await append(store, key, event("e1")))[0].is_duplicate
        assert (await append(store, key, delta("d5", "open")))[0].seq == 8
        assert (await append(store, key, event("whole", replaces="open", author="whoever", is_own=True)))[0].seq == 9
        assert fields((await log_of(store, key))[-1])["replaces"] == {"part": "open", "first_seq": 4, "last_seq": 8}
        assert await append(store, key, patch=patch(3, state=b'{"a":3}')) == []
        assert await store.raise_fence(key, "t1") == 2
        await store.tidy(key)
        assert await ids_of(store, key) == ["e1", "end", "e2", "whole"], "the parts that were open have ended, and all deltas are folded"
        for number in range(100):
            await append(store, key, event(f"more{number}"))
        assert len(await ids_of(store, key)) == 104


async def test_a_session_says_its_format(own_server: RedisServer) -> None:
    async with opened(own_server.url) as store:
        key = await create(store)
        assert own_server.command("HGET", Keyspace("anypod").session(key).meta, "format") == b"1"


@pytest.mark.parametrize("number", ["2", "2 2", "17 2"])
async def test_a_session_of_a_newer_format_is_neither_written_nor_read(own_server: RedisServer, number: str) -> None:
    async with opened(own_server.url) as store:
        key = await create(store)
        await append(store, key, event("e1"))
        before = raise_format(own_server, key, number)
        calls: list[Callable[[Store], Awaitable[Any]]] = [
            lambda store: store.read(key, 0, limit=10),
            lambda store: store.history(key, None, limit=10),
            lambda store: create(store, key=key),
        ]
        assert [await refused_call(call(store)) for call in calls] == ["unavailable"] * 3
        await nothing_is_written(store, key)
        assert own_server.command("HGETALL", Keyspace("anypod").session(key).meta) == before


async def test_a_session_that_older_versions_may_read_is_read_and_not_written(own_server: RedisServer) -> None:
    async with opened(own_server.url) as store:
        key = await create(store)
        await append(store, key, event("e1"))
        before = raise_format(own_server, key, "2 1")
        assert await ids_of(store, key) == ["e1"]
        await nothing_is_written(store, key)
        assert own_server.command("HGETALL", Keyspace("anypod").session(key).meta) == before


async def nothing_is_written(store: Store, key: SessionKey) -> None:
    assert await refused(store, key, event("e2")) == "unavailable"
    assert await refused(store, key, event("e2"), event("e3")) == "unavailable"
    assert await refused(store, key, delta("d1", "p")) == "unavailable"
    assert await refused(store, key, patch=patch(1, state=b"{}")) == "unavailable"
    for call in (store.tidy(key), store.keep(key), store.end(key, None), store.raise_fence(key, "t"), store.delete(key, None)):
        assert await refused_call(call) == "unavailable"


def raise_format(server: RedisServer, key: SessionKey, number: str) -> object:
    """As a newer version does, which deletes `g`; the hash as it is then."""
    meta = Keyspace("anypod").session(key).meta
    server.command("HSET", meta, "format", number)
    server.command("HDEL", meta, "g")
    return server.command("HGETALL", meta)


async def test_a_refusal_for_the_format_says_so(own_server: RedisServer) -> None:
    async with opened(own_server.url) as store:
        key = await create(store, key=fresh_key())
        raise_format(own_server, key, "2")
        with pytest.raises(Exception, match="newer version of anypod"):
            await store.read(key, 0, limit=1)
