"""Frames that leave together, encoded once for each transport.

Owns the frames of one delivery, their encodings, and which deliveries are kept for further subscribers. Must not know what
an encoding looks like: the port brings it.
"""

from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterator, Sequence
from itertools import islice
from typing import Final

from anypod.core.event import position
from anypod.core.frames import HeartbeatFrame, encode
from anypod.core.identity import SessionKey
from anypod.store import within

PIECE_BYTES_MAX: Final = 1 << 16  # of a replay that is handed over at once, and the event that comes to it: what follows may be dropped
PIECES_KEPT_MAX: Final = 16  # a MiB of one log, or a little of several, which many may ask for within a moment
KEPT_MAX: Final = 128  # a storm hundreds wide, with sessions of two or three clients each
KEPT_BYTES_MAX: Final = 1 << 16  # of one batch: a larger one is soon made again beside the time that its bytes take to leave

Encoding = Callable[[Sequence[bytes]], bytes]


class Batch:
    """Many subscribers get the same batch; the first of each transport pays for its encoding."""

    __slots__ = ("_encoded", "_size", "frames")

    def __init__(self, frames: Sequence[bytes]) -> None:
        self.frames = frames
        self._encoded: dict[Encoding, bytes] = {}
        self._size: int | None = None

    @property
    def size(self) -> int:
        """Bytes of its frames, counted once for all subscribers."""
        if self._size is None:
            self._size = sum(map(len, self.frames))
        return self._size

    def encoded(self, encode: Encoding) -> bytes:
        made = self._encoded.get(encode)
        if made is None:
            made = self._encoded[encode] = encode(self.frames)
        return made


class Batches:
    """The latest batches that may be asked for again. A key names all that a batch was made of, so that nothing here grows old."""

    def __init__(self, count_max: int = KEPT_MAX, bytes_max: int = KEPT_BYTES_MAX) -> None:
        self._count_max = count_max
        self._bytes_max = bytes_max
        self._kept: OrderedDict[Hashable, Batch] = OrderedDict()

    def get(self, key: Hashable) -> Batch | None:
        return self._kept.get(key)

    def keep(self, key: Hashable, batch: Batch) -> Batch:
        """The batch itself, kept if it is worth it."""
        if batch.size <= self._bytes_max:
            self._kept[key] = batch
            if len(self._kept) > self._count_max:
                self._kept.popitem(last=False)
        return batch


def is_large(frames: Sequence[bytes]) -> bool:
    """Are they to be handed over in several pieces?"""
    return sum(map(len, frames)) > PIECE_BYTES_MAX


class Pieces:
    """A replay cut into batches that a port may take one by one; concurrent readers of the same piece of a log share it."""

    def __init__(self) -> None:
        self._batches = Batches(PIECES_KEPT_MAX, 2 * PIECE_BYTES_MAX)

    def of(self, key: SessionKey, events: Sequence[bytes]) -> Iterator[Batch]:
        """`events`: of one range of the session's log, without a hole that `made_of` would not show."""
        start = 0
        while start < len(events):
            end = start + within(islice(events, start, None), PIECE_BYTES_MAX)
            frames = events[start:end]
            made_of = (key, position(frames[0]).cursor, position(frames[-1]).cursor, len(frames))
            yield self._batches.get(made_of) or self._batches.keep(made_of, Batch(frames))
            start = end


def announcement(cursor: str, folded: int, wall_ms: int) -> bytes:
    """Tells that events are folded before some follow during an attachment: a hole that was not announced would be a loss to the client.

    `cursor`: the session's.
    """
    return encode(HeartbeatFrame(cursor=cursor, ts=wall_ms, folded=folded))
