"""What a proof has recorded: what was sent, how it was answered, what each reader has applied, and the violations found.

Owns the record of a session, the judgement of receipts, the counts, recoveries and replicas met. Must not know connections, nor what the
report looks like.
"""

from collections import Counter
from dataclasses import dataclass, field
from typing import Any, Final

from anypod.core.event import Receipt
from anypod.prove.history_checker import HistoryChecker, Tell, body_digest

VIOLATIONS_KEPT: Final = 100  # with their details: the first ones tell enough; all are counted


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


@dataclass(frozen=True, slots=True)
class EventToPublish:
    """An event to be published. `data`: a JSON value, or bytes. `at`: on the proof's clock, of its first attempt."""

    id: str
    kind: str
    data: Any
    at: float


@dataclass(slots=True)
class ProofRecord:
    """`drafts`: all that was ever sent, by id. `tracks`: by the name of the reader."""

    session_id: str
    evidence: Evidence
    drafts: dict[str, EventToPublish] = field(default_factory=dict)
    receipts: dict[str, Receipt] = field(default_factory=dict)
    tracks: dict[str, HistoryChecker] = field(default_factory=dict)

    def track(self, reader: str) -> HistoryChecker:
        self.tracks[reader] = HistoryChecker(self.teller(reader))
        return self.tracks[reader]

    def teller(self, who: str) -> Tell:
        def tell(guarantee: int, what: str, seq: int | None = None, cursor: str | None = None) -> None:
            self.accuse(guarantee, f"{who}: {what}", seq, cursor)

        return tell

    def accuse(self, guarantee: int, what: str, seq: int | None = None, cursor: str | None = None) -> None:
        self.evidence.accuse(Violation(guarantee, self.session_id, what, seq, cursor))

    def acknowledged(self, receipt: Receipt, *, attempts: int) -> None:
        """An event was acknowledged for the first time."""
        self.receipts[receipt.id] = receipt
        self.evidence.counts["acknowledged"] += 1
        if receipt.is_duplicate and attempts == 1:
            self.accuse(3, f"id {receipt.id} was sent once, and is said to be a duplicate", receipt.seq, receipt.cursor)

    def repeated(self, receipt: Receipt) -> None:
        """An acknowledged event was sent again: it must be the same one."""
        self.evidence.counts["repeated"] += 1
        first = self.receipts[receipt.id]
        if (receipt.seq, receipt.cursor) != (first.seq, first.cursor) and not self.is_announced(first.seq):
            self.accuse(3, f"id {receipt.id}, sent again, became another event; it was {first.seq}", receipt.seq, receipt.cursor)
        elif receipt.seq == first.seq and not receipt.is_duplicate:
            self.accuse(3, f"id {receipt.id}, sent again, is not said to be a duplicate", receipt.seq, receipt.cursor)

    def contradicted(self, receipt: Receipt) -> None:
        """An acknowledged id was sent again with another body, and was taken."""
        if not self.is_announced(self.receipts[receipt.id].seq):
            self.accuse(3, f"id {receipt.id} was accepted with another body than before", receipt.seq, receipt.cursor)

    def is_announced(self, seq: int) -> bool:
        """Was a reader told that the log has lost this?"""
        return any(seq > reset.common_seq for track in self.tracks.values() for reset in track.resets)

    def body_of(self, event_id: str) -> bytes | None:
        draft = self.drafts.get(event_id)
        return None if draft is None else body_digest(draft.kind, draft.data)
