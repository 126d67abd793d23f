"""Function libraries of versions that nobody runs are removed; those that somebody runs are not, and one that vanishes is loaded again."""

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest
from tests.store.kit import create, event, ids_of, log_of, send, seq_of
from tests.store.redis_kit import BRISK, opened
from tests.support.redis_clusters import Cluster
from tests.support.redis_servers import RedisServer
from tests.support.waiting import until

from anypod.core.event import Receipt
from anypod.redis_store.functions import FunctionLibrary

OWN = FunctionLibrary()
DIGEST = OWN.library.removeprefix(b"anypod_")
LOOKS: dict[str, Any] = {"library_look_s": 0.05, "library_idle_s": 0.4}


def of_version(digest: bytes) -> bytes:
    """The library of another version."""
    return OWN.source.replace(DIGEST, digest)


def libraries(server: RedisServer) -> set[bytes]:
    found = server.command("FUNCTION", "LIST", "LIBRARYNAME", "anypod_*")
    assert isinstance(found, list)
    return {one[1] for one in found if isinstance(one, list) and isinstance(one[1], bytes)}


async def are(servers: Sequence[RedisServer], *names: bytes) -> bool:
    return all(libraries(server) == set(names) for server in servers)


async def test_a_library_that_no_replica_calls_is_removed_after_a_while(own_server: RedisServer) -> None:
    own_server.command("FUNCTION", "LOAD", of_version(b"01d01d01"))
    own_server.command("FUNCTION", "LOAD", b"#!lua name=other\nredis.register_function('idle_of_others', function() return 1 end)")
    async with opened(own_server.url, **LOOKS):
        assert libraries(own_server) == {OWN.library, b"anypod_01d01d01"}, "not at once"
        await until(lambda: are([own_server], OWN.library), "the end of the old library")
    assert own_server.command("FUNCTION", "LIST", "LIBRARYNAME", "other"), "what is not ours stays"


async def test_a_library_that_a_replica_of_another_prefix_calls_stays(own_server: RedisServer) -> None:
    own_server.command("FUNCTION", "LOAD", of_version(b"01d01d01"))
    async with opened(own_server.url, **LOOKS):
        for _ in range(20):
            own_server.command("FCALL", b"use_01d01d01", 0)  # as every replica does
            await asyncio.sleep(0.05)
        assert await are([own_server], OWN.library, b"anypod_01d01d01")
        await until(lambda: are([own_server], OWN.library), "the end of the old library")


async def test_a_library_that_cannot_tell_stays(own_server: RedisServer) -> None:
    """As that of release 0.1.0."""
    own_server.command("FUNCTION", "LOAD", b"#!lua name=anypod_0a0a0a0a\nredis.register_function('read_0a0a0a0a', function() return 1 end)")
    async with opened(own_server.url, library_look_s=0.02, library_idle_s=0.0):
        await asyncio.sleep(0.5)
        assert await are([own_server], OWN.library, b"anypod_0a0a0a0a")


async def test_of_a_cluster_every_primary_is_looked_at(cluster_nodes: Cluster) -> None:
    for node in cluster_nodes.primaries:
        node.command("FUNCTION", "LOAD", of_version(b"01d01d02"))
    async with opened(cluster_nodes.url, **LOOKS):
        await until(lambda: are(cluster_nodes.primaries, OWN.library), "the end of the old libraries")


async def test_a_user_that_may_not_list_functions_is_told_once_and_served(
    own_server: RedisServer, caplog: pytest.LogCaptureFixture
) -> None:
    own_server.command("ACL", "SETUSER", "anypod", "reset", "on", ">secret", "~*", "&*", "+@all", "-function|list")
    url = f"redis://anypod:secret@127.0.0.1:{own_server.port}"
    async with opened(url, library_look_s=0.02, library_idle_s=0.0) as store:
        await asyncio.sleep(0.3)
        await create(store)
    assert [record.levelname for record in caplog.records if "libraries of old versions stay" in record.message] == ["WARNING"]


async def test_a_replica_whose_library_is_removed_under_load_loses_and_doubles_nothing(own_server: RedisServer) -> None:
    async with opened(own_server.url, **BRISK) as store:
        keys = [await create(store) for _ in range(3)]
        sent, removed = [], 0
        for number in range(300):
            sent += [send(store, key, event(f"e{number}")) for key in keys]
            if number % 50 == 25 and libraries(own_server):  # it may not be back yet from the last time
                own_server.command("FUNCTION", "DELETE", OWN.library)
                removed += 1
            await asyncio.sleep(0.002)
        assert removed > 1
        outcomes = await asyncio.gather(*sent)
        assert all(isinstance(receipt, Receipt) for results in outcomes for receipt in results)
        for key in keys:
            assert await ids_of(store, key) == [f"e{number}" for number in range(300)]
            assert [seq_of(frame) for frame in await log_of(store, key)] == list(range(1, 301))
        assert libraries(own_server) == {OWN.library}
