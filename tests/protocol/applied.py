"""What a client of the contract holds: the history that it has applied, and its cursor.

Owns the client's rules of guarantee 1: each event once, in order, no hole but what is folded. Must not know transports.
It is written from the contract alone, and shares nothing with the product.
"""

from typing import Any

Frame = dict[str, Any]


class Applied:
    """`items`: what the application would be told, not looked at yet: events, resets and the end of the log."""

    def __init__(self) -> None:
        self.items: list[Frame] = []
        self.cursor: str | None = None
        self.seq: int | None = None  # None: nobody has said where events begin, and a cursor is opaque
        self.folded = 0
        self.repeated = 0

    def begin(self, after_seq: int | None) -> None:
        """An attachment's first event follows this one. What was applied before is the client's own knowledge."""
        if self.seq is None:
            self.seq = after_seq

    def fold(self, folded: int) -> None:
        self.folded = max(self.folded, folded)

    def event(self, frame: Frame) -> None:
        seq = frame["seq"]
        if self.seq is not None and seq <= self.seq:
            self.repeated += 1
            return
        before = self.seq if self.seq is not None else seq - 1
        assert seq == before + 1 or seq - 1 <= self.folded, f"a hole: after {before} came {seq}, and deltas are folded up to {self.folded}"
        self.seq, self.cursor = seq, frame["cursor"]
        self.items.append(frame)

    def reset(self, frame: Frame) -> None:
        """With `common` what is after it is dropped, without all."""
        self.folded = frame["folded"]
        self.cursor = frame.get("common")
        self.seq = frame.get("common_seq") if self.cursor is not None else max(0, frame["oldest"] - 1)
        self.items.append(frame)

    def closed(self, frame: Frame) -> None:
        self.items.append(frame)

    def reach(self, cursor: str) -> None:
        """Up to date: the head's own cursor."""
        self.cursor = cursor
