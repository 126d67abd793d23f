"""The driver of server-sent events, written from the contract and the standard: publishing goes by HTTP.

Owns the stream. Must not know cases.
"""

import asyncio
from collections.abc import Mapping
from typing import Any

import aiohttp
import msgspec
from tests.protocol.applied import Frame
from tests.protocol.asking import ByHttp, problem_of
from tests.protocol.attachment import DONE, Attachment, Place


class SseAttachment(ByHttp, Attachment):
    """`events`: what the stream said, field by field. `response` is its head."""

    asks = frozenset({"after", "resume", "fold", "class", "history", "device", "features", "last_event_id"})

    def __init__(self, place: Place) -> None:
        Attachment.__init__(self, place)
        ByHttp.__init__(self, place)
        self.events: list[Frame] = []
        self.response: aiohttp.ClientResponse | None = None

    async def open(self, ask: Mapping[str, Any]) -> None:
        headers = {**self.place.headers, "Accept": "text/event-stream"}
        if "last_event_id" in ask:
            headers["Last-Event-ID"] = ask["last_event_id"]
        query = {name: _text(value) for name, value in ask.items() if name != "last_event_id"}
        timeout = aiohttp.ClientTimeout(total=None)
        self.response = await self.place.http.get(f"{self.place.base}/events", params=query, headers=headers, timeout=timeout)
        if self.response.status != 200:
            self.end((await problem_of(self.response))["code"])
            return
        self.run(asyncio.create_task(self.guarded(self._read)))
        await self.until(lambda: self.opening or self.ended, "an opening")

    @property
    def transport(self) -> asyncio.Transport:
        assert self.response is not None
        assert self.response.connection is not None
        assert isinstance(self.response.connection.transport, asyncio.Transport)
        return self.response.connection.transport

    async def leave(self) -> None:
        await super().leave()
        if self.response is not None:
            self.response.close()

    async def _read(self) -> None:
        assert self.response is not None
        rest = b""
        try:
            async for chunk in self.response.content.iter_any():
                *whole, rest = (rest + chunk).split(b"\n\n")
                for block in whole:
                    self._event(block.decode())
        except aiohttp.ClientError:
            self.end("1006")
            return
        assert rest == b"", f"the stream ended within an event: {rest!r}"
        self.end(self._how())

    def _event(self, block: str) -> None:
        fields: Frame = {}
        for line in block.split("\n"):
            name, colon, value = line.partition(": ")
            assert colon, f"a line of a stream without a field: {line!r}"
            assert name not in fields, f"two fields {name} in one event"
            fields[name] = value
        self.events.append(fields)
        if "data" in fields:
            frame: Frame = msgspec.json.decode(fields["data"])
            assert frame["type"] == fields["event"], f"the event {fields['event']} carries a frame {frame['type']}"
            assert "id" not in fields or fields["id"] == frame["cursor"], "an id is the frame's cursor"
            if frame["type"] == "event":
                self.texts.append(fields["data"])
            self.take(frame)
        else:
            assert list(fields) == ["retry"], f"an event without data: {fields}"
        self.inbox.tell()

    def _how(self) -> str:
        """A stream that ends says why by its last frame."""
        data = [msgspec.json.decode(event["data"]) for event in self.events if "data" in event and event["event"] != "heartbeat"]
        match data[-1] if data else {"type": "nothing"}:
            case {"type": "session.closed"}:
                return DONE
            case {"type": "error", "code": str() as code}:
                return code
            case {"type": str() as kind}:
                return kind
            case other:
                raise AssertionError(f"{other} is no frame")


def _text(value: Any) -> str:
    if isinstance(value, list):
        return ",".join(value)
    return str(value).lower() if isinstance(value, bool) else str(value)
