"""A place in a subject's index whose session is not there, because a reply was lost on the way, is given back."""

import pytest
from tests.store.kit import append, create, event, fresh_key, fresh_owner, is_missing, refused_call
from tests.store.redis_kit import BRISK, calls_of, opened
from tests.support.redis_servers import RedisServer
from tests.support.tcp_proxy import between

from anypod.core.identity import Subject, TenantId
from anypod.redis_store.keys import Keyspace
from anypod.store import Store

ACME = TenantId("acme")


def grow_old(server: RedisServer, owner: Subject) -> None:
    """Two minutes go by for the index."""
    index = Keyspace("anypod").index(ACME, owner)
    listed = server.command("ZRANGE", index.active, 0, -1, "WITHSCORES")
    assert isinstance(listed, list)
    for name, at in zip(listed[::2], listed[1::2], strict=True):
        assert isinstance(name, bytes)
        assert isinstance(at, bytes)
        server.command("ZADD", index.active, str(int(float(at)) - 120_000), name)
    server.command("HDEL", index.sizes, "?")


async def listed(store: Store, owner: Subject) -> int:
    return len(await store.sessions(ACME, owner, before_ms=None, limit=9))


@pytest.mark.parametrize("is_heard", [False, True])
async def test_a_creation_whose_connection_is_cut_keeps_no_place_for_ever(own_server: RedisServer, is_heard: bool) -> None:
    owner, key = fresh_owner(), fresh_key()
    async with between(own_server.port) as proxy, opened(proxy.url, **BRISK) as store:
        await create(store, owner=owner, sessions_max=2)
        proxy.cuts_after, proxy.cuts_before = (b"create_", None) if is_heard else (None, b"create_")
        assert await refused_call(create(store, key=key, owner=owner, sessions_max=2)) == "unavailable"
        proxy.cuts_after = proxy.cuts_before = None
        assert is_missing(await store.read(key, None, limit=0)) is not is_heard
        assert await refused_call(create(store, owner=owner, sessions_max=2)) == "quota_exceeded", "it may still be under way"
        grow_old(own_server, owner)
        if is_heard:
            assert await refused_call(create(store, owner=owner, sessions_max=2)) == "quota_exceeded", "it is there"
            await create(store, key=key, owner=owner, sessions_max=2)
        else:
            await create(store, owner=owner, sessions_max=2)
        assert await listed(store, owner) == 2


async def test_a_deletion_whose_connection_is_cut_keeps_no_place_when_it_is_asked_for_again(own_server: RedisServer) -> None:
    owner = fresh_owner()
    async with between(own_server.port) as proxy, opened(proxy.url, **BRISK) as store:
        key = await create(store, owner=owner, sessions_max=1)
        await append(store, key, event("e1"))
        await store.touch(key)
        proxy.cuts_before = b"release_"
        assert await refused_call(store.delete(key, owner)) == "unavailable"
        proxy.cuts_before = None
        assert await listed(store, owner) == 1, "the place is still taken"
        assert (await store.usage(ACME, owner)).subject_bytes > 0
        assert await refused_call(store.delete(key, owner)) == "no_such_session"
        assert await listed(store, owner) == 0
        assert (await store.usage(ACME, owner)).subject_bytes == 0
        await create(store, owner=owner, sessions_max=1)


async def test_a_deletion_that_nobody_asks_for_again_keeps_no_place_for_ever(own_server: RedisServer) -> None:
    owner = fresh_owner()
    async with between(own_server.port) as proxy, opened(proxy.url, **BRISK) as store:
        key = await create(store, owner=owner, sessions_max=1)
        proxy.cuts_before = b"release_"
        assert await refused_call(store.delete(key, owner)) == "unavailable"
        proxy.cuts_before = None
        grow_old(own_server, owner)
        await create(store, owner=owner, sessions_max=1)
        assert await listed(store, owner) == 1


async def test_who_asks_again_and_again_makes_the_server_look_for_ghosts_once_a_minute(own_server: RedisServer) -> None:
    owner = fresh_owner()
    async with opened(own_server.url) as store:
        await create(store, owner=owner, sessions_max=1)
        before = calls_of(own_server, "fcall")
        for _ in range(20):
            assert await refused_call(create(store, owner=owner, sessions_max=1)) == "quota_exceeded"
        assert calls_of(own_server, "fcall") - before == 2 * 20 + 2, "each asks twice; one look for ghosts, one more try"
