"""The SSE transport: a stream for what comes, POST for what goes.

Owns the stream's connection and its text, cut into events as far as our replicas use the syntax (WHATWG HTML, "Server-sent events").
Must not know what an event holds.
"""

import logging
from typing import Final

from anypod.client.io.decoding import decode_text
from anypod.client.io.http import FOREIGN_ERRORS, HttpEndpoint
from anypod.client.io.transport import Feed, closed_by
from anypod.client.machine.commands import Fetch, Open, Send
from anypod.client.machine.inputs import ConnectionClosed, Opened, Received
from anypod.client.machine.outgoing import error_of
from anypod.client.types import CLOSE_LOST
from anypod.core.errors import CLOSE_LEAVING, CLOSE_OVERLOADED, AnypodError
from anypod.core.frames import ErrorFrame

EVENT_BYTES_MAX: Final = 4 << 20  # as much as a WebSocket frame: an answer of this size is an error on every transport
logger = logging.getLogger(__name__)


class EventStream:
    """`retry_ms`: how long the server asks to wait before the next stream."""

    def __init__(self) -> None:
        self.retry_ms: int | None = None
        self._rest = b""
        self._lines: list[bytes] = []
        self._size = 0

    def feed(self, chunk: bytes) -> list[bytes]:
        """The `data` of the events that end in this chunk. Raises AnypodError `too_large`."""
        *lines, self._rest = (self._rest + chunk).split(b"\n")
        found = []
        for line in lines:
            event = self._line(line.removesuffix(b"\r"))
            if event is not None:
                found.append(event)
        if len(self._rest) + self._size > EVENT_BYTES_MAX:
            raise AnypodError("too_large", f"an event of the stream is larger than {EVENT_BYTES_MAX} bytes")
        return found

    def _line(self, line: bytes) -> bytes | None:
        if not line:
            event, self._lines, self._size = b"\n".join(self._lines), [], 0
            return event or None
        name, _, value = line.partition(b":")
        value = value.removeprefix(b" ")
        if name == b"data":
            self._lines.append(value)
            self._size += len(value)
        elif name == b"retry" and value.isdigit():
            self.retry_ms = int(value)
        return None  # `id` and `event` repeat what stands in the data


class SseTransport:
    def __init__(self, endpoint: HttpEndpoint, feed: Feed, ask: Open) -> None:
        self._link = ask.link
        self._endpoint = endpoint
        self._feed = feed
        self._ask = ask
        self._goodbye: AnypodError | None = None
        self._is_heard = False

    def obey(self, command: Send | Fetch) -> None:
        raise AssertionError(f"a stream cannot carry out {command}")

    async def run(self) -> ConnectionClosed:
        try:
            retry_ms = await self._stream()
        except AnypodError as exc:
            if exc.reset is None:
                return closed_by(self._link, exc)
            await self._feed(Opened(self._link))
            await self._feed(Received(self._link, decode_text(exc.reset)))
            return ConnectionClosed(self._link, CLOSE_LEAVING, "the cursor was gone", retry_after_ms=0)
        except FOREIGN_ERRORS as exc:
            return closed_by(self._link, exc)
        if self._goodbye is not None:
            return closed_by(self._link, self._goodbye)
        if self._is_heard:
            return ConnectionClosed(self._link, CLOSE_LOST, "the stream has ended")  # after a goaway the machine knows when to come again
        # A status would stop a browser's EventSource for good: a client that the replica cannot take gets a stream that ends empty.
        return ConnectionClosed(self._link, CLOSE_OVERLOADED, "the stream was empty", retry_ms)

    async def _stream(self) -> int | None:
        """Until the stream ends; how long the replica asks to wait then."""
        stream = EventStream()
        async with self._endpoint.stream(self._ask.after, fold=self._ask.fold) as response:
            await self._feed(Opened(self._link))
            async for chunk in response.content.iter_any():
                for data in stream.feed(chunk):
                    await self._take(data)
        return stream.retry_ms

    async def _take(self, data: bytes) -> None:
        try:
            frame = decode_text(data)
        except AnypodError as exc:
            logger.warning("a frame was passed over: %s", exc.message)  # were it an event, the hole would show
            return
        if isinstance(frame, ErrorFrame) and frame.ref is None:
            self._goodbye = error_of(frame)  # a stream has no close code
        self._is_heard = True
        await self._feed(Received(self._link, frame))
