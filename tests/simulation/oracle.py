"""Does a history keep guarantees 1 to 4 and 6? Decided from the records alone.

Owns the walk through a history and what is asked of publishers and of the log itself. Must not know the product: not its
classes, not its parsers, and of its cursors only that their fields are epoch, term, seq and tag.
"""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import assert_never

from tests.simulation.format_history import story
from tests.simulation.history import (
    Acknowledged,
    Announced,
    Applied,
    Asked,
    Attempted,
    Calmed,
    DeltasLost,
    Disturbed,
    Fault,
    Fenced,
    FinalLog,
    Finished,
    Folded,
    Gone,
    Logged,
    Opened,
    Received,
    Record,
    Refused,
    ResetSeen,
    Shut,
    Started,
    Synced,
    TailLost,
    Trimmed,
    Vanished,
)
from tests.simulation.reader import Reader
from tests.simulation.truth import Entry, Truth, parse

GUARANTEES = {
    1: "order, no gap, no duplicate",
    2: "acknowledged means logged",
    3: "idempotent publish",
    4: "no silent loss",
    6: "a turn has one author at a time",
}
CONTEXT_RECORDS = 40  # of the story around a violation: about a screen

Write = Logged | TailLost | Gone | Trimmed | Folded | DeltasLost | Fenced | FinalLog
Publish = Attempted | Acknowledged | Refused
Read = Started | Opened | Asked | Shut | Received | Announced | Synced | ResetSeen | Applied | Finished | Vanished


@dataclass(frozen=True, slots=True)
class Violation:
    """`index`: of the record at which it came to light."""

    guarantee: int
    session: str
    client: str | None
    seq: int | None
    what: str
    index: int

    def __str__(self) -> str:
        whose = f", client {self.client}" if self.client else ""
        where = f", seq {self.seq}" if self.seq is not None else ""
        return f"guarantee {self.guarantee} ({GUARANTEES[self.guarantee]}): session {self.session}{whose}{where}: {self.what}"


def judge(records: Sequence[Record]) -> list[Violation]:
    """All violations, in the order in which they came to light."""
    oracle = Oracle()
    for index, record in enumerate(records):
        oracle.take(index, record)
    return oracle.violations


def explain(violation: Violation, records: Sequence[Record]) -> str:
    """The violation, and what led to it as far as that session and client are concerned."""
    lines = story(records[: violation.index + 1], session=violation.session, client=violation.client).splitlines()
    return "\n".join([str(violation), *lines[-CONTEXT_RECORDS:]])


