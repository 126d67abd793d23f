"""At start the server is looked at, and refused in one line that says what to do."""

from pathlib import Path
from typing import Any

import pytest
from tests.store.kit import Ear, append, create, event
from tests.support.options import redis_options_of
from tests.support.redis_servers import RedisServer, free_port, running

from anypod.clock import SystemClock, system_random
from anypod.core.errors import AnypodError
from anypod.redis_store import RedisStore
from anypod.redis_store.preflight import check_server
from anypod.redis_store.url import Deployment, Endpoint
from anypod.redis_store.wire.handshake import check_primary, dial

KINDS = ["valkey", "redis"]


def store_at(url: str, **options: Any) -> RedisStore:
    return RedisStore(redis_options_of(url, **options), SystemClock(), system_random())


async def refusal(url: str, **options: Any) -> str:
    """The line with which a start fails."""
    with pytest.raises(AnypodError) as caught:
        await store_at(url, **options).open(Ear())
    assert caught.value.code == "unavailable"
    assert "\n" not in caught.value.message
    return caught.value.message


async def works(url: str, **options: Any) -> None:
    store = store_at(url, **options)
    await store.open(Ear())
    try:
        assert (await append(store, await create(store), event("e1")))[0].seq == 1
    finally:
        await store.close()


async def test_an_address_where_nobody_listens_is_refused() -> None:
    port = free_port()
    line = await refusal(f"redis://127.0.0.1:{port}")
    assert f"Redis at 127.0.0.1:{port} cannot be used" in line
    assert "start it, or correct the Redis URL" in line


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1",
        "redis://",
        "redis://h:port",
        "redis://h/db",
        "redis://a,b",
        "redis+ring://h",
        "redis+sentinel://h",
        "redis+cluster://h/1",
        "nonsense",
    ],
)
async def test_an_address_that_is_none_is_refused(url: str) -> None:
    assert "must look like redis://" in await refusal(url)


@pytest.mark.parametrize("kind", KINDS)
async def test_a_server_that_evicts_is_refused_until_it_does_not(kind: Any, tmp_path: Path) -> None:
    with running(kind, tmp_path, "--maxmemory-policy", "allkeys-lru") as server:
        assert "set it to noeviction" in await refusal(server.url)
        server.command("CONFIG", "SET", "maxmemory-policy", "noeviction")
        await works(server.url)


@pytest.mark.parametrize("kind", KINDS)
async def test_a_server_that_forbids_config_still_tells_its_policy(kind: Any, tmp_path: Path) -> None:
    with running(kind, tmp_path, "--rename-command", "CONFIG", "", "--maxmemory-policy", "volatile-ttl") as server:
        assert "set it to noeviction" in await refusal(server.url)
    with running(kind, tmp_path, "--rename-command", "CONFIG", "") as server:
        await works(server.url)


@pytest.mark.parametrize("kind", KINDS)
async def test_a_replica_is_refused_because_it_cannot_be_written(kind: Any, tmp_path: Path) -> None:
    with running(kind, tmp_path) as server:
        server.command("REPLICAOF", "127.0.0.1", 1)
        assert "name its primary" in await refusal(server.url)


@pytest.mark.parametrize("kind", KINDS)
async def test_a_connection_asks_the_server_itself_whether_it_is_the_primary(kind: Any, tmp_path: Path) -> None:
    with running(kind, tmp_path) as server:
        options = redis_options_of(server.url)
        connection = await dial(Deployment.parse(options).address(Endpoint(server.host, server.port)), options, lambda: None)
        await check_primary(connection)
        server.command("REPLICAOF", "127.0.0.1", 1)
        with pytest.raises(AnypodError, match="is a replica"):
            await check_primary(connection)
        connection.abort()


@pytest.mark.parametrize("kind", KINDS)
async def test_a_node_of_a_cluster_is_refused_as_a_single_server(kind: Any, tmp_path: Path) -> None:
    with running(kind, tmp_path, "--cluster-enabled", "yes", "--cluster-port", str(free_port())) as server:
        assert "begin the Redis URL with redis+cluster://" in await refusal(server.url)


@pytest.mark.parametrize(
    ("server", "is_usable"),
    [
        ({"redis_version": "6.2.14"}, False),
        ({"redis_version": "7.0.0"}, True),
        ({"redis_version": "8.2.1"}, True),
        ({"redis_version": "7.2.4", "valkey_version": "7.2.5"}, False),
        ({"redis_version": "7.2.4", "valkey_version": "8.0.0"}, True),
    ],
)
def test_a_server_that_is_too_old_is_refused(server: dict[str, object], *, is_usable: bool) -> None:
    if is_usable:
        check_server(server, {"role": "master"})
    else:
        with pytest.raises(AnypodError, match="too old"):
            check_server(server, {"role": "master"})


@pytest.mark.parametrize("kind", KINDS)
async def test_user_password_and_database_come_from_the_url(kind: Any, tmp_path: Path) -> None:
    with running(kind, tmp_path) as server:
        server.pipeline([["ACL", "SETUSER", "anypod", "on", ">p%ss/word", "~anypod:*", "&anypod:*", "+@all", "-@dangerous", "+info"]])
        stem = f"127.0.0.1:{server.port}"
        assert "does not accept the user or password" in await refusal(f"redis://anypod:wrong@{stem}")
        await works(f"redis://anypod:p%25ss%2Fword@{stem}/3")
        server.command("CONFIG", "SET", "requirepass", "secret")
        await works(f"redis://:secret@{stem}")
        assert "does not accept the user or password" in await refusal(f"redis://{stem}")
        line = await refusal(f"redis://:wrong@{stem}")
        assert "wrong" not in line, "a line never quotes a password"


async def test_what_else_a_server_refuses_is_told_in_its_own_words(own_server: RedisServer) -> None:
    own_server.command("ACL", "SETUSER", "anypod", "on", ">secret", "~*", "&*", "+@all", "-function")
    assert "DB index is out of range" in await refusal(f"{own_server.url}/99")
    assert "function|load" in await refusal(f"redis://anypod:secret@127.0.0.1:{own_server.port}")


async def test_a_server_that_says_nothing_may_be_tried_again(own_server: RedisServer) -> None:
    with own_server.frozen(), pytest.raises(AnypodError, match="cannot be used") as caught:
        await store_at(own_server.url, connect_s=0.1).open(Ear())
    assert caught.value.retry_after_ms is not None


@pytest.mark.parametrize("kind", KINDS)
async def test_two_prefixes_on_one_server_know_nothing_of_each_other(kind: Any, tmp_path: Path) -> None:
    with running(kind, tmp_path) as server:
        one, two = store_at(server.url, prefix="one"), store_at(server.url, prefix="two")
        await one.open(Ear())
        await two.open(Ear())
        key = await create(one)
        assert await two.heads([key]) == {key: None}
        await one.close()
        await two.close()
