"""TLS, and a user that may do what anypod does and nothing else."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tests.store.certificates import certificate_for_localhost
from tests.store.kit import CHAT, OWNER, STRANGER, Ear, append, create, delta, event, log_of, page, patch
from tests.store.redis_kit import calls_of, opened
from tests.support.redis_clusters import cluster
from tests.support.redis_servers import RedisServer, free_port, running
from tests.support.waiting import until

from anypod.core.errors import AnypodError
from anypod.core.identity import partition
from anypod.redis_store import RedisStore
from anypod.redis_store.functions import FunctionLibrary
from anypod.store import Member

# The rules of the user, as `service/docs/operations.md` gives them.
REQUESTS = "+select +role +info +client|setname +config|get +fcall +ssubscribe +sunsubscribe +spublish"
FUNCTIONS = "+function|load +function|list +function|delete"
HASHES = "+hget +hset +hmget +hdel +hincrby +hgetall +hlen +hscan"
STREAMS = "+xadd +xlen +xtrim +xrange +xrevrange +xgroup|create +xgroup|destroy"
SETS = "+zadd +zrem +zcard +zscore +zrange +zrangebyscore +zrevrangebyscore"
KEYS = "+get +getdel +set +pttl +pexpire +pexpireat +object|encoding +memory|usage +time +type +scan +unlink"
COMMANDS = " ".join((REQUESTS, FUNCTIONS, HASHES, STREAMS, SETS, KEYS)).split()
IN_A_CLUSTER = ("+cluster|slots", "+cluster|nodes")
NAMES = ("resetkeys", "~anypod:*", "resetchannels", "&anypod:*")
OLD = b"anypod_01d01d03"  # the library of a version that nobody runs
LOOKS: dict[str, Any] = {"library_look_s": 0.05, "library_idle_s": 0.0}
TIDY_EVENTS = 40  # enough for the housekeeping within appends


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("tls")


@pytest.fixture(scope="module")
def server(folder: Path) -> Iterator[RedisServer]:
    """A server whose second port is TLS, for clients with a certificate."""
    certificate, key = certificate_for_localhost(folder)
    files = ("--tls-cert-file", str(certificate), "--tls-key-file", str(key), "--tls-ca-cert-file", str(certificate))
    with running("redis", folder / "data", "--tls-port", str(free_port()), "--tls-auth-clients", "yes", *files) as server:
        yield server


@pytest.fixture
def options(folder: Path) -> dict[str, str]:
    certificate, key = str(folder / "server.crt"), str(folder / "server.key")
    return {"tls_ca_file": certificate, "tls_cert_file": certificate, "tls_key_file": key}


def tls_url(server: RedisServer, path: str = "/0") -> str:
    reply = server.command("CONFIG", "GET", "tls-port")
    assert isinstance(reply, list)
    assert isinstance(reply[1], bytes)
    return f"rediss://anypod:secret@127.0.0.1:{reply[1].decode()}{path}"


def permit(server: RedisServer, *commands: str) -> None:
    server.pipeline([["ACL", "SETUSER", "anypod", "reset", "on", ">secret", *NAMES, *commands], ["ACL", "LOG", "RESET"]])


def denied(server: RedisServer) -> set[bytes]:
    """What the user asked for in vain."""
    entries = server.command("ACL", "LOG")
    assert isinstance(entries, list)
    objects = [entry[entry.index(b"object") + 1] for entry in entries if isinstance(entry, list)]
    return {name for name in objects if isinstance(name, bytes)}


async def use(store: RedisStore, ear: Ear) -> None:
    """Everything that a store does."""
    key = await create(store, replace(CHAT, retain_events=20), state=b'{"a":1}', live=b'{"b":1}')
    await store.subscribe(key)
    await append(store, key, delta("d1", "part"), event("e0", replaces="part"), patch=patch(1, state=b'{"a":2}', live=b'{"b":2}'))
    for n in range(1, TIDY_EVENTS):
        await append(store, key, event(f"e{n}"))
    await ear.until(lambda: len(ear.frames(key)) == TIDY_EVENTS + 1, "every event")
    await store.tidy(key)
    store.schedule(key, 1)
    await store.due(partition(key), limit=10)
    await store.keep(key)
    await store.raise_fence(key, "turn")
    await store.join(key, "life", (Member("member", "a1", b"{}"),))
    await store.present(key)
    await store.keep_life("life", (partition(key),))
    await store.bury(key, "another life", ("member",))
    await store.leave(key, "life", "member", "a1")
    store.withdraw(key, "phone/ann", await store.claim(key, "phone/ann"))
    await store.claims([(key, "phone/ann")])
    await store.announce("life", b"{}", ttl_ms=1_000)
    await store.announce("life", b"", ttl_ms=1_000)
    await log_of(store, key)
    await page(store, key, 0, limit=1, fold=True)
    await store.history(key, None, limit=5)
    await store.heads([key])
    await store.touch(key)
    await store.usage(key.tenant, OWNER)
    await store.sessions(key.tenant, OWNER, before_ms=None, limit=5)
    await store.swap_note("ticket", b"{}", ttl_ms=1_000)
    await store.swap_note("ticket", None, ttl_ms=1_000)
    await store.swap_erasure("name", None, b"{}", ttl_ms=1_000)
    await store.erasures()
    await store.swap_erasure("name", b"{}", None, ttl_ms=1_000)
    cursor = (await store.erase(key.tenant, STRANGER, "", limit=100)).cursor
    while cursor:
        cursor = (await store.erase(key.tenant, STRANGER, cursor, limit=100)).cursor
    store.unsubscribe(key)
    await store.end(key, OWNER)
    await store.delete(key, OWNER)


def leave_a_library(server: RedisServer) -> None:
    own = FunctionLibrary()
    server.command("FUNCTION", "LOAD", "REPLACE", own.source.replace(own.library.removeprefix(b"anypod_"), OLD.removeprefix(b"anypod_")))


async def is_looked_after(server: RedisServer) -> bool:
    """The old library has gone, or whoever wanted to remove it may not."""
    return not server.command("FUNCTION", "LIST", "LIBRARYNAME", OLD) or bool(denied(server))


async def test_a_user_with_the_commands_of_the_manual_can_do_everything_over_tls(server: RedisServer, options: Any) -> None:
    permit(server, *COMMANDS)
    leave_a_library(server)
    ear = Ear()
    async with opened(tls_url(server, "/3"), ear, **options, **LOOKS) as store:
        await use(store, ear)
        await until(lambda: is_looked_after(server), "the end of the old library")
    assert denied(server) == set()


async def test_a_user_with_the_commands_of_the_manual_can_do_everything_in_a_cluster_over_tls(tmp_path: Path) -> None:
    certificate, key = certificate_for_localhost(tmp_path)
    files = ("--tls-cert-file", str(certificate), "--tls-key-file", str(key), "--tls-ca-cert-file", str(certificate))
    ports = [free_port() for _ in range(3)]
    with cluster(
        "redis", tmp_path / "nodes", options=lambda number: ("--tls-cluster", "yes", "--tls-port", str(ports[number]), *files)
    ) as nodes:
        for node in nodes.primaries:
            permit(node, *COMMANDS, *IN_A_CLUSTER)
        for _ in range(5):  # sessions of several nodes
            ear = Ear()
            url = f"rediss+cluster://anypod:secret@127.0.0.1:{ports[0]}"
            async with opened(url, ear, tls_ca_file=str(certificate), tls_cert_file=str(certificate), tls_key_file=str(key)) as store:
                await use(store, ear)
        assert [denied(node) for node in nodes.primaries] == [set()] * 3
        assert all(calls_of(node, "ssubscribe") for node in nodes.primaries)


@pytest.mark.parametrize(("durability", "command"), [("replicated", "wait"), ("fsynced", "waitaof")])
async def test_durability_asks_for_one_command_more(durability: str, command: str, tmp_path: Path) -> None:
    with running("valkey", tmp_path) as server:
        url = f"redis://anypod:secret@127.0.0.1:{server.port}"
        permit(server, *COMMANDS)
        with pytest.raises(AnypodError, match=f"cannot promise durability {durability}"):
            async with opened(url, durability=durability):
                pass
        permit(server, *COMMANDS, f"+{command}")
        async with opened(url, durability=durability) as store:
            await create(store)
        assert denied(server) == set()


@pytest.mark.parametrize("command", COMMANDS)
async def test_the_manual_names_no_command_too_many(command: str, server: RedisServer, options: Any) -> None:
    permit(server, *(other for other in COMMANDS if other != command))
    leave_a_library(server)
    ear = Ear()
    try:
        async with opened(tls_url(server, "/3"), ear, **{**options, **LOOKS, "append_wait_s": 0.3, "reply_s": 0.3}) as store:
            await use(store, ear)
            await until(lambda: is_looked_after(server), "the end of the old library")
    except (AnypodError, TimeoutError):
        pass  # some are missed sooner than others
    assert command.removeprefix("+").encode() in denied(server)


async def test_the_user_reaches_nothing_else_on_the_server(server: RedisServer, options: Any) -> None:
    permit(server, *COMMANDS)
    with pytest.raises(AnypodError):
        async with opened(tls_url(server), prefix="other", **options) as store:
            await create(store)


async def test_a_server_is_believed_only_with_an_authority_that_is_trusted(server: RedisServer, options: Any) -> None:
    permit(server, *COMMANDS)
    with pytest.raises(AnypodError, match="cannot be used"):
        async with opened(tls_url(server), **{**options, "tls_ca_file": None}):
            pass


async def test_a_server_that_wants_a_certificate_lets_nobody_in_without(server: RedisServer, options: Any) -> None:
    permit(server, *COMMANDS)
    with pytest.raises(AnypodError, match="cannot be used"):
        async with opened(tls_url(server), tls_ca_file=options["tls_ca_file"]):
            pass


async def test_a_certificate_that_cannot_be_read_is_told_at_the_start(server: RedisServer, folder: Path) -> None:
    (broken := folder / "broken.crt").write_text("nothing")
    for wrong in (broken, folder / "none.crt"):
        with pytest.raises(AnypodError, match="the certificates for Redis cannot be used") as caught:
            async with opened(tls_url(server), tls_ca_file=str(wrong)):
                pass
        assert str(wrong) in caught.value.message
