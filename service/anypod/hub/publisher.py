"""The way of an event into the log, whichever transport it came by.

Owns the counting of appends and the calendar of what is to be tidied after them. Must not know who publishes: rights are
checked before, sequence and duplicates by the log. The publisher hears its own event from the feed like everyone else.
"""

import asyncio
from collections.abc import Callable, Sequence

from anypod.clock import Clock
from anypod.core.errors import AnypodError
from anypod.core.event import Receipt
from anypod.core.identity import SessionKey, Subject
from anypod.hub.tasks import Tasks
from anypod.store import Append, Results, Store, reraise
from anypod.telemetry import Metrics

CALENDAR_MAX = 50_000  # sessions waiting to be tidied; beyond that the next append to them tidies
TIDY_MAX = 100  # sessions tidied at once, so that a quiet moment does not become a storm of its own
TOUCH_S = 60.0  # activity is recorded to the minute; the store keeps to it too
TOUCHED_MAX = 10_000  # sessions that are known to be recorded, about 1 MiB; others are told to the store each time
TIDY_AFTER_S = 65.0  # when an answer's deltas may be folded: just beyond the classes' default

Answer = Callable[["Publication", Results | AnypodError], None]


class Publication(Append, eq=False):
    """An append whose answer somebody waits for. `refs`: what the client calls each draft, where it does."""

    answer: Answer = lambda publication, result: None
    refs: Sequence[str | int | None] = ()


class Publisher:
    def __init__(self, store: Store, clock: Clock, metrics: Metrics, tasks: Tasks) -> None:
        self._store = store
        self._clock = clock
        self._metrics = metrics
        self._tasks = tasks
        self._due: dict[SessionKey, float] = {}
        self._touched: set[SessionKey] = set()  # since `_forget_at`
        self._forget_at = 0.0
        self.in_flight = 0

    def publish(self, publication: Publication, answer: Answer) -> None:
        """Append; `answer` is called once, later, with the receipts or the error."""
        publication.answer = answer
        self.in_flight += 1
        self._store.append(publication, self._done)  # type: ignore[arg-type]

    async def append(self, publication: Publication) -> Sequence[Receipt]:
        """As `publish`, waited for. Who stops waiting does not stop the append. Raises AnypodError."""
        answered: asyncio.Future[Results | AnypodError] = asyncio.get_running_loop().create_future()
        self.publish(publication, lambda _, result: None if answered.done() else answered.set_result(result))
        return reraise(await answered)

    def _done(self, publication: Publication, result: Results | AnypodError) -> None:
        self.in_flight -= 1
        if isinstance(result, AnypodError):
            self._metrics.publishes_refused += 1
        else:
            now = self._clock.now()
            self._metrics.events_appended += len(result)
            self._metrics.append_seconds.observe(now - publication.since)
            for item in publication.drafts:
                if item.replaces is not None and len(self._due) < CALENDAR_MAX:
                    self._due.setdefault(publication.key, now + TIDY_AFTER_S)
            if publication.owner is not None and publication.key not in self._touched:
                self._touch(publication.key, publication.owner)
        publication.answer(publication, result)

    def _touch(self, key: SessionKey, owner: Subject) -> None:
        if len(self._touched) < TOUCHED_MAX:
            self._touched.add(key)
        self._store.touch(key, owner)

    def tidy_due(self) -> None:
        """Tidy the sessions whose time has come. To be called about once a second."""
        now = self._clock.now()
        if now >= self._forget_at:
            self._touched.clear()
            self._forget_at = now + TOUCH_S
        due = [key for key, at in self._due.items() if at <= now][:TIDY_MAX]
        for key in due:
            del self._due[key]
            self._tasks.start(self._tidy(key), "tidy")

    async def _tidy(self, key: SessionKey) -> None:
        try:
            await self._store.tidy(key)
        except AnypodError:
            return  # the next append does it
