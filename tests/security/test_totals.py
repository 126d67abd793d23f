"""What a client can make a replica hold is filled, and compared with what `service/docs/security.md` says of it."""

import asyncio
import json
import re
from pathlib import Path
from typing import Any, Final

import pytest
from starlette.requests import Request
from tests.fast_transport.raw import INIT, RawClient, said, sent, upgrade
from tests.fast_transport.served import Served, served
from tests.support.options import arrivals as arrivals_of
from tests.support.waiting import until
from tests.unit.hub.kit import publish, replicas
from websockets.frames import Opcode

from anypod.api.bodies import BODIES_BYTES_MAX, Bodies
from anypod.api.events import LIST_BYTES_MAX
from anypod.core.byte_budget import ByteBudget
from anypod.core.errors import AnypodError
from anypod.core.outbox import OUTBOX_TOTAL_BYTES_MAX
from anypod.hub.layer import EARLY_TOTAL_BYTES_MAX
from anypod.transport.fast.websocket import UNFINISHED_BYTES_MAX, WebSocketProtocol

SECURITY: Final = Path(__file__).parents[2] / "service/docs/security.md"
UNITS: Final = {"KiB": 1 << 10, "MiB": 1 << 20}
DATA_BYTES: Final = 65_536  # of an event, by default
EVENTS: Final = 40
RECEIVE_BYTES: Final = 4_096  # of a socket whose client does not read
SETTLED_S: Final = 5.0


def told(what: str) -> tuple[int, int]:
    """Bytes of one connection and of all together, as the table tells them."""
    row = re.search(rf"^\| {re.escape(what)} \| ([\d.]+) (\w+) \| ([\d.]+) (\w+) \|", SECURITY.read_text(), re.MULTILINE)
    assert row is not None, f"{SECURITY.name} has no row: {what}"
    return round(float(row[1]) * UNITS[row[2]]), round(float(row[3]) * UNITS[row[4]])


def test_the_totals_are_those_of_the_code() -> None:
    totals = {
        "messages without an end": UNFINISHED_BYTES_MAX,
        "frames before the session is open": EARLY_TOTAL_BYTES_MAX,
        "bodies of requests": BODIES_BYTES_MAX,
        "deliveries, lean": OUTBOX_TOTAL_BYTES_MAX,
        "deliveries, portable": OUTBOX_TOTAL_BYTES_MAX,
    }
    assert {what: told(what)[1] for what in totals} == totals


async def test_a_message_that_has_no_end() -> None:
    one, _ = told("messages without an end")
    async with served() as at, await RawClient.connect(at.port) as client:
        client.send(upgrade(at.credential), INIT)
        await client.head()
        await client.until("sync.done")
        client.send(sent(Opcode.TEXT, b"x" * 70_000, is_last=False), sent(Opcode.CONT, b"x" * 3_000)[:-1])
        await until(lambda: _unfinished(at) > 72_000, "nearly all of it has come", SETTLED_S)
        assert _unfinished(at) <= one
        assert at.replica.fast_transport.unfinished.bytes == _unfinished(at)
    await at.until_quiet()
    assert at.replica.fast_transport.unfinished.bytes == 0


async def test_of_too_many_messages_without_an_end_the_oldest_is_cut() -> None:
    async with served() as at:
        at.replica.fast_transport.unfinished = ByteBudget(150_000)
        clients = [await RawClient.connect(at.port) for _ in range(3)]
        for client in clients:
            client.send(upgrade(at.credential), INIT)
            await client.head()
            await client.until("sync.done")
            client.send(sent(Opcode.TEXT, b"x" * 70_000)[:-1])
            await until(lambda: at.replica.fast_transport.unfinished.bytes > 69_000, "it has come", SETTLED_S)
        await until(lambda: len(at.connections) == 2, "one has gone", SETTLED_S)
        assert at.replica.metrics.errors["overloaded"] == 1
        assert at.replica.fast_transport.unfinished.bytes <= 150_000
        clients[2].send(b"x")
        for client in clients:
            client.abort()
        await at.until_quiet()


@pytest.mark.parametrize("kind", ["websocket", "sse"])
@pytest.mark.parametrize("transport", ["lean", "portable"])
async def test_a_replay_that_is_not_read(transport: str, kind: str) -> None:
    one, _ = told(f"deliveries, {transport}")
    async with served(transport=transport, publish_per_s=1_000) as at:
        await _fill(at)
        async with await RawClient.connect(at.port, receive_bytes=RECEIVE_BYTES) as stalled:
            if kind == "websocket":
                stalled.send(upgrade(at.credential, "/v1/sessions/s1/ws?after=start&resume=true"))
            else:
                lines = ("GET /v1/sessions/s1/events?after=start HTTP/1.1", "Host: a", f"Authorization: Bearer {at.credential}")
                stalled.send("\r\n".join((*lines, "Accept: text/event-stream", "", "")).encode())
            await until(lambda: bool(at.replica.layer.hub.stalled), "it has stalled", SETTLED_S)
            assert one / 3 < at.replica.layer.hub.outboxes.bytes <= one
        await at.until_quiet()
        assert at.replica.layer.hub.outboxes.bytes == 0


