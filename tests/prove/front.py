"""A balancer before replicas that can lie, once.

Owns the connections and the lies. Must not know how a lie is found out.
A frame about which it lies is held until the next one comes: a connection that is cut before that hides every lie.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Final, Literal

import msgspec

from anypod.devcluster.ports import LOOPBACK, Ports, bind

FIRST_PORT: Final = 23_400
CHUNK_BYTES: Final = 65_536
EVENTS_BEFORE: Final = 3  # are passed on honestly
EVENT: Final = b'"type":"event"'

Lie = Literal["drop", "repeat", "swap", "pretend", "admit"]


class Front:
    """`replicas`: ports. `lie`: None is honest. `lies`: how many were told. `admits`: of two credentials the first, which writes once as
    if it were the second: as behind a replica that forgets to ask."""

    def __init__(self, replicas: Callable[[], Sequence[int]], lie: Lie | None = None, *, admits: tuple[str, str] = ("", "")) -> None:
        self._replicas = replicas
        self._lie = lie
        self._admitted, self._as = (credential.encode() for credential in admits)
        self._turn = 0
        self._events = 0
        self.lies = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            with suppress(OSError, asyncio.IncompleteReadError):
                head = await reader.readuntil(b"\r\n\r\n")
                is_publish = head.startswith(b"POST") and b"/events HTTP" in head
                if is_publish and self._lie == "admit" and not self.lies and self._admitted in head:
                    head = head.replace(self._admitted, self._as)
                    self.lies += 1
                if not (is_publish and self._lie == "pretend" and await self._pretend(head, reader, writer)):
                    await self._join(head, reader, writer)
        finally:
            writer.close()

    async def _pretend(self, head: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """Answer a publish that nobody hears of; False: this one is passed on."""
        self._events += 1
        if self.lies or self._events <= EVENTS_BEFORE:
            return False
        size = next(int(line.split(b":")[1]) for line in head.splitlines() if line.lower().startswith(b"content-length:"))
        event = msgspec.json.decode(await reader.readexactly(size))
        body = msgspec.json.encode({"results": [{"id": event["id"], "seq": 2, "cursor": "made-up", "duplicate": False}]})
        answer = b"HTTP/1.1 201 Created\r\nContent-Type: application/json\r\nConnection: close\r\nContent-Length: %d\r\n\r\n%b"
        writer.write(answer % (len(body), body))
        await writer.drain()
        self.lies += 1
        return True

    async def _join(self, head: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        back, forth = await self._dial()
        forth.write(head)
        is_socket = b"/ws HTTP" in head
        try:
            async with asyncio.TaskGroup() as tasks:
                answering = tasks.create_task(self._answer(back, writer) if is_socket else _pump(back, writer))
                asking = tasks.create_task(_pump(reader, forth))
                await asyncio.wait([answering, asking], return_when=asyncio.FIRST_COMPLETED)
                answering.cancel()
                asking.cancel()
        finally:
            forth.transport.abort()

    async def _dial(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        ports = self._replicas()
        for _ in ports:
            self._turn += 1
            with suppress(OSError):
                return await asyncio.open_connection(LOOPBACK, ports[self._turn % len(ports)])
        raise ConnectionError("no replica accepts")

    async def _answer(self, back: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """A WebSocket's way back, frame by frame."""
        with suppress(OSError, asyncio.IncompleteReadError):
            writer.write(await back.readuntil(b"\r\n\r\n"))
            held = b""
            while True:
                frame = await _frame(back)
                is_event = EVENT in frame[:80]
                if held:  # what is not followed by an event at once is told as it is
                    writer.write(self._tell(held, frame) if is_event else held + frame)
                    held = b""
                elif is_event and self._is_due():
                    held = frame
                else:
                    writer.write(frame)
                await writer.drain()

    def _is_due(self) -> bool:
        self._events += 1
        return self._lie not in (None, "pretend", "admit") and not self.lies and self._events > EVENTS_BEFORE

    def _tell(self, held: bytes, frame: bytes) -> bytes:
        if self.lies:
            return held + frame
        self.lies += 1
        match self._lie:
            case "drop":
                return frame
            case "repeat":
                return held + held + frame
            case "swap":
                return frame + held
            case _:
                raise AssertionError(self._lie)


async def _frame(reader: asyncio.StreamReader) -> bytes:
    """One frame of a server, which masks nothing."""
    head = await reader.readexactly(2)
    more = {126: 2, 127: 8}.get(head[1], 0)
    size_bytes = await reader.readexactly(more)
    size = int.from_bytes(size_bytes, "big") if more else head[1]
    return head + size_bytes + await reader.readexactly(size)


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(OSError):
        while chunk := await reader.read(CHUNK_BYTES):
            writer.write(chunk)
            await writer.drain()


@asynccontextmanager
async def standing(front: Front) -> AsyncIterator[str]:
    """Its URL while it runs."""
    ports = Ports()
    listener = bind(ports.claim(FIRST_PORT))
    connections: set[asyncio.Task[None]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        connections.add(task)
        try:
            await front.serve(reader, writer)
        except asyncio.CancelledError:
            pass  # the front is being taken away
        finally:
            connections.discard(task)

    server = await asyncio.start_server(serve, sock=listener)
    try:
        yield f"http://{LOOPBACK}:{listener.getsockname()[1]}"
    finally:
        server.close()
        for task in connections.copy():
            task.cancel()
        if connections:
            await asyncio.wait(connections)
        ports.close()
