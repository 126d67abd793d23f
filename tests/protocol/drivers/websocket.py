"""The driver of the WebSocket, written from the contract.

Owns the socket. Must not know cases.
"""

import asyncio
import time
from base64 import b64decode, b64encode
from collections.abc import Mapping
from contextlib import suppress
from typing import Any, Final

import aiohttp
import msgspec
from aiohttp import WSMsgType
from tests.protocol.applied import Frame
from tests.protocol.attachment import Attachment, Place, name_of_close

INIT_FIELDS: Final = frozenset({"after", "resume", "fold", "class", "device", "features", "history", "ref"})


class WebsocketAttachment(Attachment):
    asks = INIT_FIELDS

    def __init__(self, place: Place) -> None:
        super().__init__(place)
        self.socket: aiohttp.ClientWebSocketResponse[bool] | None = None
        self.close: Frame | None = None
        self._refs = 0
        self._beating: asyncio.Task[None] | None = None
        self._connected_at = 0.0

    async def open(self, ask: Mapping[str, Any]) -> None:
        await self.connect({})
        await self.send({"type": "session.init", "protocol": 1, "resume": False, **ask})
        await self.until(lambda: self.opening or self.ended, "an opening")
        if self.opening is not None:
            self._beating = asyncio.create_task(self._beat(self.opening["heartbeat_ms"] / 1000))

    async def _beat(self, interval_s: float) -> None:
        """Both sides send heartbeats: who attaches is heard until it leaves."""
        while self.ended is None and self.socket is not None and not self.socket.closed:
            with suppress(aiohttp.ClientError):  # whoever reads finds out
                await self.send({"type": "heartbeat", **({"cursor": self.cursor} if self.cursor is not None else {})})
            await asyncio.sleep(interval_s)

    async def connect(self, how: Mapping[str, Any]) -> None:
        """`query`, `protocols`, `headers` (null takes one away) instead of the usual ones."""
        headers = {name: value for name, value in {**self.place.headers, **how.get("headers", {})}.items() if value is not None}
        self.socket = await self.place.http.ws_connect(
            f"{self.place.base}/ws",
            params=how.get("query"),
            protocols=how.get("protocols", ("anypod.v1",)),
            headers=headers,
            autoping=True,
            max_msg_size=0,
        )
        self._connected_at = time.monotonic()
        self.run(asyncio.create_task(self.guarded(self._read)))

    async def send(self, frame: Mapping[str, Any]) -> None:
        await self.send_text(msgspec.json.encode(frame).decode())

    async def send_text(self, text: str) -> None:
        assert self.socket is not None
        await self.socket.send_str(text)

    async def send_binary(self, header: Mapping[str, Any], payload: bytes) -> None:
        assert self.socket is not None
        text = msgspec.json.encode(header)
        await self.socket.send_bytes(len(text).to_bytes(4, "big") + text + payload)

    @property
    def transport(self) -> asyncio.Transport:
        assert self.socket is not None
        connection = self.socket._response.connection
        assert connection is not None
        assert isinstance(connection.transport, asyncio.Transport)
        return connection.transport

    async def leave(self, code: int = 1000) -> None:
        if self._beating is not None:
            self._beating.cancel()
            await asyncio.wait([self._beating])
        if self.socket is not None:
            await self.socket.close(code=code)
        await super().leave()

    async def publish(self, event: Mapping[str, Any]) -> Frame:
        fields = {name: value for name, value in event.items() if name != "data_base64"}
        frame = {"type": "publish", **fields, "ref": self._next_ref()}
        if "data_base64" in event:
            await self.send_binary(frame, b64decode(event["data_base64"]))
        else:
            await self.send(frame)
        return await self._answer("published", frame["ref"])

    async def patch(self, patch: Mapping[str, Any]) -> Frame:
        frame = {"type": "state.patch", **patch, "ref": self._next_ref()}
        await self.send(frame)
        answer = await self._answer("published", frame["ref"])
        return answer if "error" in answer else {}

    async def history(self, ask: Mapping[str, Any]) -> Frame:
        frame = {"type": "history", **ask, "ref": self._next_ref()}
        await self.send(frame)
        return await self._answer("history", frame["ref"])

    async def signal(self, signal: Mapping[str, Any]) -> Frame:
        await self.send({"type": "signal", **signal})
        return {}

    def _next_ref(self) -> int:
        self._refs += 1
        return self._refs

    async def _answer(self, kind: str, ref: int) -> Frame:
        def find() -> Frame | None:
            answer = self.first(kind, ref) or self.first("error", ref)
            return answer if answer is not None or self.ended is None else {"type": "error", "code": self.ended}

        answer = await self.until(find, f"the answer {kind}")
        if answer["type"] != "error":
            return {name: value for name, value in answer.items() if name not in ("type", "ref", "arrived_s")}
        told = {"error": answer["code"]}
        return told | {"retry_after_ms": answer["retry_after_ms"]} if "retry_after_ms" in answer else told

    async def _read(self) -> None:
        assert self.socket is not None
        while True:
            message = await self.socket.receive()
            match message.type:
                case WSMsgType.TEXT:
                    frame = msgspec.json.decode(message.data)
                    if frame["type"] == "event":
                        self.texts.append(message.data)
                    self.take(frame)
                case WSMsgType.BINARY:
                    self.take(_from_binary(message.data))
                case WSMsgType.CLOSE:
                    self._closed(message.data, message.extra or "")
                    return
                case _:
                    self._closed(1006, "")
                    return

    def _closed(self, code: int, reason: str) -> None:
        now = time.monotonic()
        self.close = {"code": code, "reason": reason, "after_s": now - self._connected_at, "at_s": now}
        self.end(name_of_close(code))


def _from_binary(data: bytes) -> Frame:
    """The frame with its payload as text carries it, and a note of how it came."""
    length = int.from_bytes(data[:4], "big")
    frame: Frame = msgspec.json.decode(data[4 : 4 + length])
    assert "data" not in frame, "the header of a binary frame carries data"
    assert "data_base64" not in frame
    return {**frame, "data_base64": b64encode(data[4 + length :]).decode(), "came_as": "binary"}
