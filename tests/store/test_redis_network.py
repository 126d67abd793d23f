"""The network between store and server fails: what was sent arrives once, and a deaf feed is noticed."""

import asyncio

from tests.store.kit import (
    Ear,
    append,
    create,
    event,
    ids_of,
    patch,
    send,
    snapshot,
)
from tests.store.redis_kit import BRISK, calls_of, check_exactly_once, holds, opened, stream
from tests.support.redis_servers import RedisServer
from tests.support.tcp_proxy import between
from tests.support.waiting import until

from anypod.core.errors import AnypodError


async def test_connections_killed_while_appends_are_in_flight_lose_and_double_nothing(own_server: RedisServer) -> None:
    async with opened(own_server.url) as store:
        key = await create(store)
        streaming = asyncio.ensure_future(stream(store, key, 3_000))
        while not streaming.done():
            await asyncio.to_thread(own_server.command, "CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
            await asyncio.sleep(0.02)
        sent = await streaming
        assert not [result for result in sent.values() if isinstance(result, AnypodError)]
        assert len(await ids_of(store, key)) == 3_000
        assert await ids_of(store, key) == list(sent), "in the order in which they were published"
        await check_exactly_once(store, key, sent)


async def test_replies_lost_after_the_script_ran_lose_and_double_nothing(own_server: RedisServer) -> None:
    async with between(own_server.port) as proxy, opened(proxy.url, **BRISK) as store:
        key = await create(store)
        await append(store, key, event("first"), patch=patch(1, state=b'{"n":0}'))
        for round_number in range(3):
            proxy.holds_replies = True
            outcomes = [send(store, key, event(f"e{round_number}-{n}")) for n in range(50)]
            outcomes.append(send(store, key, patch=patch(2 + round_number, state=b'{"n":1}')))
            await until(lambda: holds(proxy.swallowed > 0), "the replies are swallowed")
            proxy.release()
            results = await asyncio.gather(*outcomes)
            assert not [result for result in results if isinstance(result, AnypodError)]
            proxy.swallowed = 0
        assert await ids_of(store, key) == ["first", *(f"e{r}-{n}" for r in range(3) for n in range(50))]
        assert (await snapshot(store, key)).version == 5, "each patch was made once"


async def test_a_server_that_falls_silent_is_noticed_and_what_waited_goes_through_once(own_server: RedisServer) -> None:
    async with between(own_server.port) as proxy, opened(proxy.url, **BRISK) as store:
        key = await create(store)
        proxy.holds_requests = True
        outcomes = [send(store, key, event(f"e{n}")) for n in range(20)]
        await until(lambda: holds(not store.is_available), "the silence is noticed")
        proxy.release()
        await asyncio.gather(*outcomes)
        assert await ids_of(store, key) == [f"e{n}" for n in range(20)]


async def test_a_feed_that_hears_nothing_any_more_is_made_anew_and_a_barrier_raised(own_server: RedisServer) -> None:
    ear = Ear()
    async with between(own_server.port) as proxy, opened(proxy.url, ear, **BRISK) as store:
        key = await create(store)
        await store.subscribe(key)
        proxy.deafen_feeds()
        await append(store, key, event("unheard"))
        await ear.until(lambda: bool(ear.barriers), "a barrier")
        assert ear.barriers == [[key]]
        assert ear.frames(key) == []
        await append(store, key, event("heard"))
        await ear.until(lambda: len(ear.frames(key)) == 1, "the feed hears again")


async def test_a_quiet_feed_is_left_alone(own_server: RedisServer) -> None:
    ear = Ear()
    async with opened(own_server.url, ear, probe_s=0.05, probe_limit_s=5.0) as store:
        key = await create(store)
        await store.subscribe(key)
        await until(lambda: holds(calls_of(own_server, "spublish") >= 5), "five probes were sent")
        await append(store, key, event("e1"))
        await ear.until(lambda: bool(ear.frames(key)), "an event")
        assert ear.barriers == []


async def test_a_silent_patch_whose_reply_was_lost_does_not_undo_one_that_came_after_it(own_server: RedisServer) -> None:
    async with between(own_server.port) as proxy, opened(proxy.url, **BRISK) as one, opened(own_server.url) as two:
        key = await create(one)
        proxy.holds_replies = True
        outcome = send(one, key, patch=patch(1, state=b'{"of":"one"}'))

        async def is_made() -> bool:
            return (await snapshot(two, key)).version == 2

        await until(is_made, "it is made, and its reply lost")
        for version in range(2, 20):
            await append(two, key, patch=patch(version, state=b'{"of":"two"}'))
        proxy.release()
        assert await outcome == []
        assert ((await snapshot(two, key)).version, (await snapshot(two, key)).state) == (20, b'{"of":"two"}')
