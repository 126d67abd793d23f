"""What one subscriber has still to be sent, where the transport is written to frame by frame.

Owns the queue of frames, and how many bytes wait or are being written. Must not know transports, nor what happens to a subscriber that
falls behind: the log has every event, so a full outbox is fed no more and the subscriber reads on from its cursor.
"""

from collections import deque
from collections.abc import Sequence
from typing import Final

OUTBOX_BYTES_MAX: Final = 256 << 10  # of one: about 5 s of 24 kHz speech
OUTBOX_TOTAL_BYTES_MAX: Final = 64 << 20  # of all of a replica: an eighth of the memory that the chart gives it


class Outbox:
    """`size`: bytes of what waits, and of what was taken and is not written yet."""

    __slots__ = ("_frames", "_taken_bytes", "size")

    def __init__(self) -> None:
        self._frames: deque[bytes] = deque()
        self._taken_bytes = 0
        self.size = 0

    def __len__(self) -> int:
        return len(self._frames)

    def put(self, frames: Sequence[bytes]) -> None:
        self._frames.extend(frames)
        self.size += sum(map(len, frames))

    def take(self, bytes_max: int) -> Sequence[bytes]:
        """The oldest frames, up to the one with which they come to `bytes_max`. They count until they are `written`."""
        taken = list[bytes]()
        size = 0
        while self._frames and size < bytes_max:
            taken.append(self._frames.popleft())
            size += len(taken[-1])
        self._taken_bytes += size
        return taken

    def written(self) -> None:
        """What was taken has left."""
        self.size -= self._taken_bytes
        self._taken_bytes = 0

    def clear(self) -> None:
        """Give up what waits."""
        self._frames.clear()
        self.size = self._taken_bytes
