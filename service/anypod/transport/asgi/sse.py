"""A session as a stream of server-sent events.

Owns the form of a stream (WHATWG HTML, "Server-sent events") and its life. Must not know what is streamed: the hub delivers.

A stream ends by a goaway in the stream, never by an error status: that would stop a browser's EventSource for good.
"""

import asyncio
from collections.abc import AsyncIterator, Sequence
from random import Random
from typing import Final

import msgspec

from anypod.auth import Principal
from anypod.core import frames
from anypod.core.errors import CODES, Code
from anypod.core.event import FRAME_START, as_json, is_binary, position
from anypod.hub.attach_request import AttachRequest
from anypod.hub.layer import SessionLayer
from anypod.transport.asgi.queued_port import CloseFrame, QueuedPort

RETRY_MS: Final = 2_000  # how long a browser waits before it connects again, about
CLOSE_DONE: Final = 1000
_FINAL: Final[dict[int | None, Code]] = {row.close: code for code, row in reversed(CODES.items()) if row.close and not row.is_retryable}
_TYPE_START: Final = b'{"type":"'
_GOAWAY_START: Final = b'{"type":"goaway"'
_DONE_START: Final = b'{"type":"sync.done","cursor":"'

HEADERS: Final = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}


def encode(batch: Sequence[bytes]) -> bytes:
    return b"".join(map(encode_frame, batch))


def encode_frame(frame: bytes) -> bytes:
    """One frame. What moves the cursor carries it as `id`, so that `Last-Event-ID` resumes; a heartbeat must not."""
    if is_binary(frame) or frame.startswith(FRAME_START):
        return b"id: %b\nevent: event\ndata: %b\n\n" % (position(frame).cursor.encode(), as_json(frame))
    name = frame[len(_TYPE_START) : frame.index(b'"', len(_TYPE_START))]
    if frame.startswith(_DONE_START):
        cursor = frame[len(_DONE_START) : frame.index(b'"', len(_DONE_START))]
        return b"id: %b\nevent: %b\ndata: %b\n\n" % (cursor, name, frame)
    return b"event: %b\ndata: %b\n\n" % (name, frame)


def retry(rng: Random, after_ms: int | None = None) -> bytes:
    """The wait before a browser comes again, different for each; `after_ms`: the one that it was told."""
    return retry_after(after_ms or rng.randrange(RETRY_MS // 2, RETRY_MS * 3 // 2))


def retry_after(after_ms: int) -> bytes:
    return b"retry: %d\n\n" % after_ms


def is_goaway(frame: bytes) -> bool:
    return frame.startswith(_GOAWAY_START)


def last_words(goaway: bytes) -> bytes:
    """The end of a stream whose client was told when to come again: the stream says the same."""
    return encode_frame(goaway) + retry_after(msgspec.json.decode(goaway, type=frames.GoawayFrame).reconnect_after_ms)


def wait_ms(line: bytes) -> int:
    """What `retry` said."""
    return int(line[len(b"retry: ") :])


class Stream:
    """One stream; `open` it before the response begins, then send what `chunks` yields."""

    def __init__(self, layer: SessionLayer, principal: Principal, *, outbox_bytes_max: int, max_s: float, rng: Random) -> None:
        self._layer = layer
        self._max_s = max_s
        self._rng = rng
        self._task: asyncio.Task[object] | None = None
        layer.attachments.check_room(principal)
        self._port = QueuedPort(outbox_bytes_max, self._give_up)
        self.subscriber = layer.attachments.subscriber(self._port, principal)
        self._port.subscriber = self.subscriber

    async def open(self, attach_request: AttachRequest) -> None:
        """Attach. Raises AnypodError, after which there is nothing to close."""
        try:
            await self._layer.attachments.open(self.subscriber, attach_request)
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        self._layer.attachments.detach(self.subscriber)

    def _give_up(self) -> None:
        if self._task is not None:
            self._task.cancel()

    async def chunks(self) -> AsyncIterator[bytes]:
        self._task = asyncio.current_task()
        ends_at = self._layer.hub.clock.now() + self._max_s * self._rng.uniform(0.9, 1.0)
        yield retry(self._rng)
        goaway: bytes | None = None
        while not isinstance(taken := await self._next(ends_at), CloseFrame):
            goaway = next(filter(is_goaway, taken), None)
            if others := [frame for frame in taken if frame is not goaway]:
                yield encode(others)
            self._port.written()
        yield last_words(goaway) if goaway is not None else farewell(taken.code, taken.reason, self._rng)

    async def _next(self, ends_at: float) -> Sequence[bytes] | CloseFrame:
        try:
            async with asyncio.timeout(max(0.0, ends_at - self._layer.hub.clock.now())):
                return await self._port.take()
        except TimeoutError:
            return CloseFrame(0, "max_stream_s")


def farewell(code: int, reason: str, rng: Random, after_ms: int | None = None) -> bytes:
    """The end of a stream whose attachment ended with this close code.

    1. The log has ended, as session.closed has said: nothing more.
    2. Coming back is of no use: an error says why.
    3. Otherwise the browser's own reconnect goes on from the last id.
    """
    if code == CLOSE_DONE:
        return b""
    wait = retry(rng, after_ms)
    final = _FINAL.get(code)
    if final is not None:
        return encode_frame(frames.encode(frames.ErrorFrame(code=final, message=reason))) + wait
    return encode_frame(frames.encode(frames.GoawayFrame(reason=reason, reconnect_after_ms=wait_ms(wait)))) + wait
