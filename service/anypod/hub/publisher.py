"""The way of an event into the log, whichever transport it came by.

Owns the counting of appends, what the store is told of a session that is active, and the quota of stored bytes of its owner.
Must not know transports: rights are checked before, sequence and duplicates by the log. The publisher hears its own event from
the feed like everyone else.

How much an owner has stored, the store tells when a session is touched: once a minute, and when TOUCH_BYTES have been appended here.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Callable, Sequence
from contextlib import suppress

from anypod.clock import Clock
from anypod.core.errors import AnypodError
from anypod.core.event import Receipt
from anypod.core.identity import SessionKey, Subject
from anypod.core.permits import Account
from anypod.hub.accounts import Accounts
from anypod.hub.background import Tasks
from anypod.store import Append, Results, Store, reraise
from anypod.telemetry import Metrics

TOUCH_S = 60.0  # activity is recorded to the minute; the store keeps to it too
TOUCH_BYTES = 4 << 20  # appended to a session since it was last measured: that much its owner may be beyond its quota unseen
MARKS_MAX = 20_000  # sessions that were touched lately, about 4 MiB; beyond it the oldest is touched at its next append
TOUCHES_MAX = 32  # under way at once: thousands of sessions may be due in one second
FULL_MAX = 10_000  # accounts known to be full, about 2 MiB
FULL_S = 5.0  # between two questions whether an owner that has no room has some again
TIDY_AFTER_MS = 65_000  # when an answer's deltas may be folded: just beyond the classes' default

Answer = Callable[["Publication", Results | AnypodError], None]


class Mark:
    """A session that was touched. `due_at`: when it is again. `size`: bytes appended since. `account`: its owner's, once it is known."""

    __slots__ = ("account", "due_at", "owner", "size")

    def __init__(self, due_at: float) -> None:
        self.due_at = due_at
        self.size = 0
        self.account: Account | None = None
        self.owner: Subject | None = None


class Publication(Append, eq=False):
    """An append whose publisher waits for the answer. `refs`: what the client calls each draft, where it does."""

    answer: Answer = lambda publication, result: None
    refs: Sequence[str | int | None] = ()


class Publisher:
    def __init__(self, store: Store, clock: Clock, metrics: Metrics, tasks: Tasks, accounts: Accounts) -> None:
        self._store = store
        self._clock = clock
        self._metrics = metrics
        self._tasks = tasks
        self._accounts = accounts
        self._marks: OrderedDict[SessionKey, Mark] = OrderedDict()
        self._full: set[Account] = set()  # that had no room: nearly always none, and then a publish asks for no account
        self._to_touch: dict[SessionKey, None] = {}
        self._touches = 0
        self.in_flight = 0

    def publish(self, publication: Publication, answer: Answer) -> None:
        """Append; `answer` is called once, later, with the receipts or the error."""
        publication.answer = answer
        self.in_flight += 1
        if self._full and publication.drafts and (mark := self._full_mark(publication.key)) is not None:
            self._refuse(publication, mark)
        else:
            self._store.append(publication, self._done)  # type: ignore[arg-type]

    def _full_mark(self, key: SessionKey) -> Mark | None:
        """Of a session whose owner has no room."""
        mark = self._marks.get(key)
        return mark if mark is not None and mark.account is not None and mark.account.has_no_room else None

    def _refuse(self, publication: Publication, mark: Mark) -> None:
        """Whether there is room again is asked now and then, because it may have been made elsewhere."""
        error = AnypodError("quota_exceeded", "the owner of the session, or its tenant, has stored as many bytes as it may")
        asyncio.get_running_loop().call_soon(self._done, publication, error)
        now = self._clock.now()
        if now >= mark.due_at and mark.owner is not None:
            mark.due_at = now + FULL_S
            self._tasks.start(self._ask_usage(publication.key, mark.owner), "usage")

    async def _ask_usage(self, key: SessionKey, owner: Subject) -> None:
        with suppress(AnypodError):  # then it is asked again
            self._know(key, self._accounts.learn(key.tenant, await self._store.usage(key.tenant, owner)))

    async def append(self, publication: Publication) -> Sequence[Receipt]:
        """As `publish`, waited for. A cancelled caller does not cancel the append. Raises AnypodError."""
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
            mark = self._marks.get(publication.key)
            if mark is None or now >= mark.due_at or mark.size >= TOUCH_BYTES:
                self._touch_soon(publication, mark, now)
            else:
                mark.size += publication.size
                if mark.account is not None and mark.account.store(publication.size):
                    self._note_full(mark.account)
        publication.answer(publication, result)

    def _touch_soon(self, publication: Publication, mark: Mark | None, now: float) -> None:
        if mark is None:
            mark = self._marks[publication.key] = Mark(now)
            if len(self._marks) > MARKS_MAX:
                self._marks.popitem(last=False)
        mark.size, mark.due_at = publication.size, now + TOUCH_S
        self._store.schedule(publication.key, TIDY_AFTER_MS)
        self._to_touch[publication.key] = None
        if self._touches < TOUCHES_MAX:
            self._touches += 1
            self._tasks.start(self._touch_all(), "touch")

    async def _touch_all(self) -> None:
        try:
            while self._to_touch:
                key = next(iter(self._to_touch))
                del self._to_touch[key]
                await self._touch(key)
        finally:
            self._touches -= 1

    async def _touch(self, key: SessionKey) -> None:
        try:
            usage = await self._store.touch(key)
        except AnypodError:
            return  # the next append after a minute does it
        mark = self._marks.get(key)
        if usage is not None and mark is not None:
            mark.owner = usage.owner
            self._know(key, self._accounts.learn(key.tenant, usage))

    def _know(self, key: SessionKey, account: Account) -> None:
        """How much the owner of a session has stored is known anew."""
        if (mark := self._marks.get(key)) is not None:
            mark.account = account
        if account.has_no_room:
            self._note_full(account)
        else:
            self._full.discard(account)

    def _note_full(self, account: Account) -> None:
        if len(self._full) >= FULL_MAX:
            self._full.clear()  # each is noted again with the next event that it stores
        self._full.add(account)
