"""The lean WebSocket path of a real replica under clients that do not keep to the rules."""

import asyncio
import gc
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from tests.fast_transport.raw import INIT, RawClient, said, sent, told, upgrade
from tests.fast_transport.served import Served, served
from tests.support.replica_process import credential
from tests.support.waiting import until
from websockets.frames import Opcode

from anypod.auth import Principal
from anypod.core.errors import AnypodError
from anypod.hub.admission import AT_ONCE_MAX
from anypod.hub.client_connection import ClientConnection
from anypod.hub.delivery import Batch
from anypod.hub.session import Subscriber
from anypod.replica import Replica
from anypod.transport.authenticate import Authenticator
from anypod.transport.fast.dispatch import ProtocolDispatch
from anypod.transport.fast.sse import SseProtocol
from anypod.transport.fast.websocket import GOODBYE_S_MAX, WebSocketProtocol

CLOSE = sent(Opcode.CLOSE, b"\x03\xe8")
PUBLISH = {"type": "publish", "kind": "message", "data": {}}


async def attached(at: Served) -> RawClient:
    """A client that has been told `sync.done`."""
    client = await RawClient.connect(at.port)
    client.send(upgrade(at.credential), INIT)
    assert (await client.head()).startswith(b"HTTP/1.1 101 ")
    await client.until("sync.done")
    return client


@pytest.mark.parametrize(
    ("credential_", "target", "expected"),
    [
        ("nonsense", "/v1/sessions/s1/ws", [("close", 4401)]),
        (
            credential("acme", "ann", secret="of somebody else and just as long"),
            "/v1/sessions/s1/ws",
            [("close", 4401)],
        ),
        (credential("acme", "ann"), "/v1/sessions/%2F/ws", [("close", 4400)]),
        (credential("acme", "ann"), "/v1/sessions/s1/ws?resume=perhaps", [("close", 4400)]),
        (credential("acme", "ann"), "/v1/sessions/s1/ws?after=start&history=" + "9" * 5_000, [("close", 4400)]),
    ],
    ids=["no JWT", "forged", "bad name", "bad flag", "bad number"],
)
async def test_a_refused_upgrade_is_told_by_its_close_code_and_what_was_sent_behind_it_is_not_heard(
    credential_: str, target: str, expected: list[tuple[str, Any]]
) -> None:
    async with served() as at, await RawClient.connect(at.port) as client:
        client.send(upgrade(credential_, target), INIT, said(**PUBLISH, id="1"), CLOSE)
        assert (await client.head()).startswith(b"HTTP/1.1 101 ")
        assert told(await client.frames()) == expected
        await at.until_quiet()


async def test_a_close_frame_is_answered_with_its_code_and_ends_the_connection() -> None:
    async with served() as at, await attached(at) as client:
        client.send(CLOSE, said(**PUBLISH, id="1"), CLOSE)
        assert told(await client.frames()) == [("close", 1000)]
        await at.until_quiet()


async def test_a_client_that_never_answers_our_close_frame_is_given_up() -> None:
    async with served() as at, await RawClient.connect(at.port) as client:
        client.send(upgrade(at.credential), said(type="heartbeat"))
        await client.head()
        assert (await client.until("error"))["code"] == "malformed"
        began = asyncio.get_running_loop().time()
        assert told(await client.frames(answers_close=False)) == [("close", 4400)]
        assert asyncio.get_running_loop().time() - began < 2 * GOODBYE_S_MAX
        await at.until_quiet()


async def test_nothing_is_answered_between_our_close_frame_and_that_of_the_client() -> None:
    async with served() as at, await RawClient.connect(at.port) as client:
        client.send(upgrade(at.credential), said(type="heartbeat"))
        await client.head()
        assert (await client.until("error"))["code"] == "malformed"
        client.send(sent(Opcode.PING, b"?"), INIT, said(**PUBLISH, id="1"), CLOSE)
        assert told(await client.frames()) == [("close", 4400)]
        await at.until_quiet()


async def test_no_event_follows_the_close_frame_of_a_violation() -> None:
    async with served() as at, await attached(at) as broken, await attached(at) as other:
        broken.send(b"\x83\x80mask")
        for number in range(20):
            other.send(said(**PUBLISH, id=str(number)))
            await other.until("published")
        frames = [one for one in told(await broken.frames()) if one[0] != "event"]
        assert frames == [("close", 1002)]


