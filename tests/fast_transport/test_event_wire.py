"""The lean SSE path of a real replica: its framing read by two parsers, and clients that do not keep to the rules."""

import asyncio
import json
from collections.abc import Iterable
from typing import Any

import aiohttp
import pytest
from tests.fast_transport.chunks import ServerSent, events_of, unchunked
from tests.fast_transport.raw import INIT, RawClient, upgrade
from tests.fast_transport.served import Served, served
from tests.support.replica_process import credential

from anypod.auth import Principal
from anypod.core.errors import unavailable
from anypod.transport.authenticate import Authenticator
from anypod.transport.cors import Cors
from anypod.transport.fast.sse import UNHEARD_BYTES_MAX

ACCEPT = "Accept: text/event-stream"


def request(at: Served, *more: str, target: str = "/v1/sessions/s1/events?after=start") -> bytes:
    lines = (f"GET {target} HTTP/1.1", "Host: 127.0.0.1", f"Authorization: Bearer {at.credential}", ACCEPT, *more)
    return "\r\n".join((*lines, "", "")).encode()


async def publish(at: Served, *texts: str) -> None:
    """Events with these texts as data."""
    headers = {"Authorization": f"Bearer {at.credential}"}
    async with aiohttp.ClientSession(headers=headers) as http:
        async with http.post(f"{at.url}/v1/sessions", json={"session_id": "s1"}) as response:
            assert response.status in {200, 201}
        for text in texts:
            async with http.post(f"{at.url}/v1/sessions/s1/events", json={"kind": "message", "data": text}) as response:
                assert response.status == 201


def data_of(events: Iterable[ServerSent]) -> list[object]:
    return [json.loads(one.data)["data"] for one in events if one.event == "event"]


TEXTS = ["plain", "ä€𝄞", "two\nlines\r\n", "x" * 70_000, "data: no\n\nevent: none"]


async def test_a_stream_is_whole_chunks_of_whole_events_from_the_retry_to_the_goaway() -> None:
    async with served(max_stream_s=1, heartbeat_ms_max=200, data_bytes_max=100_000) as at, await RawClient.connect(at.port) as client:
        await publish(at, *TEXTS)
        client.send(request(at))
        head = await client.head()
        assert head.startswith(b"HTTP/1.1 200 OK\r\n")
        assert b"\r\nTransfer-Encoding: chunked\r\n" in head
        events = events_of(unchunked(await client.rest()))
        assert data_of(events) == TEXTS
        assert [one.event for one in events[1:8]] == ["session.restored", *["event"] * 5, "sync.done"]
        assert events[0].retry
        assert [one.event for one in events[-2:]] == ["goaway", ""]
        assert json.loads(events[-2].data)["reconnect_after_ms"] == int(events[-1].retry)
        assert all(one.id for one in events if one.event in {"event", "sync.done"})
        assert not any(one.id for one in events if one.event not in {"event", "sync.done"})
        await at.until_quiet()


async def test_another_http_client_reads_the_same_stream() -> None:
    async with served(max_stream_s=1, heartbeat_ms_max=200, data_bytes_max=100_000) as at, aiohttp.ClientSession() as http:
        await publish(at, *TEXTS)
        headers = {"Authorization": f"Bearer {at.credential}", "Accept": "text/event-stream"}
        async with http.get(f"{at.url}/v1/sessions/s1/events", params={"after": "start"}, headers=headers) as response:
            assert response.content_type == "text/event-stream"
            assert response.headers["Cache-Control"] == "no-store"
            assert data_of(events_of(await response.read())) == TEXTS


async def test_the_last_event_id_is_newer_than_the_address() -> None:
    async with served(max_stream_s=1, heartbeat_ms_max=200) as at:
        await publish(at, "one", "two")
        async with await RawClient.connect(at.port) as client:
            client.send(request(at))
            await client.head()
            first = next(one for one in events_of(unchunked(await client.rest())) if one.event == "event")
        async with await RawClient.connect(at.port) as client:
            client.send(request(at, f"Last-Event-ID: {first.id}"))
            await client.head()
            assert data_of(events_of(unchunked(await client.rest()))) == ["two"]


async def test_garbage_behind_the_request_is_not_heard() -> None:
    async with served(max_stream_s=1, heartbeat_ms_max=200) as at, await RawClient.connect(at.port) as client:
        await publish(at, "one")
        client.send(request(at), b"\0\xff" * 10_000, request(at))
        await client.head()
        assert data_of(events_of(unchunked(await client.rest()))) == ["one"]
        await at.until_quiet()


