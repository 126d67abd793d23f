"""What happened in one session of a proof: what was sent, how it was answered, what each reader has applied.

Owns the record of it, and the judgement of receipts. Must not know connections.
"""

from dataclasses import dataclass, field
from typing import Any

from anypod.core.event import Receipt
from anypod.prove.evidence import Evidence, Violation
from anypod.prove.history_checker import HistoryChecker, Tell, body_digest


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
