"""What was sent, what arrived, and what is wrong between the two.

Owns the counting. Must not know how events travel, nor what time it is.
"""

from collections import Counter
from dataclasses import dataclass, field


@dataclass(slots=True)
class Tally:
    """`acknowledged`: ids of published events. `recoveries_s`: from each kill until the client was up to date again."""

    acknowledged: set[str] = field(default_factory=set)
    received: Counter[str] = field(default_factory=Counter)
    reordered: int = 0
    recoveries_s: list[float] = field(default_factory=list)
    last_seq: int = 0

    def receive(self, event_id: str, seq: int) -> None:
        self.received[event_id] += 1
        self.reordered += seq <= self.last_seq
        self.last_seq = max(seq, self.last_seq)

    @property
    def lost(self) -> int:
        """Acknowledged and never received."""
        return len(self.acknowledged - self.received.keys())

    @property
    def duplicated(self) -> int:
        return sum(times - 1 for times in self.received.values())

    @property
    def is_clean(self) -> bool:
        return not (self.lost or self.duplicated or self.reordered)
