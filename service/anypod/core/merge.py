"""Bring replayed and live frames of one session into one gapless order.

Owns how far a session has been served by this replica (`seq`), how far its log is known to reach, and the frames that
came too early. Must not know about sockets, Redis or time: it is handed frames and answers what to do. Nor can it tell
two histories apart: after a gap barrier the hub compares cursors before it trusts another frame.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Final, NamedTuple

# Frames held while a range is read: about three replay pages. Beyond that they are forgotten,
# which costs a further read and loses nothing, because the log has them.
HELD_FRAMES_MAX: Final = 1_000


class Frame(NamedTuple):
    """One event's bytes and its place in the log."""

    seq: int
    payload: bytes


@dataclass(frozen=True, slots=True)
class Step:
    """What to do now: send `deliver` in this order, then, if something is missing, read the log after `read_after`."""

    deliver: tuple[Frame, ...] = ()
    read_after: int | None = None


@dataclass(frozen=True, slots=True)
class Lost:
    """The log no longer has the event at `seq`, and it was not folded: a subscriber served from here needs a reset."""

    seq: int


class Merge:
    __slots__ = ("_held", "_known", "seq")

    def __init__(self, seq: int) -> None:
        assert seq >= 0
        self.seq = seq
        self._known = seq  # the log was heard to reach this far, whether or not the frame is still held
        self._held: dict[int, Frame] | None = None  # all of them stand behind a hole, above seq + 1; nearly always there is none

    @property
    def is_behind(self) -> bool:
        """The log has more than was delivered: a read is due or under way."""
        return self._known > self.seq

    def advance(self, seq: int) -> bool:
        """Take the next frame while nothing is missing, which is nearly always; False: ask `offer`."""
        if seq != self.seq + 1 or self._known != self.seq:
            return False
        self.seq = self._known = seq
        return True

    def offer(self, frames: Iterable[Frame]) -> Step:
        """Take frames from the live feed, in any order and any number of times."""
        ready: list[Frame] = []
        for frame in frames:
            if frame.seq == self.seq + 1:
                self._deliver(frame, ready)
            elif frame.seq > self.seq:
                self._hold(frame)
        return self._step(ready)

    def cover(self, frames: Iterable[Frame], through: int, *, folded: int) -> Step | Lost:
        """Take a range that was read from the log after `seq`, or after an earlier one.

        It covers everything up to `through`; what is missing inside it was folded, which is legal up to `folded`.
        """
        held, self._held = self._held or {}, None
        for frame in frames:
            if frame.seq > self.seq:
                held[frame.seq] = frame

        covered = sorted(seq for seq in held if seq <= through)
        if (lost := self._first_lost(covered, through, folded)) is not None:
            return Lost(lost)
        ready = [held.pop(seq) for seq in covered]
        self.seq = max(self.seq, through)
        self._held = held or None
        self._deliver_held(ready)
        return self._step(ready)

    def retain(self, is_sound: Callable[[Frame], bool]) -> None:
        """Forget what is held and not sound."""
        if self._held:
            self._held = {seq: frame for seq, frame in self._held.items() if is_sound(frame)}

    def expect(self, head: int) -> Step:
        """The log's head stands at `head`, as a heartbeat or a barrier found out."""
        self._known = max(self._known, head)
        return self._step([])

    def _deliver(self, frame: Frame, ready: list[Frame]) -> None:
        ready.append(frame)
        self.seq = frame.seq
        if self._held:
            self._deliver_held(ready)

    def _deliver_held(self, ready: list[Frame]) -> None:
        while self._held and (frame := self._held.pop(self.seq + 1, None)):
            ready.append(frame)
            self.seq = frame.seq

    def _hold(self, frame: Frame) -> None:
        self._known = max(self._known, frame.seq)
        if self._held is None or len(self._held) >= HELD_FRAMES_MAX:
            self._held = {}
        self._held[frame.seq] = frame

    def _step(self, ready: list[Frame]) -> Step:
        return Step(tuple(ready), self.seq if self._known > self.seq else None)

    def _first_lost(self, covered: list[int], through: int, folded: int) -> int | None:
        before = self.seq
        for seq in (*covered, max(through, self.seq) + 1):
            if before + 1 < seq and folded < seq - 1:
                return max(before, folded) + 1
            before = seq
        return None
