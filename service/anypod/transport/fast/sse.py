"""A session's SSE stream straight on the transport: one object a connection, no task, queue or event.

Owns the life of one stream: its head, deliveries as chunks (RFC 9112, 7.1), its end. Must not know what is streamed.
"""

import asyncio
from collections.abc import Sequence
from functools import partial
from random import Random
from typing import Any, Final

from anypod.auth import Principal
from anypod.core.byte_budget import COUNTED_BYTES
from anypod.core.errors import AnypodError
from anypod.core.problems import MEDIA_TYPE, problem_body, problem_headers
from anypod.hub.attach_request import AttachRequest
from anypod.hub.delivery import Batch
from anypod.hub.session import Subscriber
from anypod.transport.asgi import sse
from anypod.transport.fast.websocket import FastTransport, write_behind

UNHEARD_BYTES_MAX: Final = 65_536  # what a client may say to a stream: a few requests in a row, which it will repeat

_HEAD: Final = (  # what follows it: the lines of `cors`, an empty one
    b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream; charset=utf-8\r\nCache-Control: no-store\r\nX-Accel-Buffering: no\r\n"
    b"Connection: close\r\nTransfer-Encoding: chunked\r\n"
)
_LAST_CHUNK: Final = b"0\r\n\r\n"


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


def chunks_of(batch: Sequence[bytes]) -> bytes:
    """The batch as one chunk: encoded once for all streams."""
    return chunk(sse.encode(batch))


class SseProtocol(asyncio.Protocol):
    """The port of its subscriber (`hub.port`). Before `begin` nothing but an error has been sent.

    `cors_lines`: of the head, for the page that asks.
    """

    __slots__ = (
        "_answers",
        "_connections",
        "_cors_lines",
        "_goaway",
        "_has_begun",
        "_is_closing",
        "_is_counted",
        "_shared",
        "_transport",
        "_unheard_bytes",
        "subscriber",
    )

    def __init__(
        self, shared: FastTransport, transport: asyncio.Transport, connections: set[Any], principal: Principal, cors_lines: bytes
    ) -> None:
        self._shared = shared
        self._transport = transport
        self._connections = connections
        self._cors_lines = cors_lines
        self._answers: list[bytes] | None = None  # that leave together at the end of this tick
        self._goaway: bytes | None = None
        self._has_begun = False
        self._is_closing = False
        self._is_counted = False  # is there more in the transport than goes without saying?
        self._unheard_bytes = 0
        self.subscriber: Subscriber = shared.layer.attachments.subscriber(self, principal)
        self.subscriber.ends_at = shared.layer.hub.clock.now() + shared.stream_s_max * shared.rng.uniform(0.9, 1.0)
        transport.set_write_buffer_limits(high=COUNTED_BYTES)
        connections.add(self)

    def begin(self, attach_request: AttachRequest) -> None:
        self._shared.layer.attachments.attach(self.subscriber, attach_request, _nothing_more)

    # From the client, which has nothing to say.

    def data_received(self, data: bytes) -> None:
        self._unheard_bytes += len(data)
        if self._unheard_bytes > UNHEARD_BYTES_MAX:
            self.close(0, "a stream listens to nobody")

    def pause_writing(self) -> None:
        self._is_counted = True
        self._count()

    def _count(self) -> None:
        """What the transport has not taken is counted at each write, until it has taken it."""
        if not self._is_closing:
            self.subscriber.note_unsent(self._transport.get_write_buffer_size(), self._shared.buffer_bytes_max)

    def resume_writing(self) -> None:
        self._is_counted = False
        self.subscriber.resume()

    def connection_lost(self, exc: Exception | None) -> None:
        self._connections.discard(self)
        self._is_closing = True
        self._shared.forget_soon(partial(self._shared.layer.attachments.detach, self.subscriber))
        del self.subscriber  # each would keep the other, until the collector looks

    # From the hub (`hub.port`).

    def deliver(self, batch: Batch) -> None:
        self._write(batch.encoded(chunks_of))

    def send(self, frame: bytes) -> None:
        if sse.is_goaway(frame):
            self._goaway = frame  # the close that follows says it
            return
        made = chunk(sse.encode_frame(frame))
        if self._answers is None:
            self._shared.flush_soon(self)
            self._answers = [made]
        else:
            self._answers.append(made)

    def flush(self) -> None:
        if self._answers is not None:
            self._write(b"")

    def _write(self, data: bytes) -> None:
        """Everything in order: the head and answers that wait go first."""
        answers, self._answers = self._answers or [], None
        if not self._has_begun:
            self._has_begun = True
            answers.insert(0, b"%b%b\r\n%b" % (_HEAD, self._cors_lines, chunk(sse.retry(self._shared.rng))))
        if self._transport.is_closing():
            return
        if answers:
            write_behind(self._transport, answers, data)
        else:
            self._transport.write(data)
        if self._is_counted:
            self._count()

    def close(self, code: int, reason: str = "") -> None:
        """The end of the stream, in the stream: an error status would stop a browser for good."""
        if self._is_closing:
            return
        self._is_closing = True
        if self._goaway is not None:
            self._write(chunk(sse.last_words(self._goaway)) + _LAST_CHUNK)
        else:
            self._write(_farewell(code, reason, self._shared.rng))
        self._transport.close()

    def refuse(self, error: AnypodError) -> None:
        """Before the stream has begun an error may have its status."""
        if self._has_begun:
            self.close(error.row.close or 0, error.message)
        elif not self._is_closing:
            self._is_closing = True
            self._transport.write(refusal(error, self._shared.rng, self._cors_lines))
            self._transport.close()

    def abort(self) -> None:
        self._transport.abort()

    def shutdown(self) -> None:
        self.close(1012, "the replica is leaving")


def refusal(error: AnypodError, rng: Random, cors_lines: bytes) -> bytes:
    """A whole response to a request for a stream: one that ends at once, if the client is to retry."""
    if not error.row.is_retryable:
        return _problem(error, cors_lines)
    after_ms = error.retry_after_ms
    ending = _farewell(error.row.close or 0, error.message, rng, after_ms)
    return b"%b%b\r\n%b%b" % (_HEAD, cors_lines, chunk(sse.retry(rng, after_ms)), ending)


def _farewell(code: int, reason: str, rng: Random, after_ms: int | None = None) -> bytes:
    ending = sse.farewell(code, reason, rng, after_ms)
    return (chunk(ending) if ending else b"") + _LAST_CHUNK  # an empty chunk would be the last one


def _problem(error: AnypodError, cors_lines: bytes) -> bytes:
    body = problem_body(error)
    headers = problem_headers(error) | {"Content-Type": MEDIA_TYPE, "Content-Length": str(len(body)), "Connection": "close"}
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    return f"HTTP/1.1 {error.row.status} {error.code}\r\n{lines}".encode() + cors_lines + b"\r\n" + body


def _nothing_more() -> None:
    """A stream has nothing to say once it is open."""
