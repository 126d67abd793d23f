"""The newest frames of one session, kept for whoever resumes soon.

Owns which frames are kept, the proof of a cursor among them, and the batches made from them. Must not know subscribers or the store.
"""

from bisect import bisect_right
from collections import OrderedDict
from collections.abc import Sequence

from anypod.core.event import position
from anypod.hub.batch import Batch

TAIL_EVENTS_MAX = 512  # a burst of an answer's tokens; beyond that a replay reads the log
TAIL_BYTES_MAX = 1 << 20  # of one session, so that a few busy ones do not own the cache
MEMO_MAX = 16  # batches kept for clients that resume from the same place


class Tail:
    """Every event after `floor` up to the newest is here, but for folded deltas. `floor_cursor` is the cursor at `floor`, "" if unknown."""

    __slots__ = ("_frames", "_memo", "_seqs", "bytes", "floor", "floor_cursor")

    def __init__(self, floor: int, floor_cursor: str, frames: Sequence[bytes] = ()) -> None:
        self.floor = floor
        self.floor_cursor = floor_cursor
        self.bytes = 0
        self._seqs: list[int] = []
        self._frames: list[bytes] = []
        self._memo: dict[tuple[int, str], Batch] | None = None
        self.extend(_seqs_of(frames), frames)

    def extend(self, seqs: Sequence[int], frames: Sequence[bytes]) -> None:
        """Take newer frames, and forget the oldest half when there are too many."""
        self._seqs.extend(seqs)
        self._frames.extend(frames)
        self.bytes += sum(map(len, frames))
        self._memo = None
        if len(self._seqs) > TAIL_EVENTS_MAX or self.bytes > TAIL_BYTES_MAX:
            self._halve()

    def _halve(self) -> None:
        cut = (len(self._seqs) + 1) // 2
        self.floor, self.floor_cursor = position(self._frames[cut - 1])
        self.bytes -= sum(map(len, self._frames[:cut]))
        del self._seqs[:cut], self._frames[:cut]

    def clear(self) -> None:
        """Keep nothing but the place."""
        if self._frames:
            self.floor, self.floor_cursor = position(self._frames[-1])
        self._seqs.clear()
        self._frames.clear()
        self._memo = None
        self.bytes = 0

    @property
    def newest_cursor(self) -> str:
        return position(self._frames[-1]).cursor if self._frames else self.floor_cursor

    def proves(self, seq: int, cursor: str) -> bool:
        """Is `cursor` the log's own at `seq`? False also when the tail does not reach back that far."""
        if seq == self.floor:
            return cursor == self.floor_cursor
        index = bisect_right(self._seqs, seq) - 1
        return index >= 0 and self._seqs[index] == seq and position(self._frames[index]).cursor == cursor

    def reaches(self, seq: int) -> bool:
        return seq >= self.floor

    def after(self, seq: int) -> Sequence[bytes]:
        assert self.reaches(seq)
        return self._frames[bisect_right(self._seqs, seq) :]

    def memo(self, seq: int, variant: str) -> Batch | None:
        return self._memo.get((seq, variant)) if self._memo is not None else None

    def keep(self, seq: int, variant: str, batch: Batch) -> Batch:
        """Remember a batch until the next event."""
        if self._memo is None or len(self._memo) >= MEMO_MAX:
            self._memo = {}
        self._memo[seq, variant] = batch
        return batch

    def forget_batches(self) -> None:
        """What the batches say beside events has changed."""
        self._memo = None


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
        self.bytes += tail.bytes - self._sizes.get(tail, 0)
        self._sizes[tail] = tail.bytes
        self._sizes.move_to_end(tail)
        while self.bytes > self._bytes_max:
            oldest, size = self._sizes.popitem(last=False)
            self.bytes -= size
            oldest.clear()

    def drop(self, tail: Tail) -> None:
        self.bytes -= self._sizes.pop(tail, 0)
