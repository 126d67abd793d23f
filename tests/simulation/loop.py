"""An event loop whose time and order of callbacks come from a seed.

Owns virtual time, the choice of which ready callback runs next, and the failures of a run: an unhandled exception, a
deadlock, a run without an end. Must not know what runs on it.

`call_soon` promises an order that no network keeps, so nothing here relies on it: any ready callback may run next. What
asyncio itself needs survives that: a task has at most one callback outstanding, and futures are set directly.
"""

import asyncio
import contextlib
import heapq
import random
from collections.abc import Callable, Coroutine
from contextvars import Context
from typing import Any, Final, TypeVar, TypeVarTuple, Unpack

T = TypeVar("T")
Ts = TypeVarTuple("Ts")

STEPS_MAX: Final = 200_000  # callbacks: some fifty times an ordinary world; a busy loop ends here
SECONDS_MAX: Final = 3_600.0  # virtual: a world lasts minutes; timers that only breed timers end here
ABANDON_STEPS_MAX: Final = 20_000  # to end a world that has failed
FIFO_SHARE: Final = 0.1  # of all runs keep asyncio's own order: what only that order shows must be seen too


class RunFailedError(AssertionError):
    """The run itself went wrong, whatever the histories say."""


class SimulatedLoop(asyncio.BaseEventLoop):
    def __init__(self, rng: random.Random, *, steps_max: int = STEPS_MAX, seconds_max: float = SECONDS_MAX) -> None:
        super().__init__()
        self.steps = 0
        self._rng = rng
        self._is_fifo = rng.random() < FIFO_SHARE
        self._now = 0.0
        self._steps_max = steps_max
        self._seconds_max = seconds_max
        self._runnable: list[asyncio.Handle] = []
        self._timers: list[tuple[float, int, asyncio.TimerHandle]] = []
        self._timers_made = 0
        self._tasks: list[asyncio.Task[Any]] = []
        self._failures: list[dict[str, Any]] = []

    def run(self, main: Coroutine[Any, Any, T]) -> T:
        """Run `main` to its end, then cancel what it left behind. Raises RunFailedError, or what `main` raised."""
        asyncio._set_running_loop(self)
        try:
            task: asyncio.Task[T] = self.create_task(main)
            self._drive(task)
            result = task.result()
            self._cancel_leftovers()
            self._raise_failures()
        except BaseException:
            self._abandon()
            raise
        finally:
            asyncio._set_running_loop(None)
            self._forget_everything()
            self.close()
        return result

    # What asyncio asks of a loop.
    def time(self) -> float:
        return self._now

    def is_running(self) -> bool:
        return asyncio._get_running_loop() is self

    def call_soon(self, callback: Callable[[Unpack[Ts]], object], *args: *Ts, context: Context | None = None) -> asyncio.Handle:
        handle = asyncio.Handle(callback, args, self, context)
        self._runnable.append(handle)
        return handle

    def call_soon_threadsafe(self, callback: Callable[[Unpack[Ts]], object], *args: *Ts, context: Context | None = None) -> asyncio.Handle:
        raise RunFailedError("a simulated world has one thread")

    def call_at(
        self, when: float, callback: Callable[[Unpack[Ts]], object], *args: *Ts, context: Context | None = None
    ) -> asyncio.TimerHandle:
        timer = asyncio.TimerHandle(when, callback, args, self, context)
        self._timers_made += 1
        heapq.heappush(self._timers, (when, self._timers_made, timer))
        return timer

    def create_task(self, coro: Any, *, name: object = None, context: Context | None = None) -> asyncio.Task[Any]:
        task = asyncio.Task(coro, loop=self, name=None if name is None else str(name), context=context)
        self._tasks.append(task)
        return task

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        self._failures.append(context)

    def _timer_handle_cancelled(self, handle: asyncio.TimerHandle) -> None:
        """asyncio tells; a cancelled timer is passed over when its time comes."""

    # The run.
    def _drive(self, until: asyncio.Task[Any]) -> None:
        runnable, chance = self._runnable, self._rng.random
        while not until.done():
            if not runnable:
                self._advance()
                continue
            index = 0 if self._is_fifo else int(chance() * len(runnable))
            if self._is_fifo:
                handle = runnable.pop(0)
            else:
                runnable[index], runnable[-1] = runnable[-1], runnable[index]
                handle = runnable.pop()
            if not handle.cancelled():
                handle._run()
            self.steps += 1
            if self._failures:
                self._raise_failures()
            if self.steps > self._steps_max:
                raise RunFailedError(f"no end after {self.steps} callbacks at {self._now:.3f} s; the next was {handle!r}")

    def _advance(self) -> None:
        """Nothing is ready: jump to the next timers."""
        timers = self._timers
        while timers and timers[0][2].cancelled():
            heapq.heappop(timers)
        if not timers:
            raise RunFailedError(f"deadlock at {self._now:.3f} s: nothing is ready and nobody waits for time\n{self._waiting()}")
        self._now = max(self._now, timers[0][0])
        if self._now > self._seconds_max:
            raise RunFailedError(f"no end after {self._now:.0f} virtual seconds\n{self._waiting()}")
        while timers and timers[0][0] <= self._now:
            timer = heapq.heappop(timers)[2]
            if not timer.cancelled():
                self._runnable.append(timer)

    def _cancel_leftovers(self) -> None:
        async def wait() -> None:
            leftovers = [task for task in self._tasks if not task.done() and task is not asyncio.current_task()]
            for task in leftovers:
                task.cancel()
            await asyncio.gather(*leftovers, return_exceptions=True)

        self._drive(self.create_task(wait()))

    def _abandon(self) -> None:
        """The run has failed: end what is left as far as that goes. What else fails meanwhile is of no interest."""
        self._steps_max = self.steps + ABANDON_STEPS_MAX
        with contextlib.suppress(Exception):
            self._failures.clear()
            self._cancel_leftovers()

    def _raise_failures(self) -> None:
        """Unhandled exceptions, those of tasks that nobody looked at included."""
        for task in self._tasks:
            if task.done() and not task.cancelled() and task._log_traceback:
                self._failures.append({"message": f"nobody looked at the failure of {task!r}", "exception": task.exception()})
        if self._failures:
            first = self._failures[0]
            raise RunFailedError(f"at {self._now:.3f} s: {first.get('message')}: {first.get('exception')!r}") from first.get("exception")

    def _waiting(self) -> str:
        return "\n".join(f"  waits: {task!r}" for task in self._tasks if not task.done())

    def _forget_everything(self) -> None:
        """A failed run leaves tasks in the middle: they are silenced, not reported a second time."""
        for task in self._tasks:
            task._log_destroy_pending = False  # type: ignore[attr-defined]
        self._tasks.clear()
        self._runnable.clear()
        self._timers.clear()
