"""What has arrived on one connection, and waiting for more of it.

Owns the wait and its bound. Must not know what arrives.
"""

import asyncio
from collections.abc import Callable
from typing import Final, TypeVar

T = TypeVar("T")

WAIT_S_MAX: Final = 12.0  # the longest that the contract lets a client wait: session.init within 10 s


class Inbox:
    """`tell` whenever something has changed; `until` waits for what a caller looks for."""

    def __init__(self) -> None:
        self._changed = asyncio.Event()

    def tell(self) -> None:
        self._changed.set()

    async def until(self, find: Callable[[], T | None], what: str) -> T:
        """The first thing that `find` returns. AssertionError, saying `what` did not come."""
        try:
            async with asyncio.timeout(WAIT_S_MAX):
                while (found := find()) is None:
                    self._changed.clear()
                    await self._changed.wait()
        except TimeoutError:
            raise AssertionError(f"{what}: not within {WAIT_S_MAX:g} s") from None
        return found
