"""What one subscriber has still to be sent, where the transport is written to frame by frame.

Owns the queue of frames and its bound. Must not know transports, nor what happens to a subscriber that falls behind:
the log has every event, so a full outbox is fed no more and the subscriber reads on from its cursor.
"""

from collections.abc import Sequence
from typing import Final

OUTBOX_BYTES_MAX: Final = 256 << 10  # about 5 s of 24 kHz speech; two hundred stalled readers hold 50 MiB


class Outbox:
    """Takes one delivery beyond its bound, so that what was handed over is never lost; then it `is_full` until emptied."""

    __slots__ = ("_bytes_max", "_frames", "size")

    def __init__(self, bytes_max: int = OUTBOX_BYTES_MAX) -> None:
        assert bytes_max > 0
        self._bytes_max = bytes_max
        self._frames: list[bytes] = []
        self.size = 0  # bytes

    def __len__(self) -> int:
        return len(self._frames)

    @property
    def is_full(self) -> bool:
        return self.size > self._bytes_max

    def put(self, frames: Sequence[bytes]) -> bool:
        """Take them all. False: that was the last delivery until the outbox has been emptied."""
        self._frames.extend(frames)
        self.size += sum(map(len, frames))
        return not self.is_full

    def take_all(self) -> Sequence[bytes]:
        """Everything, oldest first; the outbox is empty afterwards."""
        taken = self._frames
        self.clear()
        return taken

    def clear(self) -> None:
        self._frames = []
        self.size = 0
