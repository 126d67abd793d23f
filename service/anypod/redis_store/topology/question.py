"""A question that whoever asks it at about the same time asks together.

Owns when it is put again. Must not know what is asked, nor what is made of the answer.
"""

import asyncio
from collections.abc import Awaitable, Callable

from anypod.clock import Clock


class Singleflight:
    """`put` asks it and keeps the answer, which serves everybody for `fresh_s`."""

    def __init__(self, put: Callable[[], Awaitable[None]], clock: Clock, fresh_s: float) -> None:
        self._put = put
        self._clock = clock
        self._fresh_s = fresh_s
        self._asking = asyncio.Lock()
        self._put_at = self._answered_at = float("-inf")

    async def recent(self) -> None:
        """Returns when there is an answer of the last moments."""
        async with self._asking:
            if self._clock.now() >= self._answered_at + self._fresh_s:
                await self._ask()

    async def renewed(self) -> None:
        """Returns when there is an answer to a question that was put after this call."""
        called_at = self._clock.now()
        async with self._asking:
            if self._put_at < called_at:
                await self._ask()

    async def _ask(self) -> None:
        put_at = self._clock.now()
        await self._put()
        self._put_at, self._answered_at = put_at, self._clock.now()
