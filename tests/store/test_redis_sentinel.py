"""Behind Sentinels: the primary is found, left when it is no longer one, and found again."""

import asyncio
import time
from pathlib import Path
from typing import Any

import pytest
from tests.store.kit import Ear, append, create, event, ids_of, send
from tests.store.redis_kit import calls_of, opened
from tests.support.options import redis_options_of
from tests.support.redis_clusters import NAME, STALL_MS, Watched, role, wait_for, watched
from tests.support.redis_servers import free_port

from anypod.clock import SystemClock, system_random
from anypod.core.errors import AnypodError
from anypod.redis_store import RedisStore
from anypod.redis_store.keys import Keyspace
from anypod.redis_store.topology.sentinel import ASK_S, BEHIND_S_MAX, Sentinels
from anypod.redis_store.url import Deployment

KINDS = ["redis", "valkey"]
RENAMED_S_MAX = 20.0
FAILOVER_S = 4.0  # from the death of a primary to the next event, with Sentinels that call it dead after one second


@pytest.mark.parametrize("kind", KINDS)
async def test_after_the_death_of_the_primary_writes_go_on_within_four_seconds(kind: Any, tmp_path: Path) -> None:
    ear = Ear()
    with watched(kind, tmp_path) as servers:
        first = servers.primary()
        async with opened(servers.url, ear, append_wait_s=10.0) as store:
            key = await create(store)
            await store.subscribe(key)
            await append(store, key, event("before"))
            assert first.command("WAIT", 1, 1_000) == 1, "the replica has the event"
            began = time.monotonic()
            first.kill()
            await append(store, key, event("after"))
            took_s = time.monotonic() - began
            assert took_s < FAILOVER_S
            assert await ids_of(store, key) == ["before", "after"]
            await ear.until(lambda: bool(ear.barriers), "a barrier")
            await append(store, key, event("heard"))
            await ear.until(lambda: bool(ear.frames(key)) and b'"heard"' in ear.frames(key)[-1], "the feed hears the new primary")


async def test_nobody_writes_to_an_old_primary_that_comes_back_and_thinks_that_it_is_still_one(tmp_path: Path) -> None:
    with watched("redis", tmp_path) as servers:
        first = servers.primary()
        async with opened(servers.url, append_wait_s=10.0) as store:
            key = await create(store)
            first.kill()
            await append(store, key, event("e0"))
            await asyncio.to_thread(first.start)
            assert role(first) == b"master", "nobody has told it yet"
            assert [(await append(store, key, event(f"e{n}")))[0].seq for n in range(1, 21)] == list(range(2, 22))
            log = Keyspace("anypod").session(key).log
            await asyncio.to_thread(wait_for, lambda: first.command("XLEN", log) == 21, "the old primary follows the new one")
            assert role(first) == b"slave"
            assert not calls_of(first, "fcall"), "it has what it has from the new primary"


async def test_a_primary_that_hangs_is_left_although_its_connections_stay_open(tmp_path: Path) -> None:
    with watched("redis", tmp_path) as servers:
        first = servers.primary()
        async with opened(servers.url, append_wait_s=10.0, reply_s=60.0) as store:
            key = await create(store)
            await append(store, key, event("before"))
            assert first.command("WAIT", 1, 1_000) == 1
            with first.frozen():
                await append(store, key, event("after"))
                assert servers.primary() is not first
            assert await ids_of(store, key) == ["before", "after"]
            await asyncio.to_thread(wait_for, lambda: role(first) == b"slave", "the old primary follows the new one")
            assert (await append(store, key, event("later")))[0].seq == 3


async def test_a_new_connection_does_not_wait_for_an_old_primary_that_has_fallen_silent(tmp_path: Path) -> None:
    with watched("redis", tmp_path) as servers:
        first = servers.primary()
        async with opened(servers.url, append_wait_s=10.0, connect_s=60.0, reply_s=60.0) as store:
            key = await create(store)
            await append(store, key, event("before"))
            assert first.command("WAIT", 1, 1_000) == 1
            first.command("CLIENT", "KILL", "TYPE", "normal")
            with first.frozen():  # whoever connects now is not answered
                began = time.monotonic()
                await append(store, key, event("after"))
                assert time.monotonic() - began < FAILOVER_S
            assert await ids_of(store, key) == ["before", "after"]


async def test_a_primary_that_changes_places_in_order_is_followed(tmp_path: Path) -> None:
    with watched("redis", tmp_path) as servers:
        async with opened(servers.url, append_wait_s=15.0) as store:
            key = await create(store)
            await append(store, key, event("before"))
            servers.sentinels[1].command("SENTINEL", "FAILOVER", NAME)
            sent = [send(store, key, event(f"e{n}")) for n in range(200)]
            assert not [result for result in await asyncio.gather(*sent) if isinstance(result, AnypodError)]
            first = servers.servers[0]
            await asyncio.to_thread(wait_for, lambda: role(first) == b"slave", "the old primary is a replica")
            await append(store, key, event("after"))
            found = await ids_of(store, key)
            assert (found[-1], len(found), len(set(found))) == ("after", len(found), len(found))


async def test_all_connections_leave_an_old_primary_together(tmp_path: Path) -> None:
    """Otherwise one may still read there what another has written elsewhere."""
    with watched("redis", tmp_path) as servers:
        options = redis_options_of(servers.url)
        place = Sentinels(Deployment.parse(options), options, SystemClock())
        address = await place.find()
        one, another = asyncio.Event(), asyncio.Event()
        following = asyncio.create_task(place.follow())
        with place.watched(address, one.set), place.watched(address, another.set):
            servers.sentinels[1].command("SENTINEL", "FAILOVER", NAME)
            async with asyncio.timeout(RENAMED_S_MAX):
                await one.wait()
            assert another.is_set()
        late = asyncio.Event()
        with place.watched(address, late.set):
            assert late.is_set(), "whoever was still on the way there is told"
        following.cancel()
        await asyncio.gather(following, return_exceptions=True)
        place.close()


