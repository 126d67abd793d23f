"""The tail: a cache of the newest frames of one session, for clients that resume soon.

Owns which frames are kept, and the proof of a cursor among them. Must not know subscribers or the store.
"""

from bisect import bisect_right
from collections import OrderedDict
from collections.abc import Sequence

from anypod.core.event import position

TAIL_EVENTS_MAX = 512  # a burst of an answer's tokens; beyond that a replay reads the log
TAIL_BYTES_MAX = 1 << 20  # of one session, so that a few busy ones do not own the cache


class Tail:
    """Every event after `floor` up to the newest is here, but for folded deltas. `floor_cursor` is the cursor at `floor`, "" if unknown.

    Of most sessions that are merely loaded nothing is kept, and then there are no lists either.
    """

    __slots__ = ("_frames", "_seqs", "bytes", "floor", "floor_cursor")

    def __init__(self, floor: int, floor_cursor: str, frames: Sequence[bytes] = ()) -> None:
        self.floor = floor
        self.floor_cursor = floor_cursor
        self.bytes = 0
        self._seqs: list[int] | None = None
        self._frames: list[bytes] | None = None
        self.extend(_seqs_of(frames), frames)

    def extend(self, seqs: Sequence[int], frames: Sequence[bytes]) -> None:
        """Take newer frames, and forget the oldest half when there are too many."""
        if not frames:
            return
        if self._seqs is None or self._frames is None:
            self._seqs, self._frames = list(seqs), list(frames)
        else:
            self._seqs.extend(seqs)
            self._frames.extend(frames)
        self.bytes += sum(map(len, frames))
        if len(self._seqs) > TAIL_EVENTS_MAX or self.bytes > TAIL_BYTES_MAX:
            self._halve(self._seqs, self._frames)

    def _halve(self, seqs: list[int], frames: list[bytes]) -> None:
        cut = (len(seqs) + 1) // 2
        self.floor, self.floor_cursor = position(frames[cut - 1])
        self.bytes -= sum(map(len, frames[:cut]))
        del seqs[:cut], frames[:cut]

    def clear(self) -> None:
        """Keep nothing but the place."""
        if self._frames:
            self.floor, self.floor_cursor = position(self._frames[-1])
        self._seqs = self._frames = None
        self.bytes = 0

    @property
    def newest_cursor(self) -> str:
        return position(self._frames[-1]).cursor if self._frames else self.floor_cursor

    def proves(self, seq: int, cursor: str) -> bool:
        """Is `cursor` the log's own at `seq`? False also when the tail does not reach back that far."""
        if seq == self.floor:
            return cursor == self.floor_cursor
        if self._seqs is None or self._frames is None:
            return False
        index = bisect_right(self._seqs, seq) - 1
        return index >= 0 and self._seqs[index] == seq and position(self._frames[index]).cursor == cursor

    def reaches(self, seq: int) -> bool:
        return seq >= self.floor

    def after(self, seq: int) -> Sequence[bytes]:
        assert self.reaches(seq)
        if self._seqs is None or self._frames is None:
            return ()
        return self._frames[bisect_right(self._seqs, seq) :]


def _seqs_of(frames: Sequence[bytes]) -> Sequence[int]:
    """Between the first and the last there is nothing to read off where nothing is missing."""
    if not frames:
        return ()
    first, last = position(frames[0]).seq, position(frames[-1]).seq
    if last - first + 1 == len(frames):
        return range(first, last + 1)
    return [position(frame).seq for frame in frames]


class TailBudget:
    """All tails of a replica together stay within `bytes_max`; whose session was used least recently gives way."""

    def __init__(self, bytes_max: int) -> None:
        self._bytes_max = bytes_max
        self._sizes: OrderedDict[Tail, int] = OrderedDict()
        self.bytes = 0

    def note(self, tail: Tail) -> None:
        """A tail was used or has changed."""
        if not tail.bytes:
            self.drop(tail)  # it has nothing to give
            return
        self.bytes += tail.bytes - self._sizes.get(tail, 0)
        self._sizes[tail] = tail.bytes
        self._sizes.move_to_end(tail)
        while self.bytes > self._bytes_max:
            oldest, size = self._sizes.popitem(last=False)
            self.bytes -= size
            oldest.clear()

    def drop(self, tail: Tail) -> None:
        self.bytes -= self._sizes.pop(tail, 0)
