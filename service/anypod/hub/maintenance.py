"""Housekeeping of sessions by the store's calendar, whichever replica put them there.

Owns the round over the partitions. Must not know what is done to a session: the store decides, and says when to come again.
"""

import asyncio
from itertools import count
from typing import Final

from anypod.core.errors import AnypodError
from anypod.core.identity import PARTITIONS
from anypod.hub.background import Tasks
from anypod.store import Due, Store

PARTITIONS_PER_S: Final = 8  # asked about: all of them in 32 s, by every replica, so that none needs another
DUE_MAX: Final = 64  # sessions of one partition and visit; the others' turn comes with the next
ROUNDS_MAX: Final = 64  # over one session: 65,536 ids


class Maintenance:
    """`every_second`: called by the wheel. A visit that takes longer is not joined by another."""

    def __init__(self, store: Store, tasks: Tasks) -> None:
        self._store = store
        self._tasks = tasks
        self._numbers = count()
        self._is_visiting = False

    def every_second(self) -> None:
        if self._store.is_available and not self._is_visiting:
            self._is_visiting = True
            self._tasks.start(self._visit([next(self._numbers) % PARTITIONS for _ in range(PARTITIONS_PER_S)]), "maintenance")

    async def _visit(self, numbers: list[int]) -> None:
        try:
            await asyncio.gather(*map(self._visit_partition, numbers))
        finally:
            self._is_visiting = False

    async def _visit_partition(self, number: int) -> None:
        try:
            for item in await self._store.due(number, limit=DUE_MAX):
                await self._tidy(item)
        except AnypodError:
            return  # what was taken comes up again

    async def _tidy(self, item: Due) -> None:
        for _ in range(ROUNDS_MAX):
            if await self._store.tidy(item.key, item.turn) != 0:
                return
