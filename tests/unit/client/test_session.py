"""The client as an application uses it, over each transport, against a real server."""

import asyncio
import random

import pytest
from tests.unit.client.reading import PATIENCE_S, take, take_data, until
from tests.unit.client.scripted_server import CREDENTIAL, Peer

from anypod.client import AnypodError, Attached, Event, Phase, Presence, Session, SessionReset, Signal
from anypod.client.machine.transport_fallback import Wanted

TRANSPORTS = pytest.mark.parametrize("transport", ["websocket", "sse", "poll"])


@TRANSPORTS
async def test_events_arrive_in_order_and_own_publishes_among_them(peer: Peer, transport: Wanted) -> None:
    peer.say("one", "two")
    async with Session(peer.url, "s", credential=CREDENTIAL, transport=transport) as session:
        assert await take_data(session, 2) == ["one", "two"]
        receipt = await session.publish("message", {"three": 3})
        (event,) = await take(session, 1)
        assert isinstance(event, Event)
        assert (event.seq, event.data, event.id) == (3, {"three": 3}, receipt.id)
        assert (receipt.seq, receipt.cursor, receipt.is_duplicate) == (3, event.cursor, False)


@TRANSPORTS
async def test_binary_data_goes_both_ways(peer: Peer, transport: Wanted) -> None:
    async with Session(peer.url, "s", credential=CREDENTIAL, transport=transport) as session:
        await session.publish("audio", b"\x00\x01pcm")
        assert await take_data(session, 1) == [b"\x00\x01pcm"]
    assert peer.payloads == {1: b"\x00\x01pcm"}


@TRANSPORTS
async def test_a_connection_that_breaks_is_resumed_without_loss_or_repetition(peer: Peer, transport: Wanted, hasty: random.Random) -> None:
    async with Session(peer.url, "s", credential=CREDENTIAL, transport=transport, rng=hasty) as session:
        await session.reached("live")
        for number in range(5):
            peer.say(f"{number} before", f"{number} at the break")
            peer.cut()
            peer.say(f"{number} while away")
            expected = [f"{number} before", f"{number} at the break", f"{number} while away"]
            assert await take_data(session, 3) == expected


@TRANSPORTS
async def test_a_stored_cursor_brings_only_what_came_after(peer: Peer, transport: Wanted) -> None:
    peer.say("one", "two", "three")
    async with Session(peer.url, "s", credential=CREDENTIAL, transport=transport) as session:
        await take(session, 2)
        cursor = session.cursor
    assert cursor == peer.cursor(2), "what was not iterated yet is not counted as read"
    async with Session(peer.url, "s", credential=CREDENTIAL, transport=transport, after=cursor) as session:
        assert await take_data(session, 1) == ["three"]


@TRANSPORTS
async def test_a_lost_tail_is_announced_and_what_is_true_follows(peer: Peer, transport: Wanted, hasty: random.Random) -> None:
    peer.say("kept", "lost")
    async with Session(peer.url, "s", credential=CREDENTIAL, transport=transport, rng=hasty) as session:
        await take(session, 2)
        await session.reached("live")
        peer.lose_tail(1)
        peer.cut()
        if transport == "poll":
            peer.grow()  # ends the wait under way
        (reset,) = await take(session, 1)
        assert isinstance(reset, SessionReset)
        assert (reset.reason, reset.common) == ("rolled_back", peer.cursor(1))
        peer.say("new")
        assert await take_data(session, 1) == ["new"]


@TRANSPORTS
async def test_what_is_refused_for_a_while_is_sent_again_with_the_same_id(peer: Peer, transport: Wanted) -> None:
    peer.faults.refusals.extend([{"code": "unavailable", "retry_after_ms": 10}, {"code": "draining", "retry_after_ms": 10}])
    async with Session(peer.url, "s", credential=CREDENTIAL, transport=transport) as session:
        receipt = await session.publish("message", "again", id="mine")
    assert (receipt.id, receipt.seq) == ("mine", 1)
    assert not peer.faults.refusals


