"""Between a hub and a line: the transports of this network.

Owns how frames get from the hub into a line, and what a full line means. Must not know what the frames say, but for a stream's farewell.
"""

import asyncio
import random
from typing import Final

from tests.simulation.network import Bytes, Line

from anypod.core import frames
from anypod.core.errors import CLOSE_LEAVING, AnypodError, close_reason
from anypod.core.event import as_json
from anypod.hub.delivery import Batch
from anypod.hub.session import Subscriber
from anypod.transport.asgi.queued_port import CloseFrame, QueuedPort

OUTBOX_BYTES: Final = 2_048  # small, so that few events overflow it
RECONNECT_MS: Final = (500, 1_500)  # a stream's farewell says when to come again


class DirectPort:
    """The hub writes into the line itself, as the lean transport does, and pauses when the line is full."""

    def __init__(self, line: Line) -> None:
        self.line = line
        self.subscriber: Subscriber | None = None

    def deliver(self, batch: Batch) -> None:
        for frame in batch.frames:
            self.line.down.send(Bytes(frame))
        if self.line.down.is_full and self.subscriber is not None and self.subscriber.paused_at is None:
            self.subscriber.pause()

    def send(self, frame: bytes) -> None:
        self.line.down.send(Bytes(frame))

    def close(self, code: int, reason: str = "") -> None:
        self.line.leave_replica(code, reason)

    def refuse(self, error: AnypodError) -> None:
        self.close(error.row.close or CLOSE_LEAVING, close_reason(error))

    def abort(self) -> None:
        self.line.abort_replica()

    def hold(self, wait_s: float) -> None:
        """A simulated client is not worth the limits of a real one."""

    def has_room(self) -> None:
        if self.subscriber is not None and self.subscriber.paused_at is not None:
            self.subscriber.resume()


class Writer:
    """The coroutine behind a queued port: it writes while the line has room."""

    def __init__(self, port: QueuedPort, line: Line) -> None:
        self._port = port
        self._line = line
        self._room = asyncio.Event()

    def has_room(self) -> None:
        self._room.set()

    async def run(self) -> None:
        while not isinstance(taken := await self._port.take(), CloseFrame):
            for frame in taken:
                while self._line.down.is_full:
                    self._room.clear()
                    await self._room.wait()
                self._line.down.send(Bytes(self._encoded(frame)))
            self._port.written()
        self._end(taken)

    def _encoded(self, frame: bytes) -> bytes:
        return frame

    def _end(self, goodbye: CloseFrame) -> None:
        self._line.leave_replica(goodbye.code, goodbye.reason)


class StreamWriter(Writer):
    """A stream carries text alone, and says goodbye in the stream."""

    def __init__(self, port: QueuedPort, line: Line, rng: random.Random) -> None:
        super().__init__(port, line)
        self._rng = rng

    def _encoded(self, frame: bytes) -> bytes:
        return as_json(frame)

    def _end(self, goodbye: CloseFrame) -> None:
        farewell = frames.GoawayFrame(reason=goodbye.reason, reconnect_after_ms=self._rng.randint(*RECONNECT_MS))
        self._line.down.send(Bytes(frames.encode(farewell)))
        self._line.leave_replica(1006, "the stream has ended")
