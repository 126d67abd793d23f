"""Those who come, or have gone, by the thousand: each has its turn at its moment, in the order of these moments.

Owns the wait, and how many are called in one turn of the loop. Must not know what they wait for, nor how many there may be: who
gives permits bounds that, and the number of connections. Thousands of them share one task and one timer.
"""

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Final

from anypod.clock import Clock
from anypod.hub.background import Tasks

AT_ONCE_MAX: Final = 16  # in one turn of the loop, a millisecond of work if they arrive: whoever publishes comes in between
TICK_S: Final = 0.001  # the loop's timers count milliseconds: it takes a shorter sleep for none, and would turn and turn until it is over


class PacedQueue:
    """Each comes with a moment (clock seconds) that is not before that of the one who came last."""

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
                await asyncio.sleep(0)  # a turn of the loop for everybody else
        except Exception:
            self._serve()  # one that fails is logged, and keeps nobody behind it waiting
            raise
        self._is_served = False

    def _call_due(self) -> None:
        """One, and one more for each tick that it is late: whoever publishes waits for one only, and a busy loop keeps up all the same."""
        now = self._clock.now()
        late_s = now - self._waiting[0][0]
        for _ in range(min(1 + int(late_s / TICK_S), AT_ONCE_MAX, len(self._waiting))):
            if self._waiting[0][0] > now:
                return
            _, go = self._waiting.popleft()
            go()
