"""A session's WebSocket straight on the transport: one object a connection, no task, queue, timer or event.

Owns the life of one WebSocket: the messages of the client to its `ClientConnection`, the hub's deliveries in one write each, the close
handshake. Must not know what a frame means, nor how the upgrade was recognised.
"""

import asyncio
from collections.abc import Callable
from random import Random
from typing import Any, Final, Protocol

from anypod.core.byte_budget import COUNTED_BYTES, RETRY_MS, ByteBudget
from anypod.core.errors import AnypodError, close_reason
from anypod.hub.admission import PacedQueue
from anypod.hub.client_connection import ClientConnection
from anypod.hub.delivery import Batch
from anypod.hub.layer import SessionLayer
from anypod.transport.fast.request_timeouts import ARRIVAL_S_MAX, REQUEST_S_MAX, RequestTimeouts
from anypod.transport.fast.websocket_frames import (
    TEXT,
    TOO_LARGE,
    FrameError,
    FrameReader,
    Opcode,
    close_code_of,
    close_frame,
    control,
    framed,
    join_framed,
)

UNFINISHED_BYTES_MAX: Final = 32 << 20  # of messages that have begun, of all connections: a message usually comes within one read
GOODBYE_S_MAX: Final = 2.0  # for the client's answer to our close frame; then the connection is given up


class Flushes(Protocol):
    def flush(self) -> None: ...


class FastTransport:
    """What all connections of a replica share: the answers that leave together at the end of a turn of the loop, patience, and the
    queue of connections that have ended."""

    def __init__(self, layer: SessionLayer, rng: Random, *, buffer_bytes_max: int, stream_s_max: float) -> None:
        self.layer = layer
        self.rng = rng
        self.buffer_bytes_max = buffer_bytes_max  # beyond it a transport takes no more deliveries until it is empty
        self.stream_s_max = stream_s_max
        self.arrivals = RequestTimeouts(layer.hub.clock, ARRIVAL_S_MAX, metrics=layer.hub.metrics)
        self.requests = RequestTimeouts(layer.hub.clock, REQUEST_S_MAX, metrics=layer.hub.metrics)
        self.unfinished: ByteBudget[WebSocketProtocol] = ByteBudget(UNFINISHED_BYTES_MAX)
        self._loop = asyncio.get_running_loop()
        self._dirty: list[Flushes] = []
        self._departures = PacedQueue(layer.hub.clock, layer.hub.tasks)

    def flush_soon(self, wire: "Flushes") -> None:
        if not self._dirty:
            self._loop.call_soon(self._flush)
        self._dirty.append(wire)

    def _flush(self) -> None:
        dirty, self._dirty = self._dirty, []
        for wire in dirty:
            wire.flush()

    def forget_soon(self, forget: Callable[[], None]) -> None:
        """Thousands may go in one turn of the loop, all before the next publisher is heard: this turn only closes their sockets."""
        self._departures.join(self.layer.hub.clock.now(), forget)

    def call_later(self, seconds: float, callback: Callable[[], None]) -> None:
        self._loop.call_later(seconds, callback)