@TRANSPORTS
async def test_what_is_refused_for_good_raises(peer: Peer, transport: Wanted) -> None:
    peer.faults.refusals.append({"code": "conflict"})
    async with Session(peer.url, "s", credential=CREDENTIAL, transport=transport) as session:
        with pytest.raises(AnypodError) as caught:
            await session.publish("message", "x")
        assert caught.value.code == "conflict"


async def test_a_publish_whose_answer_is_lost_is_in_the_log_once(peer: Peer, hasty: random.Random) -> None:
    peer.faults.lost_replies = 1
    async with Session(peer.url, "s", credential=CREDENTIAL, transport="websocket", rng=hasty) as session:
        receipt = await session.publish("message", "once")
    assert [event["data"] for event in peer.events] == ["once"]
    assert receipt.is_duplicate


async def test_publishes_wait_while_there_is_no_connection_and_keep_their_order(peer: Peer, hasty: random.Random) -> None:
    peer.faults.upgrade_status = 503
    async with Session(peer.url, "s", credential=CREDENTIAL, transport="websocket", rng=hasty) as session:
        waiting = [asyncio.ensure_future(session.publish("message", number)) for number in range(10)]
        await session.reached("waiting")
        peer.faults.upgrade_status = None
        receipts = await asyncio.gather(*waiting)
    assert [receipt.seq for receipt in receipts] == list(range(1, 11))
    assert [event["data"] for event in peer.events] == list(range(10))


async def test_a_full_outbox_says_so(peer: Peer) -> None:
    peer.faults.upgrade_status = 503
    async with Session(peer.url, "s", credential=CREDENTIAL, transport="websocket", outbox_count_max=1) as session:
        first = asyncio.ensure_future(session.publish("message", 1))
        await asyncio.sleep(0)
        with pytest.raises(AnypodError) as caught:
            await session.publish("message", 2)
        assert caught.value.code == "outbox_full"
    with pytest.raises(AnypodError) as settled:
        await first
    assert settled.value.code == "unavailable"


async def test_an_event_left_out_by_the_replica_is_found_missing_and_fetched(peer: Peer, hasty: random.Random) -> None:
    async with Session(peer.url, "s", credential=CREDENTIAL, transport="websocket", rng=hasty) as session:
        peer.say("one")
        await take(session, 1)
        peer.faults.skipped_seqs.add(2)
        peer.say("two", "three")
        assert await take_data(session, 2) == ["two", "three"]
    assert peer.opened == ["websocket", "websocket"]


async def test_a_replica_that_leaves_is_left_for_another_link_without_loss(peer: Peer) -> None:
    async with Session(peer.url, "s", credential=CREDENTIAL, transport="websocket") as session:
        await session.reached("live")
        await peer.tell({"type": "goaway", "reason": "draining", "reconnect_after_ms": 100})
        peer.say("still read")
        await until(lambda: peer.opened == ["websocket"] * 2)
        peer.say("read by the next")
        assert await take_data(session, 2) == ["still read", "read by the next"]


async def test_a_closed_session_ends_the_iteration_after_its_last_event(peer: Peer) -> None:
    peer.say("last")
    peer.closed_at = peer.head()
    async with Session(peer.url, "s", credential=CREDENTIAL) as session, asyncio.timeout(PATIENCE_S):
        assert [item.data async for item in session if isinstance(item, Event)] == ["last"]
        assert (session.phase.name, session.phase.reason) == ("stopped", "the session is closed")


async def test_a_refusal_ends_the_iteration_with_its_code(peer: Peer) -> None:
    async with Session(peer.url, "s", credential=CREDENTIAL) as session:
        await session.reached("live")
        await peer.close(4403, "no longer yours")
        with pytest.raises(AnypodError) as caught:
            await take(session, 1)
        assert (caught.value.code, caught.value.message) == ("not_allowed", "no longer yours")
        with pytest.raises(AnypodError):
            await session.publish("message", "too late")


@TRANSPORTS
async def test_a_refused_credential_is_replaced_by_a_fresh_one(peer: Peer, transport: Wanted) -> None:
    given = iter(["stale", CREDENTIAL])

    async def provide() -> str:
        return next(given)

    peer.say("hello")
    async with Session(peer.url, "s", credential=provide, transport=transport) as session:
        assert await take_data(session, 1) == ["hello"]