@pytest.mark.parametrize(
    ("violation", "code"),
    [
        (b"\x81\x05hello", 1002),
        (b"\xf1\x80mask", 1002),
        (sent(Opcode.TEXT, b"\xff"), 1007),
        (sent(Opcode.TEXT, b"\xf4\x90", is_last=False), 1007),
        (sent(Opcode.CLOSE, b"\x03\xed"), 1002),
        (sent(Opcode.CLOSE, b"\x00"), 1002),
    ],
    ids=["no mask", "reserved bits", "no UTF-8", "no UTF-8 so far", "close code 1005", "half a close code"],
)
async def test_a_violation_is_named_by_its_close_code_and_the_connection_ends_at_once(violation: bytes, code: int) -> None:
    async with served() as at, await attached(at) as client:
        began = asyncio.get_running_loop().time()
        client.send(violation, bytes(100_000))
        assert told(await client.frames(answers_close=False)) == [("close", code)]
        assert asyncio.get_running_loop().time() - began < GOODBYE_S_MAX, "nobody waits for an answer that would not be read"
        client.abort()
        await at.until_quiet()


async def test_a_frame_that_is_too_large_is_told_and_closed_with_4413() -> None:
    async with served() as at, await attached(at) as client:
        client.send(sent(Opcode.TEXT, bytes(at.replica.settings.frame_bytes_max + 1)))
        assert told(await client.frames()) == [("error", "too_large"), ("close", 4413)]


@pytest.mark.parametrize(
    "frame",
    [sent(Opcode.PING, b"?"), sent(Opcode.PONG, b"!"), sent(Opcode.CONT, b"", is_last=False)],
    ids=["pings", "pongs", "empty fragments"],
)
async def test_a_flood_of_frames_that_cost_the_client_nothing_is_ended_with_4429(frame: bytes) -> None:
    async with served(publish_per_s=10) as at, await attached(at) as client:
        client.send(sent(Opcode.TEXT, b"{", is_last=False), frame * 200)
        frames = [one for one in told(await client.frames()) if one[0] != "PONG"]
        assert frames == [("error", "too_many_frames"), ("close", 4429)]


async def test_a_ping_is_answered_amid_a_message_in_fragments() -> None:
    async with served() as at, await attached(at) as client:
        frame = said(**PUBLISH, id="1")
        text = b'{"type":"publish","id":"1","kind":"message","data":{}}'
        client.send(sent(Opcode.TEXT, text[:9], is_last=False), sent(Opcode.PING, b"?"), sent(Opcode.CONT, text[9:]), frame)
        pong = await client.frame()
        assert pong is not None
        assert (pong.opcode, bytes(pong.data)) == (Opcode.PONG, b"?")
        assert (await client.until("published"))["duplicate"] is False
        assert (await client.until("published"))["duplicate"] is True


async def test_a_client_that_vanishes_at_any_moment_leaves_nothing_behind() -> None:
    async with served() as at:
        request = upgrade(at.credential) + INIT + said(**PUBLISH, id="1")
        for end in range(0, len(request), 7):
            client = await RawClient.connect(at.port)
            client.send(request[:end])
            if end % 2:
                await asyncio.sleep(0)
            client.abort()
        await at.until_quiet()


async def test_clients_who_are_all_cut_at_once_are_forgotten_a_few_in_each_turn_of_the_loop() -> None:
    async with served() as at:
        clients = [await attached(at) for _ in range(4 * AT_ONCE_MAX)]
        everybody, most = at.replica.layer.attachments.schedule, 0
        for client in clients:
            client.abort()
        while before := len(everybody):
            await asyncio.sleep(0)
            most = max(most, before - len(everybody))
        assert most <= AT_ONCE_MAX
        await at.until_quiet()


async def test_a_connection_that_has_ended_needs_no_collector_to_be_freed() -> None:
    """What a storm has left would otherwise stay until so much else was made that somebody looked."""
    async with served(max_stream_s=1, heartbeat_ms_max=200) as at, uncollected():  # the wheel holds on to whoever it has still to look at
        before = count_of_connections()  # other tests may have left some
        for end in (CLOSE, b"\x83\x80mask", CLOSE, sent(Opcode.TEXT, b"\xff")):
            async with await attached(at) as client:
                client.send(sent(Opcode.PING), end)
                await client.frames()
            async with await RawClient.connect(at.port) as stream:
                stream.send(b"GET /v1/sessions/s1/events HTTP/1.1\r\nAccept: text/event-stream\r\n")
                stream.send(b"Host: a\r\nAuthorization: Bearer %b\r\n\r\n" % at.credential.encode())
                await stream.head()
            await at.until_quiet()
        await until(lambda: count_of_connections() <= before, "all are freed", 2 * GOODBYE_S_MAX)


