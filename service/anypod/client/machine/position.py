"""How far the client has applied the log, and whether the next event fits.

Owns the resume point and the judgement of continuity. Must not know transports, nor read what a cursor says:
to a client it is opaque, and events carry their seq.
"""

from enum import Enum
from typing import Final

from anypod.core.cursor import START, TAIL
from anypod.core.frames import Event

_SENTINELS: Final = frozenset({START, TAIL})


class Fit(Enum):
    """What an event is to the history that was applied."""

    NEXT = "next"
    DUPLICATE = "duplicate"
    HOLE = "hole"  # something above `folded` is missing before it
    FOREIGN = "foreign"  # another event than ours stands at our seq: the log was rewritten behind our back


class Position:
    """`cursor`: what to resume from. `seq`: its seq, None while it is unknown (then the first event sets it)."""

    def __init__(self, after: str | None) -> None:
        self.cursor = after
        self.seq: int | None = None
        self.folded = 0
        self._last: str | None = None  # the cursor of the event at `seq`

    @property
    def is_held(self) -> bool:
        """Is there a history to prove? A sentinel is a wish, not a history."""
        return self.cursor is not None and self.cursor not in _SENTINELS

    def apply(self, event: Event) -> Fit:
        """Judge, and move on to the event when it is the next one."""
        fit = self._judge(event)
        if fit is Fit.NEXT:
            self.cursor = self._last = event.cursor
            self.seq = event.seq
        return fit

    def _judge(self, event: Event) -> Fit:
        if self.seq is None or event.seq == self.seq + 1:
            return Fit.NEXT
        if event.seq == self.seq and self._last not in (None, event.cursor):
            return Fit.FOREIGN
        if event.seq <= self.seq:
            return Fit.DUPLICATE
        return Fit.NEXT if event.seq - 1 <= self.folded else Fit.HOLE

    def fold(self, folded: int) -> None:
        self.folded = max(self.folded, folded)

    def reach(self, cursor: str, seq: int | None) -> Fit:
        """The replica says that everything up to `cursor` was sent. An older one says no `seq`: then our own last event knows better."""
        if seq is None:
            if self._last is None:
                self.cursor, self.seq = cursor, None
            return Fit.NEXT
        if self.seq is not None and (seq < self.seq or (seq == self.seq and self._last is not None)):
            return Fit.DUPLICATE
        if self.seq is not None and seq > max(self.seq, self.folded):
            return Fit.HOLE
        self.cursor = self._last = cursor
        self.seq = seq
        return Fit.NEXT

    def turn(self, cursor: str) -> None:
        """Where a page ends. It may end behind its last event, with deltas left out: asking from the event would bring it again."""
        self.cursor = cursor

    def attach(self, head: str, after_seq: int | None) -> None:
        """`tail` means the head at the first attach: from then on nothing may be missed. `after_seq`: events beyond it follow."""
        if self.cursor == TAIL:
            self.cursor = head
        if self.seq is None:
            self.seq = after_seq

    def reset(self, common: str | None, seq: int | None, folded: int) -> None:
        """What was applied after `common` is void; everything is, without one. `seq`: of `common`, or before the oldest event."""
        self.cursor = self._last = common
        self.seq, self.folded = seq, folded
