"""A link by WebSocket.

Owns the socket and the order of what is written to it. Must not know what frames mean.
"""

import asyncio
import logging
from typing import Final

import aiohttp
from aiohttp import WSMsgType

from anypod.client.io.decoding import decode_binary, decode_text
from anypod.client.io.http import CLOSE_S_MAX, FOREIGN_ERRORS, HttpEndpoint, reason_of
from anypod.client.io.transport import Feed
from anypod.client.machine.commands import Fetch, Send
from anypod.client.machine.inputs import ConnectionClosed, Opened, Received
from anypod.client.types import CLOSE_LOST
from anypod.core.errors import CODES, AnypodError
from anypod.core.frames import ServerFrame, encode

logger = logging.getLogger(__name__)

SENDS_MAX: Final = 4_096  # frames that the socket has not taken: the outbox's window and many signals; beyond it the link is given up

CLOSE_TOO_BIG: Final = 1009

_Socket = aiohttp.ClientWebSocketResponse[bool]


class WebsocketTransport:
    def __init__(self, link: int, endpoint: HttpEndpoint, feed: Feed) -> None:
        self._link = link
        self._endpoint = endpoint
        self._feed = feed
        self._sends: asyncio.Queue[Send] = asyncio.Queue(SENDS_MAX)
        self._reading: asyncio.Task[ConnectionClosed] | None = None

    def obey(self, command: Send | Fetch) -> None:
        assert isinstance(command, Send)
        if not self._sends.full():
            self._sends.put_nowait(command)
        elif self._reading is not None:
            self._reading.cancel()

    async def run(self) -> ConnectionClosed:
        try:
            socket = await self._endpoint.upgrade()
        except aiohttp.WSServerHandshakeError as exc:
            code = CODES["not_authenticated"].close if exc.status == 401 else None
            return ConnectionClosed(self._link, code or CLOSE_LOST, f"the upgrade was answered with status {exc.status}")
        except FOREIGN_ERRORS as exc:
            return ConnectionClosed(self._link, CLOSE_LOST, reason_of(exc))
        try:
            await self._feed(Opened(self._link))
            return await self._converse(socket)
        finally:
            await _close(socket)

    async def _converse(self, socket: _Socket) -> ConnectionClosed:
        async with asyncio.TaskGroup() as group:
            reading = self._reading = group.create_task(self._read(socket), name="read")
            writing = group.create_task(self._write(socket), name="write")
            await asyncio.wait([reading])
            writing.cancel()
        return ConnectionClosed(self._link, CLOSE_LOST, "the socket takes no more") if reading.cancelled() else reading.result()

    async def _read(self, socket: _Socket) -> ConnectionClosed:
        while True:
            message = await socket.receive()
            match message.type:
                case WSMsgType.TEXT | WSMsgType.BINARY:
                    frame = _decode(message.type, message.data)
                    if frame is not None:
                        await self._feed(Received(self._link, frame))
                case WSMsgType.CLOSE:
                    return ConnectionClosed(self._link, message.data or CLOSE_LOST, message.extra or "")
                case WSMsgType.ERROR if socket.close_code == CLOSE_TOO_BIG:
                    return ConnectionClosed(self._link, CLOSE_TOO_BIG, reason_of(message.data))
                case _:
                    return ConnectionClosed(self._link, CLOSE_LOST, "the connection broke")

    async def _write(self, socket: _Socket) -> None:
        """A socket that fails here fails in `_read` too, which knows the close code."""
        try:
            while True:
                send = await self._sends.get()
                text = encode(send.frame)
                if send.payload is None:
                    await socket.send_frame(text, WSMsgType.TEXT)
                else:
                    await socket.send_frame(len(text).to_bytes(4, "big") + text + send.payload, WSMsgType.BINARY)
        except FOREIGN_ERRORS as exc:
            logger.debug("link %d: %s", self._link, reason_of(exc))


def _decode(kind: WSMsgType, data: bytes) -> ServerFrame | None:
    """None: not of this version of the protocol. Were it an event, the hole would show."""
    try:
        return decode_text(data) if kind is WSMsgType.TEXT else decode_binary(data)
    except AnypodError as exc:
        logger.warning("a frame was passed over: %s", exc.message)
        return None


async def _close(socket: _Socket) -> None:
    try:
        async with asyncio.timeout(CLOSE_S_MAX):
            await socket.close()
    except TimeoutError:
        logger.debug("the peer took no close frame")
