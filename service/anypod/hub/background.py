"""The one owner of the hub's tasks.

Owns every task that the hub starts: logs and counts what escapes from one, and ends them all.
"""

import asyncio
import logging
from collections.abc import Coroutine
from typing import Any

from anypod.telemetry import Metrics

logger = logging.getLogger(__name__)


class Tasks:
    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics
        self._running: dict[asyncio.Task[None], None] = {}  # in the order in which they began

    def __len__(self) -> int:
        return len(self._running)

    def start(self, work: Coroutine[Any, Any, None], name: str) -> None:
        task = asyncio.get_running_loop().create_task(work, name=name)
        self._running[task] = None
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._running.pop(task, None)
        if not task.cancelled() and (error := task.exception()) is not None:
            self._metrics.errors["internal"] += 1
            logger.error("task %s failed", task.get_name(), exc_info=error)

    async def close(self) -> None:
        """Cancel what still runs and wait for its end."""
        for task in tuple(self._running):
            task.cancel()
        while self._running:
            await asyncio.wait(tuple(self._running))
