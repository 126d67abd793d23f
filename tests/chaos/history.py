"""The history of a run as it grows, and the oracle's judgement of it.

Owns the order of records: what the disk says comes before what clients say of it. Must not know what is done to the cluster, nor
how clients work.
"""

from collections import Counter, deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final, Protocol

from tests.chaos.archive import Archive, Leafed, Patched, seq_of
from tests.chaos.violations import HOLES, Loss, Span, violation_of
from tests.simulation.format_history import story
from tests.simulation.history import Applied, Gone, Logged, Record, Refused, ResetSeen, TailLost, Trimmed
from tests.simulation.oracle import CONTEXT_RECORDS, Oracle, Violation

RECORDS_KEPT: Final = 100_000  # for the story of a violation, some 30 MiB: a large crowd's last half a minute
STORIES_MAX: Final = 10  # one fault of the product shows in many clients

Aside = Leafed | Patched


class Disk(Protocol):
    """`heads`: seq of the newest event that was read of each session."""

    heads: dict[str, int]

    def read(self) -> Iterator[Record]:
        """Everything since the last time."""


class History:
    """`note` is where clients and the runner write. `lost_events`: that Redis has lost.

    `refusals`: publishes that were refused for good, by code. `logged_at`: when a session's latest event was read from a disk.
    """

    def __init__(self, disk: Disk, now: Callable[[], float]) -> None:
        self.now = now
        self.oracle = Oracle()
        self.losses: Counter[Loss] = Counter()
        self.counts: Counter[str] = Counter()
        self.resets: list[ResetSeen] = []
        self.refusals: Counter[str] = Counter()
        self.lost_events = 0
        self.logged_at: dict[str, float] = {}
        self.stories: list[str] = []
        self.archive = Archive()
        self._disk = disk
        self._spoken: list[Record | Aside] = []
        self._kept: deque[Record] = deque(maxlen=RECORDS_KEPT)
        self._ends: dict[str, int] = {}  # of each log, by the records
        self._spans: dict[tuple[str, str], Span] = {}
        self._holes: set[tuple[str, str, int]] = set()  # who lacked what: when it comes after all, the order was wrong
        self._connections = 0
        self._judged = 0
        self._is_waiting = False

    @property
    def records(self) -> list[Record]:
        """The latest ones, as they were judged."""
        return list(self._kept)

    @property
    def is_clean(self) -> bool:
        return not self.losses

    def head(self, session: str) -> int:
        """The seq of the newest event, as far as the disk was read."""
        return self._disk.heads.get(session, 0)

    def note(self, record: Record | Aside) -> None:
        self._spoken.append(record)

    def next_connection(self) -> int:
        self._connections += 1
        return self._connections

    def settle(self) -> None:
        """Judge what has happened until now. The disk is read after the clients were heard: so it knows of all that they speak of."""
        if self._is_waiting:
            return
        spoken, self._spoken = self._spoken, []
        for written in self._disk.read():
            self._take(written)
        for record in spoken:
            if isinstance(record, Leafed | Patched):
                self._take_aside(record)
            else:
                self._take(record)

    @contextmanager
    def waiting(self) -> Iterator[None]:
        """Nothing is judged while it is not known what was lost: clients may hear of it before."""
        self._is_waiting = True
        try:
            yield
        finally:
            self._is_waiting = False

    def testify(self, record: TailLost | Gone) -> None:
        """A part of the truth that the disk cannot tell, in its place among what was settled."""
        self._take(record)
        if isinstance(record, TailLost):
            self._disk.heads[record.session] = record.head
        else:
            self._disk.heads.pop(record.session, None)

    def _take(self, record: Record) -> None:
        self.counts[type(record).__name__] += 1
        if isinstance(record, Applied):
            self._stretch(record)
        elif isinstance(record, Logged):
            self._ends[record.session] = seq_of(record.frame)
            self.logged_at[record.session] = self.now()
        elif isinstance(record, ResetSeen):
            self.resets.append(record)
            self._shrink(record)
        elif isinstance(record, Refused):
            self.refusals[record.code] += 1
        elif isinstance(record, Gone | TailLost):
            self._lose(record)
        if isinstance(record, Logged | TailLost | Gone | Trimmed):
            self.archive.take(record)
        self._kept.append(record)
        self.oracle.take(self._judged, record)
        self._judged += 1
        for violation in self.oracle.violations:
            self._tell(violation)
        self.oracle.violations.clear()

    def _take_aside(self, record: Aside) -> None:
        self.counts[type(record).__name__] += 1
        if (wrong := self.archive.judge(record)) is not None:
            guarantee = 1 if isinstance(record, Leafed) else 2
            self._tell(Violation(guarantee, record.session, record.client, None, wrong, self._judged))

    def _lose(self, record: Gone | TailLost) -> None:
        kept = record.head if isinstance(record, TailLost) else 0
        self.lost_events += max(0, self._ends.get(record.session, 0) - kept)
        self._ends[record.session] = kept

    def _stretch(self, record: Applied) -> None:
        whose, seq = (record.session, record.client), seq_of(record.frame)
        first, last = self._spans.get(whose, (seq, seq))
        self._spans[whose] = min(first, seq), max(last, seq)

    def _shrink(self, record: ResetSeen) -> None:
        whose = record.session, record.client
        span = self._spans.pop(whose, None)
        if span is not None and record.common is not None:
            self._spans[whose] = span[0], min(span[1], int(record.common.split("-")[2]))

    def _tell(self, violation: Violation) -> None:
        whose = violation.session, violation.client or ""
        loss = violation_of(violation, self._spans.get(whose))
        if loss in HOLES and violation.seq is not None:
            self._holes.add((*whose, violation.seq))
        elif loss == "duplicated" and (*whose, violation.seq) in self._holes:
            loss = "reordered"
        self.losses[loss] += 1
        if len(self.stories) < STORIES_MAX:
            lines = story(self._kept, session=violation.session, client=violation.client).splitlines()
            self.stories.append("\n".join([f"{loss}: {violation}", *lines[-CONTEXT_RECORDS:]]))