class SteppedClock(SystemClock):
    def __init__(self) -> None:
        self.ahead_s = 0.0

    def now(self) -> float:
        return super().now() + self.ahead_s


async def test_sentinels_that_have_not_heard_of_a_failover_yet_lead_nobody_back(tmp_path: Path) -> None:
    with watched("redis", tmp_path) as servers:
        old, (leader, *others) = servers.primary(), servers.sentinels
        clock, options = SteppedClock(), redis_options_of(servers.url)
        place = Sentinels(Deployment.parse(options), options, clock)
        before = await place.find()
        leader.command("SENTINEL", "FAILOVER", NAME)
        await asyncio.to_thread(wait_for, lambda: servers.primary() is not old, "the new primary is named")
        await place.verify_primary()
        after = await place.find()
        assert after != before
        with leader.frozen():
            for other in others:
                other.command("SENTINEL", "REMOVE", NAME)
                other.monitor(old, 2, STALL_MS)
            await place.verify_primary()
            assert await place.find() == after
            clock.ahead_s = BEHIND_S_MAX
            await place.verify_primary()
            assert await place.find() == before, "what they say for so long holds"
        place.close()


async def replace_alive(servers: Watched) -> None:
    """Another primary is named, and the old one, which the Sentinels cannot demote, still says that it is one."""
    old = servers.primary()
    old.command("ACL", "SETUSER", "default", "-replicaof", "-slaveof")
    servers.sentinels[0].command("SENTINEL", "FAILOVER", NAME)
    await asyncio.to_thread(wait_for, lambda: servers.primary() is not old, "the new primary is named")


class SlowClock(SystemClock):
    """An answer stays fresh for minutes."""

    def now(self) -> float:
        return super().now() / 1_000


async def test_an_old_primary_that_is_connected_to_once_more_is_not_written_to(tmp_path: Path) -> None:
    """It still says that it is the primary, and so does the answer of a moment ago."""
    with watched("redis", tmp_path) as servers:
        old = servers.primary()
        store = RedisStore(redis_options_of(servers.url), SlowClock(), system_random())
        await store.open(Ear())
        key = await create(store)
        assert old.command("WAIT", 1, 1_000) == 1
        await replace_alive(servers)
        old.command("CLIENT", "KILL", "TYPE", "normal")
        await append(store, key, event("e1"))
        assert role(old) == b"master"
        log = Keyspace("anypod").session(key).log
        assert [server.command("XLEN", log) for server in (old, servers.primary())] == [0, 1]
        await store.close()


class LongBetweenQuestions(SystemClock):
    """Whoever has asked where the primary is does not ask again soon."""

    async def sleep(self, seconds: float) -> None:
        await super().sleep(3_600.0 if seconds == ASK_S else seconds)


async def test_what_is_read_after_a_confirmation_is_of_the_new_primary(tmp_path: Path) -> None:
    with watched("redis", tmp_path) as servers:
        old = servers.primary()
        store = RedisStore(redis_options_of(servers.url), LongBetweenQuestions(), system_random())
        await store.open(Ear())
        key = await create(store)
        await append(store, key, event("before"))
        assert old.command("WAIT", 1, 1_000) == 1
        await replace_alive(servers)
        async with opened(servers.url) as other:
            await append(other, key, event("after"))
        assert await ids_of(store, key) == ["before"], "nobody has told it yet"
        await store.verify_primary()
        assert await ids_of(store, key) == ["before", "after"]
        await store.close()


async def test_one_sentinel_is_enough_to_start_with(tmp_path: Path) -> None:
    with watched("redis", tmp_path) as servers:
        nobody = f"redis+sentinel://127.0.0.1:{free_port()}"
        last = servers.sentinels[2].port
        async with opened(f"{nobody},127.0.0.1:{last}/{NAME}/3") as store:
            assert (await append(store, await create(store), event("e1")))[0].seq == 1


@pytest.mark.parametrize("name", ["another", NAME])
async def test_what_no_sentinel_knows_is_refused_in_one_line(name: str, tmp_path: Path) -> None:
    with watched("redis", tmp_path) as servers:
        if name == NAME:
            for sentinel in servers.sentinels:
                sentinel.kill()
        with pytest.raises(AnypodError, match=f"no Sentinel knows where {name} is; asked: 127.0.0.1:") as caught:
            async with opened(servers.url.replace(NAME, name)):
                pass
        assert caught.value.code == "unavailable"


async def test_sentinels_have_a_password_of_their_own(tmp_path: Path) -> None:
    with watched("redis", tmp_path) as servers:
        lock(servers)
        async with opened(servers.url.replace("://", "://:inner@"), sentinel_password="outer") as store:
            assert (await append(store, await create(store), event("e1")))[0].seq == 1
        with pytest.raises(AnypodError, match="no Sentinel knows"):
            async with opened(servers.url.replace("://", "://:inner@")):
                pass


def lock(servers: Watched) -> None:
    """Passwords everywhere: `inner` for the servers, `outer` for the Sentinels."""
    for sentinel in servers.sentinels:
        sentinel.command("SENTINEL", "SET", NAME, "auth-pass", "inner")
    for server in servers.servers:
        server.pipeline([["CONFIG", "SET", "masterauth", "inner"], ["CONFIG", "SET", "requirepass", "inner"]])
    for sentinel in servers.sentinels:
        sentinel.pipeline([["SENTINEL", "CONFIG", "SET", "sentinel-pass", "outer"], ["ACL", "SETUSER", "default", ">outer"]])
