"""What the client does with slow applications, bad networks and its own end."""

import asyncio
import random

import pytest
from tests.unit.client.reading import PATIENCE_S, take, take_data, until
from tests.unit.client.scripted_server import CREDENTIAL, Peer

from anypod.client import AnypodError, Session, open_http
from anypod.client.io.delivery import ITEMS_MAX
from anypod.client.machine.transport_fallback import Wanted

MANY = 3_000
LONG = "x" * 2_000  # so that MANY of them fill the buffers of both sockets


@pytest.mark.parametrize("transport", ["websocket", "sse", "poll"])
async def test_an_application_that_does_not_read_stops_the_reading_and_loses_nothing(peer: Peer, transport: Wanted) -> None:
    peer.say(*(f"{number} {LONG}" for number in range(MANY)))
    async with Session(peer.url, "s", credential=CREDENTIAL, transport=transport) as session:
        await until(lambda: len(session._running.delivery) >= ITEMS_MAX)
        for _ in range(20):
            await asyncio.sleep(0)
        assert len(session._running.delivery) <= ITEMS_MAX + 100, "a page at most beyond the bound"
        expected: list[object] = [f"{number} {LONG}" for number in range(MANY)]
        assert await take_data(session, MANY) == expected


async def test_publishing_while_a_long_replay_waits_to_be_read_does_not_lock_up(peer: Peer) -> None:
    peer.say(*map(str, range(MANY)))
    async with Session(peer.url, "s", credential=CREDENTIAL) as session, asyncio.timeout(PATIENCE_S):
        await take(session, 1)
        receipt = await session.publish("message", "in between")
        assert receipt.seq == MANY + 1


async def test_a_proxy_that_refuses_upgrades_leads_to_sse(peer: Peer, hasty: random.Random) -> None:
    peer.faults.upgrade_status = 403
    peer.say("hello")
    async with Session(peer.url, "s", credential=CREDENTIAL, rng=hasty) as session:
        assert await take_data(session, 1) == ["hello"]
        assert (await session.publish("message", "by HTTP")).seq == 2
        assert session.phase.transport == "sse"


async def test_a_proxy_that_holds_streams_back_leads_to_polling(peer: Peer, hasty: random.Random) -> None:
    peer.faults.upgrade_status = 403
    peer.faults.is_stream_held = True
    peer.say("hello")
    async with Session(peer.url, "s", credential=CREDENTIAL, rng=hasty) as session:
        assert await take_data(session, 1) == ["hello"]
        assert session.phase.transport == "poll"


async def test_a_proxy_that_refuses_streams_leads_to_polling(peer: Peer, hasty: random.Random) -> None:
    peer.faults.upgrade_status = peer.faults.stream_status = 502
    peer.say("hello")
    async with Session(peer.url, "s", credential=CREDENTIAL, rng=hasty) as session:
        assert await take_data(session, 1) == ["hello"]
        assert session.phase.transport == "poll"


async def test_a_page_that_somebody_else_answers_is_asked_for_again(peer: Peer, hasty: random.Random) -> None:
    peer.faults.portal_pages = 2
    peer.say("hello")
    async with Session(peer.url, "s", credential=CREDENTIAL, transport="poll", rng=hasty) as session:
        assert await take_data(session, 1) == ["hello"]


async def test_nothing_is_left_behind(peer: Peer) -> None:
    def own_tasks() -> set[str]:
        names = {task.get_name() for task in asyncio.all_tasks()}
        return {name for name in names if name.startswith(("session", "link", "read", "write"))}

    async with Session(peer.url, "s", credential=CREDENTIAL) as session:
        await session.reached("live")
        assert own_tasks() == {"session s", "link 1", "read", "write"}
    assert not own_tasks()


@pytest.mark.parametrize("transport", ["websocket", "sse", "poll"])
async def test_a_session_that_never_connected_ends_at_once(transport: Wanted) -> None:
    async with asyncio.timeout(5), Session("http://127.0.0.1:9", "s", credential=CREDENTIAL, transport=transport) as session:
        await session.reached("waiting")


async def test_cancelling_whoever_uses_a_session_ends_it(peer: Peer) -> None:
    async def use() -> None:
        async with Session(peer.url, "s", credential=CREDENTIAL) as session:
            async for _ in session:
                pass

    task = asyncio.create_task(use())
    await until(lambda: peer.sockets)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await until(lambda: not peer.sockets)


async def test_an_error_of_the_application_passes_and_ends_the_session(peer: Peer) -> None:
    async def fail() -> None:
        async with Session(peer.url, "s", credential=CREDENTIAL) as session:
            await session.reached("live")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await fail()
    await until(lambda: not peer.sockets)


async def test_two_hundred_sessions_share_one_http_client(peer: Peer) -> None:
    async def one(number: int) -> None:
        async with Session(peer.url, "s", credential=CREDENTIAL, http=http, rng=random.Random(number)) as session:
            await session.reached("live")
            barrier.release()
            await take(session, 3)

    barrier = asyncio.Semaphore(0)
    async with open_http() as http, asyncio.timeout(2 * PATIENCE_S), asyncio.TaskGroup() as group:
        for number in range(200):
            group.create_task(one(number))
        for _ in range(200):
            await barrier.acquire()
        peer.say("one", "two", "three")


async def test_a_provider_of_credentials_may_fail_and_recover(peer: Peer, hasty: random.Random) -> None:
    answers = iter([RuntimeError("down"), None])

    async def provide() -> str:
        answer = next(answers)
        if answer is not None:
            raise answer
        return CREDENTIAL

    async with Session(peer.url, "s", credential=provide, rng=hasty) as session:
        await session.reached("live")


async def test_a_provider_that_gives_up_stops_the_client(peer: Peer) -> None:
    async def provide() -> str:
        raise AnypodError("not_authenticated", "signed out")

    async with Session(peer.url, "s", credential=provide) as session:
        with pytest.raises(AnypodError) as caught:
            await take(session, 1)
    assert (caught.value.code, caught.value.message) == ("not_authenticated", "signed out")


async def test_a_wait_for_a_receipt_may_be_cancelled_and_the_event_is_sent_all_the_same(peer: Peer, hasty: random.Random) -> None:
    peer.faults.upgrade_status = 503
    async with Session(peer.url, "s", credential=CREDENTIAL, transport="websocket", rng=hasty) as session:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.01):
                await session.publish("message", "patient")
        peer.faults.upgrade_status = None
        assert await take_data(session, 1) == ["patient"]
