"""A port for transports that are written to by a coroutine of their own.

Owns the outbox between the hub, which never waits, and the coroutine, which does. Must not know what it writes to.
"""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from anypod.core.byte_budget import COUNTED_BYTES
from anypod.core.errors import AnypodError, close_reason
from anypod.core.outbox import Outbox
from anypod.hub.delivery import Batch
from anypod.hub.session import Subscriber

PIECE_BYTES_MAX: Final = 1 << 16  # taken by the coroutine at once: as much as the server's own buffer holds before it makes it wait
ANSWERS_BYTES_MAX: Final = 4 << 20  # beyond a full outbox, for a client that asks and does not read; then it is aborted


@dataclass(frozen=True, slots=True)
class CloseFrame:
    """The hub has ended the attachment; `code` is of the WebSocket table."""

    code: int
    reason: str


class QueuedPort:
    """`subscriber` is set right after construction: port and subscriber know each other. `cancel` gives the connection up."""

    def __init__(self, outbox_bytes_max: int, cancel: Callable[[], object]) -> None:
        self.subscriber: Subscriber | None = None
        self._cancel = cancel
        self._bytes_max = outbox_bytes_max
        self._outbox = Outbox()
        self._is_counted = False  # does more wait than goes without saying?
        self._goodbye: CloseFrame | None = None
        self._held_s = 0.0
        self._wake = asyncio.Event()
        self._emptied = asyncio.Event()
        self._emptied.set()

    # The hub's side (`hub.port`).

    def deliver(self, batch: Batch) -> None:
        self._put(batch.frames)

    def send(self, frame: bytes) -> None:
        if self._outbox.size > self._bytes_max + ANSWERS_BYTES_MAX:
            self.abort()
        else:
            self._put((frame,))

    def close(self, code: int, reason: str = "") -> None:
        if self._goodbye is None:
            self._goodbye = CloseFrame(code, reason)
            self._wake.set()

    def refuse(self, error: AnypodError) -> None:
        self.close(error.row.close or 1011, close_reason(error))

    def abort(self) -> None:
        self._outbox.clear()
        self._cancel()

    def _put(self, frames: Sequence[bytes]) -> None:
        if self._goodbye is not None or not frames:
            return
        self._outbox.put(frames)
        self._wake.set()
        size = self._outbox.size
        if self.subscriber is not None and size > min(COUNTED_BYTES, self._bytes_max):
            self._is_counted = True
            if not self.subscriber.note_unsent(size, self._bytes_max):
                self._emptied.clear()

    # The transport's side.

    async def take(self) -> Sequence[bytes] | CloseFrame:
        """What is to be written next, waited for; a goodbye comes after everything that was put before it."""
        while not len(self._outbox):
            if self._goodbye is not None:
                return self._goodbye
            self._wake.clear()
            await self._wake.wait()
        return self._outbox.take(PIECE_BYTES_MAX)

    def written(self) -> None:
        """What was taken has left: once little waits the hub may feed again."""
        self._outbox.written()
        if not self._is_counted or self.subscriber is None:
            return
        if self._outbox.size > min(COUNTED_BYTES, self._bytes_max):
            self.subscriber.note_drained(self._outbox.size)
            return
        self._is_counted = False
        self._emptied.set()
        self.subscriber.resume()

    def hold(self, wait_s: float) -> None:
        """Not read from for so long."""
        self._held_s = wait_s

    async def room(self) -> None:
        """Wait until the client has read what it was sent (one that does not read is not read from either), and as long as it is held."""
        await self._emptied.wait()
        if (held_s := self._held_s) > 0:
            self._held_s = 0.0
            await asyncio.sleep(held_s)
