"""Publishers at a steady pace, who notice how long everything takes.

Owns their connections and their waits. Must not know what else happens to the server. An event that could not be sent because
the one before it was not acknowledged has waited since it was due: a stall is felt by all who came during it.
"""

import asyncio
import contextlib
import os
import time
from collections import deque
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Final

from loadtests.bench.connection import Connection, Counter, close_all, open_all
from loadtests.bench.dialect import NOWHERE, Dialect, credential
from loadtests.bench.loads.publish import DATA

from anypod.core.statistics import percentile

PUBLISHERS: Final = 20
EVERY_S: Final = 0.04  # by each: 500 events a second in all


class Pacer(Connection):
    """One event on its way at a time."""

    __slots__ = ("_acks", "_due", "_sent", "_session", "waits_ms")

    def __init__(self, dialect: Dialect, session: str) -> None:
        super().__init__(dialect, session, credential(f"user-{session}"), NOWHERE)
        self._session = session
        self._acks = Counter(dialect.acknowledged)
        self._due: deque[float] = deque()
        self._sent = 0
        self.waits_ms: list[float] = []

    def publish(self, due_at: float) -> None:
        self._due.append(due_at)
        if len(self._due) == 1:
            self._send()

    def _send(self) -> None:
        self._sent += 1
        self.transport.write(self._dialect.publish(self._session, self._sent, DATA))

    def received(self, data: bytes) -> None:
        if self._acks.feed(data):
            self.waits_ms.append((time.perf_counter() - self._due.popleft()) * 1_000)
            if self._due:
                self._send()


@dataclass(frozen=True, slots=True)
class Noticed:
    """`late_ms`: by how much the publishers themselves were late, which is no fault of the server."""

    p50_ms: float
    p99_ms: float
    worst_ms: float
    late_ms: float
    events: int


class Publishers:
    def __init__(self, pacers: list[Pacer]) -> None:
        self._pacers = pacers
        self._late_ms: list[float] = []

    def noticed(self) -> Noticed:
        """Since the last look."""
        waits = [wait for pacer in self._pacers for wait in pacer.waits_ms]
        late, self._late_ms = self._late_ms, []
        for pacer in self._pacers:
            pacer.waits_ms.clear()
        return Noticed(percentile(waits, 50), percentile(waits, 99), max(waits), percentile(late, 99), len(waits))

    async def run(self) -> None:
        """Until cancelled; spread evenly over the interval."""
        due_at = time.perf_counter()
        while True:
            for pacer in self._pacers:
                due_at += EVERY_S / len(self._pacers)
                await asyncio.sleep(max(0.0, due_at - time.perf_counter()))
                now = time.perf_counter()
                self._late_ms.append((now - due_at) * 1_000)
                pacer.publish(now)


@contextlib.asynccontextmanager
async def publishing(port: int, dialect: Dialect) -> AsyncIterator[Publishers]:
    run_id = os.urandom(4).hex()
    pacers = [Pacer(dialect, f"{run_id}-{i}") for i in range(PUBLISHERS)]
    await open_all(port, pacers)
    publishers = Publishers(pacers)
    running = asyncio.create_task(publishers.run())
    try:
        yield publishers
    finally:
        running.cancel()
        close_all(pacers)