async def test_a_stream_that_is_talked_to_without_end_ends() -> None:
    async with served() as at, await RawClient.connect(at.port) as client:
        await publish(at, "one")
        client.send(request(at))
        await client.head()
        client.send(bytes(UNHEARD_BYTES_MAX + 1))
        events = events_of(unchunked(await client.rest()))
        assert [one.event for one in events[-2:]] == ["goaway", ""]
        await at.until_quiet()


@pytest.mark.parametrize(
    ("target", "bearer", "status"),
    [
        ("/v1/sessions/s1/events", "nonsense", 401),
        ("/v1/sessions/%2F/events", credential("acme", "ann"), 400),
        ("/v1/sessions/s1/events?fold=maybe", credential("acme", "ann"), 400),
        ("/v1/sessions/s1/events?history=x", credential("acme", "ann"), 400),
        ("/v1/sessions/s1/events", credential("acme", "ann", can=["publish"]), 403),
        ("/v1/sessions/s1/events", credential("acme", "ann", sessions=["other"]), 404),
    ],
    ids=["no JWT", "bad name", "bad flag", "bad number", "no right", "no session"],
)
async def test_a_refused_stream_is_a_problem_with_a_status(target: str, bearer: str, status: int) -> None:
    async with served() as at, aiohttp.ClientSession() as http:
        headers = {"Authorization": f"Bearer {bearer}", "Accept": "text/event-stream"}
        async with http.get(f"{at.url}{target}", headers=headers) as response:
            assert response.status == status
            assert response.content_type == "application/problem+json"
            assert (await response.json())["status"] == status
        await at.until_quiet()


class ClosedDoor(Authenticator):
    """Cannot check anybody just now."""

    def __init__(self) -> None:
        """It needs no keys."""
        self.cors = Cors(())

    def known(self, *_: Any) -> None:
        return None

    async def principal(self, *_: Any) -> Principal:
        raise unavailable()


async def test_a_browser_that_is_to_come_again_gets_a_stream_that_ends_rather_than_an_error_status() -> None:
    async with served(authenticator=lambda _: ClosedDoor()) as at, await RawClient.connect(at.port) as client:
        client.send(request(at))
        assert (await client.head()).startswith(b"HTTP/1.1 200 OK\r\n")
        events = events_of(unchunked(await client.rest()))
        assert [one.event for one in events] == ["", "goaway", ""]
        assert all(int(one.retry) > 0 for one in events if not one.event)
        await at.until_quiet()


async def test_a_stream_whose_reader_stalls_is_cut_and_leaves_nothing_behind() -> None:
    async with served(unwritable_s_max=1, outbox_bytes_max=10_000, publish_per_s=10_000) as at, await RawClient.connect(at.port) as stalled:
        await publish(at, "one")
        stalled.send(request(at))
        await stalled.head()
        while not at.replica.layer.hub.stalled:
            await publish(at, *["x" * 60_000] * 20)
        assert at.replica.metrics.outbox_overflows
        await at.until_quiet()


async def test_a_stream_that_vanishes_leaves_nothing_behind() -> None:
    async with served() as at:
        await publish(at, "one")
        whole = request(at)
        for end in range(0, len(whole) + 1, 11):
            client = await RawClient.connect(at.port)
            client.send(whole[:end] if end < len(whole) - 11 else whole)
            if end % 2:
                await asyncio.sleep(0)
            client.abort()
        await at.until_quiet()


async def test_a_connection_that_began_with_another_request_is_upgraded_by_the_server_behind() -> None:
    async with served() as at, await RawClient.connect(at.port) as client:
        client.send(b"GET /nowhere HTTP/1.1\r\nHost: a\r\n\r\n")
        head = await client.head()
        assert head.startswith(b"HTTP/1.1 404 ")
        length = int(head.lower().partition(b"content-length: ")[2].split(b"\r\n")[0])
        assert len(await client.exactly(length)) == length
        client.send(upgrade(at.credential))
        assert (await client.head()).startswith(b"HTTP/1.1 101 ")
        client.send(INIT)
        assert (await client.until("sync.done"))["cursor"]
        assert at.left_behind["requests"] == 0


async def test_a_connection_that_began_with_another_request_is_streamed_to_by_the_server_behind() -> None:
    async with served(max_stream_s=1, heartbeat_ms_max=200) as at, await RawClient.connect(at.port) as client:
        await publish(at, "one")
        client.send(b"GET /nowhere HTTP/1.1\r\nHost: a\r\n\r\n", request(at, "Connection: close"))
        head = await client.head()
        length = int(head.lower().partition(b"content-length: ")[2].split(b"\r\n")[0])
        await client.exactly(length)
        assert (await client.head()).startswith(b"HTTP/1.1 200 ")
        assert data_of(events_of(unchunked(await client.rest()))) == ["one"]
        await at.until_quiet()
