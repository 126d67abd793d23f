"""Admission control: which arrivals are let in now, which wait, and which are refused with a time to retry. A storm is the normal case.

Owns the budgets of arrivals, the FIFO of those that wait (callbacks with due times, run by one task, a bounded number per iteration of the
loop), and the adaptive rate: when the loop is late or the store slow, fewer are let in, because attached clients that publish go
first. Must not know what is done with a permit.

1. A short storm is refused to no client: a permit may lie up to WAIT_S_MAX ahead, and that bounds how many wait.
2. Beyond that a client is given a moment of its own, behind all that were given one before, so that retries arrive one after the other.
"""

import asyncio
from collections import deque
from collections.abc import Callable
from random import Random
from typing import Final

from anypod.clock import Clock
from anypod.core.admission import AdaptiveRate, Budget
from anypod.core.errors import AnypodError
from anypod.core.permits import Account
from anypod.hub.background import Tasks
from anypod.hub.config import Arrivals
from anypod.telemetry import Arrival, Metrics

AT_ONCE_MAX: Final = 16  # in one iteration of the loop, a millisecond of work if they arrive: publishers are served in between
TICK_S: Final = 0.001  # the loop's timers count milliseconds: it takes a shorter sleep for none, and would turn and turn until it is over
WAIT_S_MAX: Final = 1.5  # longer than that, a client that waits in silence takes the connection for dead
HINT_S_MAX: Final = 30.0  # the longest hint that a client is given; clients wait no longer by themselves either
LAG_S_MAX: Final = 0.05  # by which the loop may be late before fewer are let in
SLOW_APPEND_S: Final = 0.1  # an append that takes longer is slow
SLOW_SHARE_MAX: Final = 0.01  # of a second's appends: their 99th percentile
HELD_MAX: Final = 4_096  # refusals that are told late; beyond that they are told at once, or the connection is cut


class PacedQueue:
    """Each has a due time (clock seconds) that is not before that of the one that joined last."""

    __slots__ = ("_clock", "_is_served", "_tasks", "_waiting")

    def __init__(self, clock: Clock, tasks: Tasks) -> None:
        self._clock = clock
        self._tasks = tasks
        self._waiting: deque[tuple[float, Callable[[], None]]] = deque()
        self._is_served = False

    def __len__(self) -> int:
        return len(self._waiting)

    def join(self, due_at: float, go: Callable[[], None]) -> None:
        """Call `go` when it is due, or in one of the turns after that."""
        self._waiting.append((due_at, go))
        if not self._is_served:
            self._serve()

    def _serve(self) -> None:
        self._is_served = True
        self._tasks.start(self._call_all(), "queue")

    async def _call_all(self) -> None:
        try:
            while self._waiting:
                wait_s = self._waiting[0][0] - self._clock.now()
                if wait_s > 0:
                    await self._clock.sleep(max(wait_s, TICK_S))
                self._call_due()
                await asyncio.sleep(0)  # an iteration of the loop for all others
        except Exception:
            self._serve()  # one that fails is logged, and those behind it go on
            raise
        self._is_served = False

    def _call_due(self) -> None:
        """One, and one more for each tick that it is late: a publisher waits for one only, and a busy loop keeps up all the same."""
        now = self._clock.now()
        late_s = now - self._waiting[0][0]
        for _ in range(min(1 + int(late_s / TICK_S), AT_ONCE_MAX, len(self._waiting))):
            if self._waiting[0][0] > now:
                return
            _, go = self._waiting.popleft()
            go()