async def test_an_expiring_credential_is_replaced_in_place(peer: Peer) -> None:
    given = iter([CREDENTIAL, "fresh"])

    async def provide() -> str:
        return next(given)

    async with Session(peer.url, "s", credential=provide) as session:
        await session.reached("live")
        await peer.tell({"type": "auth.expiring", "in_ms": 30_000})
        await until(lambda: {"type": "auth", "token": "fresh"} in peer.received)
    assert peer.opened == ["websocket"]


async def test_a_credential_that_stays_refused_stops_the_client(peer: Peer) -> None:
    async with Session(peer.url, "s", credential="wrong") as session:
        with pytest.raises(AnypodError) as caught:
            await take(session, 1)
    assert caught.value.code == "not_authenticated"


async def test_the_phase_tells_why_and_when_it_will_try_again(peer: Peer) -> None:
    seen: list[Phase] = []
    async with Session(peer.url, "s", credential=CREDENTIAL, transport="websocket", on_phase=seen.append) as session:
        await session.reached("live")
        await peer.close(1013, "retry_after_ms=60000")
        phase = await session.reached("waiting")
        assert phase.code == 1013
        assert phase.next_attempt_at is not None
        assert 59 < phase.next_attempt_at - asyncio.get_running_loop().time() <= 60
        session.network_changed()
        assert session.phase.name == "waiting", "the server's word stands"
    assert [phase.name for phase in seen] == ["connecting", "syncing", "live", "waiting", "stopped"]


async def test_history_goes_backwards_page_by_page(peer: Peer) -> None:
    peer.say("one", "two", "three")
    async with Session(peer.url, "s", credential=CREDENTIAL) as session:
        latest = await session.history(limit=2)
        assert [event.data for event in latest.events] == ["two", "three"]
        first = await session.history(before=latest.before, limit=2)
        assert [event.data for event in first.events] == ["one"]
        assert first.before is None


async def test_state_is_patched_by_http_and_its_event_comes_by(peer: Peer) -> None:
    async with Session(peer.url, "s", credential=CREDENTIAL) as session:
        await session.patch_state(state={"mood": "bright"})
        (event,) = await take(session, 1)
        assert isinstance(event, Event)
        assert (event.kind, event.data) == ("context_update", {"state": {"mood": "bright"}})


@pytest.mark.parametrize(("transport", "where"), [("websocket", "received"), ("sse", "signals")])
async def test_signals_take_the_way_that_is_open(peer: Peer, transport: Wanted, where: str) -> None:
    async with Session(peer.url, "s", credential=CREDENTIAL, transport=transport) as session:
        await session.reached("live")
        await session.signal("wave", {"hand": "left"}, to="b")
        await until(lambda: [one for one in getattr(peer, where) if one.get("name") == "wave"])
    sent = next(one for one in getattr(peer, where) if one.get("name") == "wave")
    assert (sent["data"], sent["to"]) == ({"hand": "left"}, "b")


async def test_signals_presence_and_state_are_told_to_whoever_listens(peer: Peer) -> None:
    told: list[object] = []
    async with Session(
        peer.url, "s", credential=CREDENTIAL, on_signal=told.append, on_presence=told.append, on_attached=told.append
    ) as session:
        await session.reached("live")
        await peer.tell({"type": "signal", "name": "wave", "data": 1, "from": {"author": "b", "device": "phone"}})
        await peer.tell({"type": "presence", "joined": [{"id": "1"}]})
        session.presence({"typing": True})
        await until(lambda: len(told) == 3 and peer.received[-1] == {"type": "presence", "data": {"typing": True}})
    attached, signal, presence = told
    assert isinstance(attached, Attached)
    assert (attached.state, attached.was_created) == ({"mood": "calm"}, False)
    assert signal == Signal("wave", 1, "b", "phone")
    assert presence == Presence(joined=[{"id": "1"}], left=[], updated=[])
    assert peer.received[0]["features"] == ["presence"]