class Oracle:
    def __init__(self) -> None:
        self.violations: list[Violation] = []
        self._index = 0
        self._truths: dict[str, Truth] = defaultdict(Truth)
        self._readers: dict[tuple[str, str], Reader] = {}
        self._acknowledged: dict[tuple[str, str], Entry] = {}
        self._attempted: dict[tuple[str, str], set[tuple[str, str]]] = defaultdict(set)
        self._disturbances: set[str] = set()

    def take(self, index: int, record: Record) -> None:
        self._index = index
        match record:
            case Logged() | TailLost() | Gone() | Trimmed() | Folded() | DeltasLost() | Fenced() | FinalLog():
                self._write(record, self._truths[record.session])
            case Attempted() | Acknowledged() | Refused():
                self._publish(record)
            case Disturbed() | Calmed():
                self._weather(record)
            case Fault():
                pass
            case _:
                self._read(record, self._reader(record.session, record.client))

    def _tell(self, session: str, client: str | None, guarantee: int, seq: int | None, what: str) -> None:
        self.violations.append(Violation(guarantee, session, client, seq, what, self._index))

    # The truth.
    def _write(self, record: Write, truth: Truth) -> None:
        match record:
            case Logged():
                self._logged(record, truth)
            case TailLost():
                truth.lose_after(self._index, record.at, record.head)
            case Gone():
                truth.vanish(self._index, record.at)
            case Trimmed():
                truth.trim(self._index, record.at, record.oldest)
            case Folded():
                truth.folded = record.through
                if (delta := truth.unlawfully_folded(record.through)) is not None:
                    self._tell(record.session, None, 1, delta.seq, f"folded up to {record.through}, above an open part's delta")
            case DeltasLost():
                truth.lose_deltas(record.through)
            case Fenced():
                truth.fences[record.turn] = record.fence
            case FinalLog():
                self._final(record, truth)
            case _:
                assert_never(record)

    def _logged(self, record: Logged, truth: Truth) -> None:
        tell = partial(self._tell, record.session, None)
        seen = parse(record.frame)
        expected = (truth.head.seq if truth.head else 0) + 1
        if seen.seq != expected:
            tell(1, seen.seq, f"the log goes from {expected - 1} to {seen.seq}")
        if seen.cursor in truth.by_cursor:
            tell(4, seen.seq, f"the cursor {seen.cursor} names two events")
        if (first := truth.by_id.get(seen.id)) is not None:
            tell(3, seen.seq, f"id {seen.id} is in the log twice, first as {first.seq}")
        if seen.turn and seen.attempt and seen.attempt != truth.fences.get(seen.turn):
            tell(6, seen.seq, f"attempt {seen.attempt} of {seen.turn} wrote while {truth.fences.get(seen.turn)} had its fence")
        truth.log(self._index, record.at, record.frame)

    def _final(self, record: FinalLog, truth: Truth) -> None:
        kept = set(record.frames)
        must = {entry.frame: entry for entry in truth.head.chain()} if truth.head else {}
        for frame in kept - must.keys():
            self._tell(record.session, None, 2, None, f"the store keeps what it never logged, or had lost: {frame[:120]!r}")
        for frame, entry in must.items():
            may_be_gone = entry.seq < truth.oldest or (entry.is_delta and entry.seq <= truth.folded)
            if frame not in kept and not may_be_gone:
                self._tell(record.session, None, 2, entry.seq, "was logged and is no longer in the log")

    # Publishers.
    def _publish(self, record: Publish) -> None:
        name = (record.session, record.id)
        match record:
            case Attempted():
                self._attempted[name].add((record.client, record.content))
            case Acknowledged():
                self._acknowledge(record)
            case Refused():
                others = self._attempted[name] | self._truths[record.session].contents.get(record.id, set())
                others -= {(record.client, record.content)}
                if record.code == "conflict" and not others:
                    self._tell(record.session, record.client, 3, None, f"conflict for id {record.id}, which never had another body")
            case _:
                assert_never(record)

    def _acknowledge(self, record: Acknowledged) -> None:
        tell = partial(self._tell, record.session, record.client)
        entry = self._truths[record.session].by_cursor.get(record.cursor)
        if entry is None or (entry.seq, entry.seen.id) != (record.seq, record.id):
            tell(2, record.seq, f"id {record.id} was acknowledged as {record.cursor}, where the log has {entry and entry.seen.id}")
            return
        if entry.content != record.content:
            tell(3, record.seq, f"id {record.id} was acknowledged with another body: {record.content}, the log has {entry.content}")
        first = self._acknowledged.setdefault((record.session, record.id), entry)
        if first is not entry and first.lost is None and entry.lost is None:
            tell(3, record.seq, f"id {record.id} was acknowledged as {first.seq} before, which is not lost")
        self._acknowledged[record.session, record.id] = entry

    # Readers.
    def _read(self, record: Read, reader: Reader) -> None:
        match record:
            case Started():
                reader.started(record)
            case Opened():
                reader.opened(record, self._index)
            case Asked():
                reader.asked(record)
            case Shut():
                reader.shut(record)
            case Received():
                reader.received(record)
            case Announced():
                reader.announced(record)
            case Synced():
                reader.synced(record)
            case ResetSeen():
                reader.reset(record)
            case Applied():
                reader.applied(record)
            case Finished():
                reader.finished(record)
                self._settled(record)
            case Vanished():
                reader.vanished()
            case _:
                assert_never(record)

    def _settled(self, record: Finished) -> None:
        for event_id in record.unsettled:
            self._tell(record.session, record.client, 2, None, f"the publish {event_id} was never answered")

    def _reader(self, session: str, client: str) -> Reader:
        reader = self._readers.get((session, client))
        if reader is None:
            reader = Reader(self._truths[session], partial(self._tell, session, client), disturbances=set(self._disturbances))
            self._readers[session, client] = reader
        return reader

    def _weather(self, record: Disturbed | Calmed) -> None:
        """Promptness is asked only while nothing disturbs the client, and nothing disturbs everybody."""
        concerned = [reader for (_, client), reader in self._readers.items() if record.client in (None, client)]
        if record.client is None:
            (self._disturbances.add if isinstance(record, Disturbed) else self._disturbances.discard)(record.what)
        for reader in concerned:
            reader.weather(record)
