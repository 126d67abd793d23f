"""The memory server with a witness beside it, and the doors to it.

Owns the records of the truth, written at the moment the server commits, and ambushes: faults that strike in the same instant
as an operation. Must not change what the server answers.
"""

import asyncio
import random
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, Literal

from tests.simulation.history import Calmed, Disturbed, Fenced, FinalLog, Folded, Gone, History, Logged, TailLost, Trimmed

from anypod.clock import Clock
from anypod.core.identity import SessionKey, Subject
from anypod.core.notices import is_notice
from anypod.memory_store import MemoryServer, MemoryStore
from anypod.memory_store.contents import ServerContents
from anypod.memory_store.log import Log
from anypod.store import PAGE_BYTES_MAX, Append, Creation, Member, Missing, Page, Results

KEPT_MS: Final = 3_600_000  # longer than any world lives
Operation = Literal["append", "read", "create", "claim", "join"]


@dataclass(slots=True)
class Mark:
    """What has been recorded of one life of a log."""

    epoch: str
    oldest: int = 1
    folded: int = 0


class InstrumentedServer(MemoryServer):
    def __init__(self, clock: Clock, rng: random.Random, history: History) -> None:
        super().__init__(clock, rng)
        self._history = history
        self._marks: dict[SessionKey, Mark] = {}
        self._ambushes: dict[Operation, list[Callable[[], None]]] = defaultdict(list)
        self._is_peace = False
        self.endings = 0  # deletions and expiries
        self.forks = 0  # endings and failovers: a copy from before one has no right to be promoted after it

    def lie_in_wait(self, operation: Operation, strike: Callable[[], None]) -> None:
        """Strike once, right after the next such operation, while its answer is on its way."""
        if not self._is_peace:
            self._ambushes[operation].append(strike)

    def _spring(self, operation: Operation) -> None:
        for strike in self._ambushes.pop(operation, ()):
            asyncio.get_running_loop().call_soon(strike)

    # What is witnessed.
    def append(self, request: Append) -> Results:
        self._spring("append")
        results = super().append(request)
        self._note_marks(request.key)
        return results

    def publish(self, key: SessionKey, payload: bytes) -> None:
        if not is_notice(payload):
            self._history.note(Logged(self._history.now(), key.session, payload))
        super().publish(key, payload)

    def read(
        self, key: SessionKey, after: int | None, *, limit: int, fold: bool = False, bytes_max: int = PAGE_BYTES_MAX
    ) -> Page | Missing:
        self._spring("read")
        return super().read(key, after, limit=limit, fold=fold, bytes_max=bytes_max)

    def claim(self, key: SessionKey, place: str) -> int:
        self._spring("claim")
        return super().claim(key, place)

    def join(self, key: SessionKey, life: str, members: Sequence[Member]) -> None:
        self._spring("join")
        super().join(key, life, members)

    def create(self, creation: Creation) -> tuple[Page, bool]:
        self._spring("create")
        page, is_new = super().create(creation)
        if is_new:
            self._marks[creation.key] = Mark(page.snapshot.facts.head.epoch)
            self._contents.logs[creation.key].expires_at_ms += KEPT_MS if self._is_peace else 0
        return page, is_new

    def delete(self, key: SessionKey, owner: Subject | None) -> None:
        super().delete(key, owner)
        self._end(key, "deleted")

    def end(self, key: SessionKey, owner: Subject | None) -> str:
        self.forks += 1  # whoever was told that the log has ended does not come back to hear otherwise
        return super().end(key, owner)

    def raise_fence(self, key: SessionKey, turn: str) -> int:
        fence = super().raise_fence(key, turn)
        self._history.note(Fenced(self._history.now(), key.session, turn, fence))
        return fence

    def tidy(self, key: SessionKey, turn: str = "") -> int | None:
        in_ms = super().tidy(key, turn)
        if key in self._marks:
            self._note_marks(key)
        return in_ms

    def _find(self, key: SessionKey) -> Log | None:
        log = super()._find(key)
        if log is None and key in self._marks:
            self._end(key, "expired")
        return log

    def _end(self, key: SessionKey, why: str) -> None:
        self._marks.pop(key, None)
        self.endings += 1
        self.forks += 1
        self._history.note(Gone(self._history.now(), key.session, why))

    def _note_marks(self, key: SessionKey) -> None:
        mark, streams = self._marks[key], self._contents.logs[key].streams
        if streams.folded != mark.folded:
            mark.folded = streams.folded
            self._history.note(Folded(self._history.now(), key.session, mark.folded))
        if streams.oldest != mark.oldest:
            mark.oldest = streams.oldest
            self._history.note(Trimmed(self._history.now(), key.session, mark.oldest))

    # Faults.
    def stop(self) -> None:
        self._history.note(Disturbed(self._history.now(), None, "store away"))
        super().stop()

    def start(self) -> None:
        super().start()
        self._history.note(Calmed(self._history.now(), None, "store away"))

    def fail_over(self, to: ServerContents) -> None:
        at = self._history.now()
        for key in list(self._marks):
            log = to.logs.get(key)
            if log is None or log.head.epoch != self._marks[key].epoch:
                self._end(key, "lost")
                continue
            if log.head.seq < self._contents.logs[key].head.seq:
                self._history.note(TailLost(at, key.session, log.head.seq))
            for turn in {**log.fences, **self._contents.logs[key].fences}:
                self._history.note(Fenced(at, key.session, turn, log.fences.get(turn, 0)))
        self.forks += 1
        super().fail_over(to)
        for key in self._marks:
            self._note_marks(key)

    def make_peace(self) -> None:
        """Nobody lies in wait any more, and whatever has not expired stays until the end."""
        self._is_peace = True
        self._ambushes.clear()
        for key in list(self._marks):
            if (log := self._find(key)) is not None:
                log.expires_at_ms = max(log.expires_at_ms, self.clock.wall_ms() + KEPT_MS)

    def testify(self) -> None:
        """What the logs hold at the end."""
        for key in self._marks:
            streams = self._contents.logs[key].streams
            frames = tuple(entry.frame for entry in (*streams.durable, *streams.deltas))
            self._history.note(FinalLog(self._history.now(), key.session, frames))

    def has(self, key: SessionKey) -> bool:
        return self._find(key) is not None


class SmallPages(MemoryStore):
    """A door that hands out less at once than it is asked for, which every store may: short logs have many pages then."""

    def __init__(self, server: MemoryServer, page_events_max: int) -> None:
        super().__init__(server)
        self._page_events_max = page_events_max

    async def read(
        self, key: SessionKey, after: int | None, *, limit: int, fold: bool = False, bytes_max: int = PAGE_BYTES_MAX
    ) -> Page | Missing:
        return await super().read(key, after, limit=min(limit, self._page_events_max), fold=fold, bytes_max=bytes_max)