@asynccontextmanager
async def uncollected() -> AsyncIterator[None]:
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


def count_of_connections() -> int:
    return sum(
        isinstance(one, ProtocolDispatch | WebSocketProtocol | SseProtocol | ClientConnection | Subscriber) for one in gc.get_objects()
    )


async def test_a_port_whose_connection_has_gone_takes_anything_and_does_nothing() -> None:
    async with served() as at:
        async with await attached(at), await RawClient.connect(at.port) as stream:
            stream.send(b"GET /v1/sessions/s1/events HTTP/1.1\r\nAccept: text/event-stream\r\n")
            stream.send(b"Host: a\r\nAuthorization: Bearer %b\r\n\r\n" % at.credential.encode())
            await stream.head()
            ports = [one for one in at.connections if isinstance(one, WebSocketProtocol | SseProtocol)]
        await at.until_quiet()
        assert len(ports) == 2
        for port in ports:
            port.send(b'{"type":"goaway"}')
            port.deliver(Batch([b'{"type":"goaway"}']))
            port.flush()
            port.refuse(AnypodError("unavailable"))
            port.close(1012)
            port.shutdown()
            port.abort()
        assert not any(at.left_behind.values())


class SlowDoor(Authenticator):
    """Knows nobody at once, and lets in or refuses when told to."""

    def __init__(self, authenticator: Authenticator) -> None:
        self._authenticator = authenticator
        self.is_asked = asyncio.Event()
        self.may_answer = asyncio.Event()

    def known(self, *_: Any) -> None:
        return None

    async def principal(self, *args: Any) -> Principal:
        self.is_asked.set()
        await self.may_answer.wait()
        return await self._authenticator.principal(*args)


@pytest.mark.parametrize("credential_", [credential("acme", "ann"), "nonsense"], ids=["good", "bad"])
async def test_a_client_that_goes_while_its_credential_is_checked_leaves_nothing_behind(credential_: str) -> None:
    doors: list[SlowDoor] = []

    def slow(replica: Replica) -> Authenticator:
        doors.append(SlowDoor(replica.authenticator))
        return doors[0]

    async with served(authenticator=slow) as at:
        client = await RawClient.connect(at.port)
        client.send(upgrade(credential_), INIT)
        await doors[0].is_asked.wait()
        client.abort()
        doors[0].may_answer.set()
        await at.until_quiet()


@pytest.mark.parametrize(("credential_", "type_"), [(credential("acme", "ann"), "sync.done"), ("nonsense", "close")], ids=["good", "bad"])
async def test_what_is_sent_while_a_credential_is_checked_waits(credential_: str, type_: str) -> None:
    doors: list[SlowDoor] = []

    def slow(replica: Replica) -> Authenticator:
        doors.append(SlowDoor(replica.authenticator))
        return doors[0]

    async with served(authenticator=slow) as at, await RawClient.connect(at.port) as client:
        client.send(upgrade(credential_))
        await doors[0].is_asked.wait()
        client.send(INIT)
        doors[0].may_answer.set()
        await client.head()
        await client.until(type_)
        client.send(CLOSE)
        await client.frames()
        await at.until_quiet()


async def test_a_reader_that_stalls_is_cut_and_leaves_nothing_behind() -> None:
    async with served(unwritable_s_max=1, outbox_bytes_max=10_000, publish_per_s=10_000) as at:
        stalled, writer = await attached(at), await attached(at)
        async with stalled, writer:
            event = "x" * 60_000
            while not at.replica.layer.hub.stalled:
                writer.send(said(type="publish", kind="message", id=f"e{asyncio.get_running_loop().time()}", data=event))
                await writer.until("published")
            assert at.replica.metrics.outbox_overflows
            writer.send(CLOSE)
            await writer.frames()
            await at.until_quiet()  # by the wheel or by the kernel, whoever looks first
