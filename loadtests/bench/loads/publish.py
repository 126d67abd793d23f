"""Publishers that wait for their acknowledgements.

Owns the closed loop: so many connections, each with its own session and so many events in flight. Must not know the server.
"""

import asyncio
import os
import time
from dataclasses import dataclass, field
from itertools import count
from typing import Final

from loadtests.bench.connection import Connection, Counter, LoadError, close_all, open_all
from loadtests.bench.dialect import NOWHERE, Dialect, credential
from loadtests.bench.server import Server
from loadtests.bench.store import Redis
from loadtests.bench.window import Usage, Window, quiet_collector

DATA: Final = b"x" * 100
WARM_UP_S: Final = 0.5


@dataclass(slots=True)
class Tally:
    """What all publishers of one load have counted."""

    acknowledged: int = 0
    waits_s: list[float] = field(default_factory=list)
    is_over: bool = False


class Publisher(Connection):
    __slots__ = ("_acks", "_in_flight", "_numbers", "_sent_at", "_session", "_tally")

    def __init__(self, dialect: Dialect, session: str, in_flight: int, tally: Tally) -> None:
        super().__init__(dialect, session, credential(f"user-{session}"), NOWHERE)
        self._session = session
        self._in_flight = in_flight
        self._tally = tally
        self._acks = Counter(dialect.acknowledged)
        self._numbers = count()
        self._sent_at = 0.0

    def begin(self) -> None:
        self._send(self._in_flight)

    def received(self, data: bytes) -> None:
        acks = self._acks.feed(data)
        if acks == 0:
            return
        self._tally.acknowledged += acks
        if self._in_flight == 1:
            self._tally.waits_s.append(time.perf_counter() - self._sent_at)
        if not self._tally.is_over:
            self._send(acks)

    def _send(self, events: int) -> None:
        self._sent_at = time.perf_counter()
        dialect, session, numbers = self._dialect, self._session, self._numbers
        self.transport.write(b"".join([dialect.publish(session, next(numbers), DATA) for _ in range(events)]))


@dataclass(frozen=True, slots=True)
class Published:
    usage: Usage
    acknowledged: int
    waits_s: list[float]  # ascending; only of those with one event in flight

    @property
    def per_s(self) -> float:
        return self.acknowledged / self.usage.seconds


async def publish(server: Server, store: Redis, *, connections: int, in_flight: int, seconds: float) -> Published:
    """Raises LoadError when acknowledgements stop."""
    run, tally = os.urandom(4).hex(), Tally()
    publishers = [Publisher(server.dialect, f"{run}-{i}", in_flight, tally) for i in range(connections)]
    await open_all(server.port, publishers)
    with quiet_collector():
        for one in publishers:
            one.begin()
        await asyncio.sleep(WARM_UP_S)
        tally.waits_s.clear()
        before, window = tally.acknowledged, Window([server.pid], store.pid, server.core)
        await asyncio.sleep(seconds)
        usage, acknowledged = window.end(), tally.acknowledged - before
    tally.is_over = True
    close_all(publishers)
    if acknowledged == 0:
        raise LoadError("nothing was acknowledged")
    return Published(usage, acknowledged, sorted(tally.waits_s))
