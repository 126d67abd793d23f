"""Reads of ranges of the log, shared by everybody who asks for the same one at the same time.

Owns the reads under way and their bound. Must not know what a page is read for.
"""

import asyncio

from anypod.core.identity import SessionKey
from anypod.store import PAGE_BYTES_MAX, Missing, Page, Store
from anypod.telemetry import Metrics

PAGE_EVENTS_MAX = 256  # of usual events 50 KiB; of large ones a page ends by its bytes (store.PAGE_BYTES_MAX)
READS_MAX = 64  # reads under way at once; others wait their turn, so that a storm holds 64 pages at most

_Range = tuple[SessionKey, int | None, bool, int, int]


class Replays:
    def __init__(self, store: Store, metrics: Metrics) -> None:
        self._store = store
        self._metrics = metrics
        self._permits = asyncio.Semaphore(READS_MAX)
        self._under_way: dict[_Range, asyncio.Task[Page | Missing]] = {}

    async def read(
        self, key: SessionKey, after: int | None, *, fold: bool = False, limit: int = PAGE_EVENTS_MAX, bytes_max: int = PAGE_BYTES_MAX
    ) -> Page | Missing:
        """As `Store.read`. A caller that is cancelled leaves the read to the others."""
        wanted = (key, after, fold, limit, bytes_max)
        task = self._under_way.get(wanted)
        if task is None:
            task = asyncio.get_running_loop().create_task(self._read(wanted), name="replay")
            self._under_way[wanted] = task
            task.add_done_callback(lambda ended: self._ended(wanted, ended))
        return await asyncio.shield(task)

    async def _read(self, wanted: _Range) -> Page | Missing:
        key, after, fold, limit, bytes_max = wanted
        async with self._permits:
            page = await self._store.read(key, after, limit=limit, fold=fold, bytes_max=bytes_max)
        self._metrics.replays += 1
        if isinstance(page, Page):
            self._metrics.replay_events += len(page.frames)
        return page

    def _ended(self, wanted: _Range, task: asyncio.Task[Page | Missing]) -> None:
        self._under_way.pop(wanted, None)
        if not task.cancelled():
            task.exception()  # whoever still waits gets it; when nobody does it is of no interest

    async def close(self) -> None:
        for task in tuple(self._under_way.values()):
            task.cancel()
        await asyncio.gather(*self._under_way.values(), return_exceptions=True)