async def test_frames_that_come_before_the_session_is_open() -> None:
    one, _ = told("frames before the session is open")
    async with replicas(arrivals=arrivals_of(fresh_per_s=3)) as (_, _, (here,)):
        await here.attached()
        early = [here.peer("bob") for _ in range(3)]
        for peer, _ in early:
            peer.receive(json.dumps({"type": "session.init", "protocol": 1}).encode())
        peer, port = early[0]
        while not port.close_code and port.refused is None:
            assert here.layer.early.bytes <= one
            peer.receive(publish("a", data="x" * 20_000))
        assert here.layer.early.bytes == 0
        assert port.refused is not None
        assert port.refused.code == "too_many_frames"
        here.layer.early = ByteBudget(100_000)
        for peer, _ in early[1:]:
            for _ in range(3):
                peer.receive(publish("a", data="x" * 20_000))
        assert early[1][1].refused is not None
        assert early[1][1].refused.code == "overloaded"
        assert early[2][1].refused is None
        assert here.layer.early.bytes <= 100_000
        for peer, _ in early:
            peer.gone()
        assert here.layer.early.bytes == 0


async def test_bodies_that_come_slowly() -> None:
    one, total = told("bodies of requests")
    assert one >= LIST_BYTES_MAX + DATA_BYTES
    bodies = Bodies()
    readers, pieces = list[asyncio.Task[bytes]](), list[asyncio.Queue[dict[str, Any]]]()
    for _ in range(total // (1 << 20) + 1):
        receive = asyncio.Queue[dict[str, Any]]()
        receive.put_nowait({"type": "http.request", "body": b"x" * (1 << 20), "more_body": True})
        pieces.append(receive)
        readers.append(asyncio.create_task(bodies.read(Request({"type": "http", "headers": []}, receive.get), one)))
        await until(receive.empty, "it has been read", SETTLED_S)
    await asyncio.wait(readers[:1])
    assert bodies.held.bytes <= total
    with pytest.raises(AnypodError, match="bodies") as refused:
        readers[0].result()
    assert refused.value.code == "overloaded"
    for receive in pieces[1:]:
        receive.put_nowait({"type": "http.request", "body": b"", "more_body": False})
    assert {len(body) for body in await asyncio.gather(*readers[1:])} == {1 << 20}
    assert bodies.held.bytes == 0


async def test_a_page_ends_by_bytes_whatever_it_is_asked_by() -> None:
    async with served(publish_per_s=1_000) as at:
        await _fill(at)
        for target, asks_on in (("events?after={}&limit=500", "cursor"), ("events?after={}&limit=500&wait=1", "cursor")):
            seqs, place = list[int](), "start"
            while True:
                page = await _asked(at, target.format(place))
                assert len(json.dumps(page)) < 400_000
                seqs += [event["seq"] for event in page["events"]]
                place = page[asks_on]
                if not page["more"]:
                    break
            assert seqs == list(range(1, EVENTS + 1))
        seqs, before = [], ""
        while True:
            page = await _asked(at, f"history?limit=200{before}")
            assert len(json.dumps(page)) < 400_000
            seqs = [event["seq"] for event in page["events"]] + seqs
            if "before" not in page:
                break
            before = f"&before={page['before']}"
        assert seqs == list(range(1, EVENTS + 1))


def _unfinished(at: Served) -> int:
    return max((wire._reader.held for wire in at.connections if isinstance(wire, WebSocketProtocol)), default=0)


async def _fill(at: Served) -> None:
    """A log of large events."""
    async with await RawClient.connect(at.port) as client:
        client.send(upgrade(at.credential))
        await client.head()
        client.send(INIT)
        await client.until("sync.done")
        for number in range(EVENTS):
            client.send(said(type="publish", id=f"l-{number}", kind="message", data="x" * (DATA_BYTES - 2)))
            await client.until("published")


async def _asked(at: Served, target: str) -> Any:
    async with await RawClient.connect(at.port) as client:
        lines = (f"GET /v1/sessions/s1/{target} HTTP/1.1", "Host: a", f"Authorization: Bearer {at.credential}", "Connection: close")
        client.send("\r\n".join((*lines, "", "")).encode())
        await client.head()
        return json.loads(await client.rest())
