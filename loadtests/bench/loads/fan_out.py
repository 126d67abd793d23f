"""Many subscribers of one session, some of whom publish at an offered rate.

Owns the pacing, the count of deliveries and their latency. Must not know the server. The rate is offered whatever the
server does, so that a slow one is not spared; latency runs from the moment at which an event was handed to the socket.
"""

import asyncio
import os
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from loadtests.bench.connection import Connection, Counter, close_all, open_all
from loadtests.bench.dialect import TAIL, Dialect, credential
from loadtests.bench.server import Server
from loadtests.bench.store import Redis
from loadtests.bench.window import Usage, Window, quantile, quiet_collector

WARM_UP_S: Final = 0.3
PACE_S: Final = 0.0008  # between two looks at what is due
SETTLE_S_MAX: Final = 2.0  # for what is still under way at the end
SAMPLED: Final = 10  # every so many subscribers also measure latency: parsing all would be what is measured
STAMP_START: Final = b'"x":"@'
STAMP: Final = b"@%011.6f"  # seconds since the load began
FILL: Final = b"x" * 88  # with the stamp a hundred bytes


class Subscriber(Connection):
    __slots__ = ("delivered", "session")

    def __init__(self, dialect: Dialect, session: str, subject: str) -> None:
        super().__init__(dialect, session, credential(subject, is_guest=True), TAIL)
        self.session = session
        self.delivered = Counter(dialect.delivered)

    def received(self, data: bytes) -> None:
        self.delivered.feed(data)


class Observer(Subscriber):
    """Measures, too, how old events are when they arrive. What a read cuts is left out."""

    __slots__ = ("_began", "ages_s")

    def __init__(self, dialect: Dialect, session: str, subject: str, began: float) -> None:
        super().__init__(dialect, session, subject)
        self._began = began
        self.ages_s: list[float] = []

    def received(self, data: bytes) -> None:
        self.delivered.feed(data)
        now, at = time.perf_counter() - self._began, 0
        while (at := data.find(STAMP_START, at)) >= 0:
            at += len(STAMP_START)
            stamp = data[at : at + 11]
            if len(stamp) == 11:
                self.ages_s.append(now - float(stamp))


@dataclass(frozen=True, slots=True)
class Delivered:
    """`offered`: publishes a second that were asked for; `sent`: that the load managed. `ages_s` ascending."""

    usage: Usage
    offered: float
    sent: float
    deliveries: int
    missing: int
    ages_s: list[float]

    @property
    def p50_ms(self) -> float:
        return quantile(self.ages_s, 0.5) * 1e3 if self.ages_s else float("inf")

    @property
    def p99_ms(self) -> float:
        return quantile(self.ages_s, 0.99) * 1e3 if self.ages_s else float("inf")

    @property
    def per_s(self) -> float:
        return self.deliveries / self.usage.seconds


@dataclass(slots=True)
class Pacer:
    """Sends what is due, from one publisher after the other."""

    publishers: list[Subscriber]
    dialect: Dialect
    began: float
    sent: int = 0

    async def run(self, rate: float, seconds: float) -> None:
        start, first = time.perf_counter(), self.sent
        while (passed := time.perf_counter() - start) < seconds:
            due = int(passed * rate) - (self.sent - first)
            for _ in range(due):
                self._send()
            await asyncio.sleep(PACE_S)

    def _send(self) -> None:
        text = STAMP % (time.perf_counter() - self.began) + FILL
        publisher = self.publishers[self.sent % len(self.publishers)]
        publisher.transport.write(self.dialect.publish(publisher.session, self.sent, text))
        self.sent += 1


async def fan_out(server: Server, store: Redis, *, publishers: int, subscribers: int, rate: float, seconds: float) -> Delivered:
    session, began = os.urandom(4).hex(), time.perf_counter()
    clients: list[Subscriber] = [
        Observer(server.dialect, session, f"user-{i}", began) if i % SAMPLED == 5 else Subscriber(server.dialect, session, f"user-{i}")
        for i in range(subscribers)
    ]
    await open_all(server.port, clients[:1])  # it creates the session
    await open_all(server.port, clients[1:])
    observers = [one for one in clients if isinstance(one, Observer)]
    pacer = Pacer(clients[:publishers], server.dialect, began)
    with quiet_collector():
        await pacer.run(rate, WARM_UP_S)
        for observer in observers:
            observer.ages_s.clear()
        sent, delivered, window = pacer.sent, delivered_by(clients), Window([server.pid], store.pid, server.core)
        await pacer.run(rate, seconds)
        usage, deliveries = window.end(), delivered_by(clients) - delivered
    await settle(clients, pacer.sent * len(clients))
    missing = pacer.sent * len(clients) - delivered_by(clients)
    close_all(clients)
    ages_s = sorted(age for observer in observers for age in observer.ages_s)
    return Delivered(usage, rate, (pacer.sent - sent) / usage.seconds, deliveries, missing, ages_s)


def delivered_by(clients: Sequence[Subscriber]) -> int:
    return sum(one.delivered.count for one in clients)


async def settle(clients: Sequence[Subscriber], deliveries: int) -> None:
    give_up_at = time.perf_counter() + SETTLE_S_MAX
    while delivered_by(clients) < deliveries and time.perf_counter() < give_up_at:  # noqa: ASYNC110 - an event would be a call for each delivery
        await asyncio.sleep(0.02)
