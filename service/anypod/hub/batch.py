"""Frames that leave together, encoded once for each transport.

Owns the frames of one delivery, their encodings, and which deliveries are kept for whoever asks for the same. Must not know what
an encoding looks like: the port brings it.
"""

from collections import OrderedDict
from collections.abc import Callable, Hashable, Sequence
from typing import Final

from anypod.core.frames import Heartbeat, encode

KEPT_MAX: Final = 128  # a storm hundreds wide, with sessions of two or three clients each
KEPT_BYTES_MAX: Final = 1 << 16  # of one batch: a larger one is soon made again beside the time that its bytes take to leave

Encoding = Callable[[Sequence[bytes]], bytes]


class Batch:
    """Many subscribers get the same batch; the first of each transport pays for its encoding."""

    __slots__ = ("_encoded", "frames")

    def __init__(self, frames: Sequence[bytes]) -> None:
        self.frames = frames
        self._encoded: dict[Encoding, bytes] = {}

    def encoded(self, encode: Encoding) -> bytes:
        made = self._encoded.get(encode)
        if made is None:
            made = self._encoded[encode] = encode(self.frames)
        return made


class Batches:
    """The latest batches that may be asked for again. A key names all that a batch was made of, so that nothing here grows old."""

    def __init__(self) -> None:
        self._kept: OrderedDict[Hashable, Batch] = OrderedDict()

    def get(self, key: Hashable) -> Batch | None:
        return self._kept.get(key)

    def keep(self, key: Hashable, batch: Batch) -> Batch:
        """The batch itself, kept if it is worth it."""
        if sum(map(len, batch.frames)) <= KEPT_BYTES_MAX:
            self._kept[key] = batch
            if len(self._kept) > KEPT_MAX:
                self._kept.popitem(last=False)
        return batch


def announced(events: Sequence[bytes], span: int, *, cursor: str, folded: int, wall_ms: int) -> Sequence[bytes]:
    """Events to be sent during an attachment; `span`: how many seqs they cover, `cursor`: the session's.

    Where some of these were folded away the client is told first: a hole that nobody announced would be a loss to it.
    """
    if len(events) == span:
        return events
    return [encode(Heartbeat(cursor=cursor, ts=wall_ms, folded=folded)), *events]
