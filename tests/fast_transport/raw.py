"""A client that says exactly what it is told, byte by byte, and understands what it hears by the `websockets` library.

Owns one connection. Must not know what should come.
"""

import asyncio
import contextlib
import json
import socket
from base64 import b64encode
from typing import Any, Final, Self

from websockets.frames import Close, Frame, Opcode
from websockets.protocol import Protocol, Side, State

WAIT_S_MAX: Final = 5.0
READ_BYTES: Final = 65_536
KEY: Final = b64encode(bytes(16)).decode()


def upgrade(credential: str, target: str = "/v1/sessions/s1/ws", *more: str) -> bytes:
    """A usual upgrade request, with more header lines."""
    return upgrade_showing(f"Authorization: Bearer {credential}", target, *more)


def upgrade_showing(proof: str, target: str = "/v1/sessions/s1/ws", *more: str) -> bytes:
    """An upgrade request; `proof`: the header line that says who asks."""
    lines = (
        f"GET {target} HTTP/1.1",
        "Host: 127.0.0.1",
        "Connection: Upgrade",
        "Upgrade: websocket",
        "Sec-WebSocket-Version: 13",
        f"Sec-WebSocket-Key: {KEY}",
        proof,
        *more,
    )
    return "\r\n".join((*lines, "", "")).encode()


def sent(opcode: Opcode, payload: bytes = b"", *, is_last: bool = True) -> bytes:
    """A frame as the library's client sends it."""
    return Frame(opcode, payload, is_last).serialize(mask=True)


def said(**fields: Any) -> bytes:
    """A text frame with this object."""
    return sent(Opcode.TEXT, json.dumps(fields).encode())


INIT: Final = said(type="session.init", protocol=1)


class RawClient:
    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self._library = Protocol(Side.CLIENT, state=State.OPEN, max_size=None)
        self._frames: list[Frame] = []

    @classmethod
    async def connect(cls, port: int, *, receive_bytes: int | None = None) -> Self:
        """`receive_bytes`: what the kernel may hold of what comes and is not read, instead of some megabytes."""
        made = socket.socket()
        if receive_bytes is not None:
            made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_bytes)
        made.setblocking(False)
        await asyncio.get_running_loop().sock_connect(made, ("127.0.0.1", port))
        return cls(*await asyncio.open_connection(sock=made))

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        self._writer.transport.abort()

    def send(self, *pieces: bytes) -> None:
        """Nothing happens when the connection has ended."""
        if not self._writer.is_closing():
            self._writer.write(b"".join(pieces))

    def abort(self) -> None:
        """As a network would: without a word."""
        self._writer.transport.abort()

    def end(self) -> None:
        """Nothing more is said, all is still heard."""
        with contextlib.suppress(OSError):  # the server was quicker
            if not self._writer.is_closing():
                self._writer.write_eof()

    @staticmethod
    def understood(answer: bytes) -> list[Frame]:
        """The frames of a server; the last one may be cut off."""
        library = Protocol(Side.CLIENT, state=State.OPEN, max_size=None)
        library.receive_data(answer)
        assert library.parser_exc is None, library.parser_exc
        return [event for event in library.events_received() if isinstance(event, Frame)]

    async def head(self) -> bytes:
        """The head of a response; its first line says what happened."""
        async with asyncio.timeout(WAIT_S_MAX):
            return await self._reader.readuntil(b"\r\n\r\n")

    async def exactly(self, count: int) -> bytes:
        async with asyncio.timeout(WAIT_S_MAX):
            return await self._reader.readexactly(count)

    async def rest(self) -> bytes:
        """Everything until the server ends the connection, which it must."""
        async with asyncio.timeout(WAIT_S_MAX):
            try:
                return await self._reader.read()
            except ConnectionError:
                return b""

    async def until_silent(self, silence_s: float) -> bytes:
        """Everything until nothing comes for a while, or the connection ends."""
        heard = b""
        with contextlib.suppress(TimeoutError, ConnectionError):
            while True:
                async with asyncio.timeout(silence_s):
                    received = await self._reader.read(READ_BYTES)
                if not received:
                    break
                heard += received
        return heard

    async def frame(self) -> Frame | None:
        """The next WebSocket frame; None at the end of the connection."""
        while not self._frames:
            async with asyncio.timeout(WAIT_S_MAX):
                received = await self._reader.read(READ_BYTES)
            if not received:
                return None
            self._library.receive_data(received)
            assert self._library.parser_exc is None
            self._frames += [event for event in self._library.events_received() if isinstance(event, Frame)]
        return self._frames.pop(0)

    async def frames(self, *, answers_close: bool = True) -> list[Frame]:
        """All frames until the server ends the connection. The library stops at a close frame, so nothing may follow it."""
        frames: list[Frame] = []
        while (frame := await self.frame()) is not None:
            frames.append(frame)
            if frame.opcode is Opcode.CLOSE:
                if answers_close and not self._writer.is_closing():
                    self.send(sent(Opcode.CLOSE, bytes(frame.data)))
                assert await self.rest() == b"", "nothing follows a close frame"
                break
        return frames

    async def until(self, type_: str) -> dict[str, Any]:
        """The next frame of this type."""
        while (frame := await self.frame()) is not None:
            heard = heard_of(frame)
            if heard.get("type") == type_:
                return heard
        raise AssertionError(f"the connection ended before any {type_}")


def heard_of(frame: Frame) -> dict[str, Any]:
    """The object in a text frame; of a close frame `code` and `reason`."""
    if frame.opcode is Opcode.CLOSE:
        close = Close.parse(bytes(frame.data))
        return {"type": "close", "code": int(close.code), "reason": close.reason}
    if frame.opcode is not Opcode.TEXT:
        return {"type": frame.opcode.name}
    heard = json.loads(bytes(frame.data))
    assert isinstance(heard, dict)
    return heard


def told(frames: list[Frame]) -> list[tuple[str, Any]]:
    """Types, with the code of what has one."""
    heard = map(heard_of, frames)
    return [(one["type"], one.get("code")) for one in heard]
