"""Wait for a condition, and for nothing else.

Owns the polling, for code with a loop and without one. Must not know what is waited for.
"""

import asyncio
import inspect
import time
from collections.abc import Awaitable, Callable
from typing import Final

WAIT_S: Final = 20.0  # much longer than anything here takes, on a machine that does other things too
POLL_S: Final = 0.01


def wait_for(
    condition: Callable[[], bool], what: str = "the condition", within_s: float = WAIT_S, *, passing: tuple[type[Exception], ...] = ()
) -> float:
    """Seconds that it took. `passing`: errors of the condition that count as "not yet". Raises AssertionError."""
    started = time.monotonic()
    while not _holds(condition, passing):
        assert time.monotonic() - started < within_s, f"{what}: not within {within_s:g} s"
        time.sleep(POLL_S)
    return time.monotonic() - started


async def until(condition: Callable[[], object | Awaitable[object]], what: str = "the condition", within_s: float = WAIT_S) -> float:
    """The same in a loop; the condition may be awaitable."""
    started = time.monotonic()
    while True:
        found = condition()
        if inspect.isawaitable(found):
            found = await found
        if found:
            return time.monotonic() - started
        assert time.monotonic() - started < within_s, f"{what}: not within {within_s:g} s"
        await asyncio.sleep(POLL_S)


def _holds(condition: Callable[[], bool], passing: tuple[type[Exception], ...]) -> bool:
    try:
        return condition()
    except passing:
        return False
