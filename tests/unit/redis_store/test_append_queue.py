"""Appends of slots that are moving: nothing overtakes what it follows."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from itertools import count
from typing import Any

import hiredis
from tests.store.kit import event, fresh_key
from tests.support.options import redis_options_of
from tests.support.redis_servers import free_port

from anypod.clock import SystemClock
from anypod.core.identity import SessionKey
from anypod.redis_store.functions import FunctionLibrary
from anypod.redis_store.keys import Keyspace
from anypod.redis_store.log.append_codec import AppendCalls
from anypod.redis_store.log.append_queue import GROUP_MAX, HOLD_S, AppendQueue
from anypod.redis_store.wire.connection import Connection
from anypod.store import Append
from anypod.telemetry import Metrics

EACH = "each"  # stands where one event has its id
MOVED = b"-MOVED 1 127.0.0.1:1\r\n"


class Server:
    """It answers what it is told to, and when."""

    def __init__(self) -> None:
        self.port = free_port()
        self.ids: list[str] = []  # of the appends, as they come
        self.ended = asyncio.Event()  # the client has gone
        self._came = asyncio.Event()
        self._client: asyncio.StreamWriter | None = None

    async def serve(self, reader: asyncio.StreamReader, client: asyncio.StreamWriter) -> None:
        self._client, parser = client, hiredis.Reader()
        with suppress(OSError):
            while data := await reader.read(1 << 16):
                parser.feed(data)
                self._take(parser)
        client.transport.abort()
        self.ended.set()

    def _take(self, parser: hiredis.Reader) -> None:
        while (command := parser.gets()) is not False:
            self.ids.append(command[9].decode())
        self._came.set()

    def answer(self, reply: bytes) -> None:
        assert self._client is not None
        self._client.write(reply)

    async def until(self, number: int) -> None:
        async with asyncio.timeout(10):
            while len(self.ids) < number:
                self._came.clear()
                await self._came.wait()


@asynccontextmanager
async def serving() -> AsyncIterator[tuple[Server, AppendQueue]]:
    """A server, and a writer that is connected to it."""
    server, numbers = Server(), count(1_000_000_000)
    listening = await asyncio.start_server(server.serve, "127.0.0.1", server.port)
    options = redis_options_of(f"redis://127.0.0.1:{server.port}")
    calls = AppendCalls(FunctionLibrary(), numbers)
    writer = AppendQueue(options, SystemClock(), Keyspace("anypod"), calls, nonces=numbers, metrics=Metrics(), on_moved=lambda: None)
    _, connection = await asyncio.get_running_loop().create_connection(lambda: Connection(5.0, writer.on_down), "127.0.0.1", server.port)
    writer.on_up(connection)
    try:
        yield server, writer
    finally:
        writer.close()
        connection.abort()
        await server.ended.wait()
        listening.close()
        await listening.wait_closed()


def send(writer: AppendQueue, key: SessionKey, name: str, done: Callable[..., Any] = lambda request, result: None) -> None:
    writer.append(Append(key, (event(name),)), done)


async def test_what_was_under_way_together_is_sent_again_in_its_order() -> None:
    key = fresh_key()
    async with serving() as (server, writer):
        for number, name in enumerate(("e1", "e2")):
            send(writer, key, name)
            await server.until(number + 1)
        server.answer(MOVED)
        await passed(2 * HOLD_S)  # the first has waited long enough, the second has no answer yet
        send(writer, key, "e3")
        server.answer(MOVED)
        await passed(2 * HOLD_S)
        assert [request.drafts[0].id for request in writer.give_up(lambda key: True)] == ["e1", "e2", "e3"]


async def passed(seconds: float) -> None:
    """The time that the writer waits is what is tested here."""
    loop = asyncio.get_running_loop()
    over = asyncio.Event()
    loop.call_later(seconds, over.set)
    await over.wait()


async def test_another_session_does_not_wait_for_the_one_that_is_held() -> None:
    key, other = fresh_key(), fresh_key()
    async with serving() as (server, writer):
        send(writer, key, "e1")
        await server.until(1)
        server.answer(MOVED)
        send(writer, other, "other")
        await server.until(2)
        assert server.ids[1] == "other"


async def test_what_belongs_elsewhere_is_handed_over_with_what_is_under_way_and_the_rest_stays() -> None:
    key, other = fresh_key(), fresh_key()
    async with serving() as (server, writer):
        for number, (session, name) in enumerate([(key, "e1"), (other, "stays"), (key, "e2")]):
            send(writer, session, name)
            await server.until(number + 1)
        send(writer, key, "e3")
        assert [request.drafts[0].id for request in writer.give_up(lambda session: session == key)] == ["e1", "e2", "e3"]
        assert [request.drafts[0].id for request in writer.give_up(lambda session: True)] == ["stays"]


async def test_what_is_taken_over_is_sent_and_answered_like_anything_else() -> None:
    key, results = fresh_key(), asyncio.Queue[Any]()
    async with serving() as (one, first), serving() as (two, second):
        send(first, key, "e1", lambda request, result: results.put_nowait(result))
        await one.until(1)
        for request in first.give_up(lambda key: True):
            second.take_over(request)
        await two.until(1)
        two.answer(b"$30\r\n+epoch001-1abcdef-1-1000000001\r\n")
        assert [receipt.seq for receipt in await results.get()] == [1]


async def test_after_a_refusal_one_call_goes_alone_and_the_others_once_it_is_answered() -> None:
    """The server may become the owner between two calls: it would refuse the first and take the second."""
    key, receipt = fresh_key(), b"$30\r\n+epoch001-1abcdef-%d-1000000001\r\n"
    async with serving() as (server, writer):
        send(writer, key, "e1")
        await server.until(1)
        send(writer, key, "e2")
        await server.until(2)
        server.answer(MOVED + MOVED)
        await server.until(3)
        send(writer, key, "e3")
        await passed(2 * HOLD_S)
        assert server.ids == ["e1", "e2", EACH], "both, in one call"
        server.answer(b"*2\r\n" + receipt % 1 + receipt % 2)
        await server.until(4)
        assert server.ids[3] == "e3"


async def test_what_is_taken_over_goes_alone_too() -> None:
    key, other = fresh_key(), fresh_key()
    async with serving() as (_, first), serving() as (two, second):
        for number in range(GROUP_MAX + 1):
            send(first, key, f"e{number}")
        for request in first.give_up(lambda key: True):
            second.take_over(request)
        send(second, other, "other")
        await two.until(2)
        await passed(2 * HOLD_S)
        assert two.ids == [EACH, "other"]
        two.answer(b"-ERR of any kind\r\n")
        await two.until(3)
        assert two.ids[2] == f"e{GROUP_MAX}"