class AdmissionControl:
    def __init__(self, arrivals: Arrivals, clock: Clock, rng: Random, *, metrics: Metrics, tasks: Tasks) -> None:
        self._clock = clock
        self._rng = rng
        self._metrics = metrics
        self._budgets: dict[Arrival, Budget] = {
            "accept": Budget(arrivals.accepts_per_s),
            "unknown": Budget(arrivals.unknown_per_s),
            "refused": Budget(arrivals.refused_per_s),
            "resume": Budget(arrivals.resumes_per_s),
            "fresh": Budget(arrivals.fresh_per_s),
        }
        self._queues = {arrival: PacedQueue(clock, tasks) for arrival in self._budgets}
        self._cuts = PacedQueue(clock, tasks)
        self._held = 0
        self._pace = AdaptiveRate()
        self._appends = self._slow_appends = 0
        metrics.watch("arrivals_waiting", lambda: sum(map(len, self._queues.values())))
        metrics.watch("admission_pace", lambda: self._pace.share)

    def wait_s(self, arrival: Arrival) -> float:
        """How long this one is to wait. Raises AnypodError `overloaded` with the time to come again."""
        now = self._clock.now()
        budget = self._budgets[arrival]
        wait_s = budget.wait_s(now, self._pace.share, WAIT_S_MAX)
        if wait_s is None:
            self._metrics.arrivals_refused[arrival] += 1
            raise self._overloaded(budget.hint_s(now, self._pace.share, WAIT_S_MAX))
        if wait_s > 0:
            self._metrics.arrivals_waited[arrival] += 1
        return wait_s

    async def enter(self, arrival: Arrival) -> None:
        """Return when there is a permit. Raises AnypodError `overloaded`."""
        if (wait_s := self.wait_s(arrival)) > 0:
            await self._clock.sleep(wait_s)

    # Refusals. They have a budget of their own and are told late: a client that retries at once is no faster for it, and neither
    # takes what admitted clients need.

    def refuse(self, tell: Callable[[], None], cut: Callable[[], None]) -> None:
        """Call `tell`, now or in a moment; beyond the budget `cut`, after the longest wait."""
        now = self._clock.now()
        wait_s = self._budgets["refused"].wait_s(now, 1.0, WAIT_S_MAX)
        if wait_s == 0:
            tell()
        elif wait_s is not None:
            self.later("refused", wait_s, tell)
        elif len(self._cuts) < HELD_MAX:
            self._metrics.arrivals_refused["refused"] += 1
            self._cuts.join(now + WAIT_S_MAX, cut)
        else:
            self._metrics.arrivals_refused["refused"] += 1
            cut()

    async def hold_refusal(self) -> None:
        """As `refuse`, for a request that gets a response in any case."""
        wait_s = self._budgets["refused"].wait_s(self._clock.now(), 1.0, WAIT_S_MAX)
        await self.hold(WAIT_S_MAX if wait_s is None else wait_s)

    async def hold(self, wait_s: float) -> None:
        """Wait about so long with a refusal, unless too many wait."""
        if wait_s <= 0 or self._held >= HELD_MAX:
            return
        self._held += 1
        try:
            await self._clock.sleep(wait_s * self._rng.uniform(0.5, 1.0))  # each its own time: they do not come again together
        finally:
            self._held -= 1

    def later(self, arrival: Arrival, wait_s: float, go: Callable[[], None]) -> None:
        """For a caller of `wait_s` that has something to do before the wait."""
        self._queues[arrival].join(self._clock.now() + wait_s, go)

    def check(self, account: Account) -> None:
        """One tenant or subject does not use up what all have together. Raises AnypodError `overloaded`."""
        wait_s = account.arrive(self._clock.now())
        if wait_s > 0:
            raise self._overloaded(wait_s)

    def _overloaded(self, hint_s: float) -> AnypodError:
        """The hint differs for each, even when it is the longest there is."""
        bounded = min(hint_s, HINT_S_MAX * self._rng.uniform(0.5, 1.0))
        return AnypodError("overloaded", retry_after_ms=1 + int(bounded * self._rng.uniform(0.9, 1.1) * 1_000))

    def note_lag(self, lag_s: float) -> None:
        """How late the loop is; to be told several times a second."""
        self._pace.note(is_pressed=lag_s > LAG_S_MAX or self._is_store_slow())

    def _is_store_slow(self) -> bool:
        """Whether of the appends since the last look more than a hundredth were slow."""
        observed = self._metrics.append_seconds
        total, slow = sum(observed.counts), observed.above(SLOW_APPEND_S)
        share = (slow - self._slow_appends) / max(1, total - self._appends)
        self._appends, self._slow_appends = total, slow
        return share > SLOW_SHARE_MAX
