"""What one subscriber has still to be sent, where the transport is written to frame by frame.

Owns the queue of frames and its bound. Must not know transports, nor what happens to a subscriber that falls behind:
the log has every event, so a full outbox is emptied and the subscriber reads on from its cursor.
"""

from collections.abc import Sequence
from typing import Final

OUTBOX_BYTES_MAX: Final = 1 << 20  # about 20 s of 24 kHz speech, or 4,000 events of a streamed answer
OUTBOX_FRAMES_MAX: Final = 8_192  # an empty frame costs memory too: the list's slot, and the frame that it keeps alive


class Outbox:
    __slots__ = ("_bytes_max", "_frames", "size")

    def __init__(self, bytes_max: int = OUTBOX_BYTES_MAX) -> None:
        assert bytes_max > 0
        self._bytes_max = bytes_max
        self._frames: list[bytes] = []
        self.size = 0  # bytes

    def __len__(self) -> int:
        return len(self._frames)

    def put(self, frames: Sequence[bytes]) -> bool:
        """All of them or, when they do not fit, none and False.

        A single frame always fits into an empty outbox: larger than the bound it would otherwise never be delivered.
        """
        size = self.size + sum(map(len, frames))
        count = len(self._frames) + len(frames)
        if count > 1 and (size > self._bytes_max or count > OUTBOX_FRAMES_MAX):
            return False
        self._frames.extend(frames)
        self.size = size
        return True

    def take_all(self) -> Sequence[bytes]:
        """Everything, oldest first; the outbox is empty afterwards."""
        taken = self._frames
        self.clear()
        return taken

    def clear(self) -> None:
        self._frames = []
        self.size = 0