class WebSocketProtocol(asyncio.Protocol):
    """`client` is set right after construction. The port of its subscriber (`hub.port`)."""

    __slots__ = (
        "_answers",
        "_connections",
        "_held",
        "_is_closing",
        "_is_counted",
        "_is_full",
        "_is_held",
        "_is_reading",
        "_reader",
        "_shared",
        "_transport",
        "client",
    )

    def __init__(self, shared: FastTransport, transport: asyncio.Transport, connections: set[Any]) -> None:
        self.client: ClientConnection | None = None
        self._shared = shared
        self._transport = transport
        self._connections = connections  # the server's: it closes what is left at its end
        self._reader = FrameReader(shared.layer.hub.options.limits.frame_bytes)
        self._answers: list[bytes] | None = None  # that leave together at the end of this tick
        self._is_closing = self._is_full = self._is_held = False
        self._is_reading = True
        self._held = 0  # bytes of a message that has not come to its end
        self._is_counted = False  # is there more in the transport than goes without saying?
        transport.set_write_buffer_limits(high=COUNTED_BYTES)
        connections.add(self)

    # From the client.

    def data_received(self, data: bytes) -> None:
        client = self.client
        if client is not None:
            client.heard()
        reader = self._reader
        for opcode, payload in reader.feed(data):
            if opcode == TEXT and client is not None and not self._is_closing:
                client.take(payload)
            else:
                self._on_message(opcode, payload)
        if client is not None:
            client.flush()
        if reader.held != self._held:
            self._hold_unfinished()
        if reader.error is not None and not self._is_closing:
            self._fail(reader.error)

    def _hold_unfinished(self) -> None:
        self._held = self._reader.held
        for oldest in self._shared.unfinished.note(self, self._held):
            oldest.give_way()

    def give_way(self) -> None:
        """Too much of too many messages has come that have no end yet."""
        if self.client is not None:
            self.client.refuse(AnypodError("overloaded", "too many messages come too slowly", retry_after_ms=RETRY_MS))
        self._transport.abort()

    def _on_message(self, opcode: int, payload: bytes) -> None:
        if opcode == Opcode.CLOSE:
            self._on_close(payload)
        elif self._is_closing or self.client is None:
            return
        elif Opcode.CONTINUATION < opcode <= Opcode.BINARY:
            self.client.take(payload, is_binary=opcode == Opcode.BINARY)
        elif self.client.admits_control() and opcode == Opcode.PING:
            self._write(control(Opcode.PONG, payload))

    def _on_close(self, payload: bytes) -> None:
        """The client's close frame: the answer to ours, or its own, which is answered."""
        if not self._is_closing:
            try:
                code = close_code_of(payload)
                answer = control(Opcode.CLOSE, payload[:2]) if code != 1005 else control(Opcode.CLOSE)
            except FrameError as error:
                answer = close_frame(error.code, error.reason)
            self._is_closing = True
            self._write(answer)
            self._shared.call_later(GOODBYE_S_MAX, self._give_up)
        self._transport.close()

    def _fail(self, error: FrameError) -> None:
        """The client broke the protocol: it is told why, and not listened to any more (RFC 6455, 7.1.7)."""
        if error.code == TOO_LARGE and self.client is not None:
            self.client.refuse(AnypodError("too_large", error.reason))
        else:
            self.close(error.code, error.reason)
        # Not `close`: with bytes of the client unread, that would reset the connection and take our close frame along.
        if self._transport.can_write_eof() and not self._transport.is_closing():
            self._transport.write_eof()

    def pause_writing(self) -> None:
        self._is_counted = True
        self._count()

    def _count(self) -> None:
        """What the transport has not taken is counted at each write, until it has taken it."""
        if self.client is None or self._is_closing:
            return
        has_room = self.client.subscriber.note_unsent(self._transport.get_write_buffer_size(), self._shared.buffer_bytes_max)
        if not has_room and not self._transport.is_closing():
            self._is_full = True  # a client that does not read is not read from either
            self._read_or_not()

    def resume_writing(self) -> None:
        self._is_counted = self._is_full = False
        self._read_or_not()
        if self.client is not None:
            self.client.subscriber.resume()

    def connection_lost(self, exc: Exception | None) -> None:
        self._connections.discard(self)
        self._shared.unfinished.drop(self)
        self._is_closing = True
        client, self.client = self.client, None  # each would keep the other, until the collector looks
        if client is not None:
            self._shared.forget_soon(client.gone)

    # From the hub (`hub.port`).

    def greet(self, response: bytes) -> None:
        """The answer to the upgrade. It leaves with the first frames, if they follow at once."""
        self._shared.flush_soon(self)
        self._answers = [response]

    def deliver(self, batch: Batch) -> None:
        if not self._is_closing:  # nothing follows a close frame
            self._write(batch.encoded(join_framed))

    def send(self, frame: bytes) -> None:
        if self._is_closing:
            return
        if self._answers is None:
            self._shared.flush_soon(self)
            self._answers = [framed(frame)]
        else:
            self._answers.append(framed(frame))

    def flush(self) -> None:
        answers, self._answers = self._answers, None
        if answers is not None and not self._transport.is_closing():
            self._transport.write(answers[0] if len(answers) == 1 else b"".join(answers))
            if self._is_counted:
                self._count()

    def _write(self, data: bytes) -> None:
        """Everything in order: answers that wait go first."""
        answers, self._answers = self._answers, None
        if self._transport.is_closing():
            return
        if answers is None:
            self._transport.write(data)
        else:
            write_behind(self._transport, answers, data)
        if self._is_counted:
            self._count()

    def hold(self, wait_s: float) -> None:
        """Not read from for so long."""
        if not self._is_held and not self._is_closing:
            self._is_held = True
            self._read_or_not()
            self._shared.call_later(wait_s, self._release)

    def _release(self) -> None:
        self._is_held = False
        self._read_or_not()

    def _read_or_not(self) -> None:
        if self._transport.is_closing():
            return
        is_reading = not self._is_held and not self._is_full
        if is_reading and not self._is_reading:
            self._transport.resume_reading()
        elif self._is_reading and not is_reading:
            self._transport.pause_reading()
        self._is_reading = is_reading

    def close(self, code: int, reason: str = "") -> None:
        if self._is_closing:
            return
        self._write(close_frame(code, reason))
        self._is_closing = True
        self._shared.call_later(GOODBYE_S_MAX, self._give_up)

    def _give_up(self) -> None:
        if not self._transport.is_closing() or self._transport.get_write_buffer_size():
            self._transport.abort()

    def abort(self) -> None:
        self._transport.abort()

    def refuse(self, error: AnypodError) -> None:
        self.close(error.row.close or 1011, close_reason(error))

    # From the server, at its end.

    def shutdown(self) -> None:
        self.close(1012, "the replica is leaving")


def write_behind(transport: asyncio.Transport, answers: list[bytes], data: bytes) -> None:
    """Write the answers and the data behind them at once. Large data may be shared with many clients: it is not copied."""
    if len(data) > COUNTED_BYTES:
        transport.writelines((*answers, data))
    else:
        transport.write(b"".join((*answers, data)))
