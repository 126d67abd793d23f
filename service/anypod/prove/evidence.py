"""What a proof has seen: counts, violations, recoveries, and the replicas that were met.

Owns the collection. Must not know how anything is checked, nor what the report looks like.
"""

from collections import Counter
from dataclasses import dataclass, field
from typing import Final

VIOLATIONS_KEPT: Final = 100  # with their details: whoever reads the first of them knows enough; all are counted


@dataclass(frozen=True, slots=True)
class Violation:
    """`guarantee`: its number in the protocol. `seq`, `cursor`: where in the log, if it has a place there."""

    guarantee: int
    session: str
    what: str
    seq: int | None = None
    cursor: str | None = None

    def __str__(self) -> str:
        seq = f", seq {self.seq}" if self.seq is not None else ""
        cursor = f", cursor {self.cursor}" if self.cursor is not None else ""
        return f"guarantee {self.guarantee}: session {self.session}{seq}{cursor}: {self.what}"


@dataclass(slots=True)
class Evidence:
    """`counts`: by the names that `guarantees` knows. `recoveries_s`: from coming back until everything was there."""

    counts: Counter[str] = field(default_factory=Counter)
    violations: list[Violation] = field(default_factory=list)
    violated: Counter[int] = field(default_factory=Counter)
    met: Counter[str] = field(default_factory=Counter)  # replicas, by name
    synced: Counter[str] = field(default_factory=Counter)  # by transport
    recoveries_s: list[float] = field(default_factory=list)
    deliveries_s: list[float] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def accuse(self, violation: Violation) -> None:
        self.violated[violation.guarantee] += 1
        if len(self.violations) < VIOLATIONS_KEPT:
            self.violations.append(violation)
