"""What is on its way to the application.

Owns the queue, its bounds and the end of it. Must not know what the items are. Backpressure:
the reader of a connection asks for room first.
"""

import asyncio
from collections import deque
from typing import Final, Generic, TypeVar

T = TypeVar("T")

ITEMS_MAX: Final = 256  # that wait for the application: 16 MiB of the largest events, usually 100 KiB
# An application that waits for a receipt may not be reading, and its receipt stands behind events in the same socket:
# then reading goes on, as far as a full session of the default class reaches.
ITEMS_MAX_PUBLISHING: Final = 65_536


class Delivery(Generic[T]):
    def __init__(self) -> None:
        self._items: deque[T] = deque()
        self._is_publishing = False
        self._filled = asyncio.Event()
        self._freed = asyncio.Event()
        self._is_ended = False
        self._error: Exception | None = None

    def __len__(self) -> int:
        return len(self._items)

    @property
    def _items_max(self) -> int:
        return ITEMS_MAX_PUBLISHING if self._is_publishing else ITEMS_MAX

    @property
    def has_room(self) -> bool:
        return len(self._items) < self._items_max or self._is_ended

    async def room(self) -> None:
        """Returns when half of it is free, so that links do not start and stop with every item."""
        while len(self._items) > self._items_max // 2 and not self._is_ended:
            self._freed.clear()
            await self._freed.wait()

    def publishing(self, *, is_publishing: bool) -> None:
        """Does the application wait for a receipt?"""
        self._is_publishing = is_publishing
        self._freed.set()

    def put(self, item: T) -> None:
        """Never refused: an input of more than one item, like a page, exceeds the bound by as much."""
        self._items.append(item)
        self._filled.set()

    def end(self, error: Exception | None = None) -> None:
        """Nothing follows."""
        if not self._is_ended:
            self._is_ended, self._error = True, error
            self._filled.set()
            self._freed.set()

    async def take(self) -> T:
        """The next item. At the end raises StopAsyncIteration, or the error that ended it."""
        while not self._items:
            if self._is_ended:
                raise self._error or StopAsyncIteration
            self._filled.clear()
            await self._filled.wait()
        self._freed.set()
        return self._items.popleft()
