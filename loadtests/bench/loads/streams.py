"""Streams of one session, fed as fast as they deliver.

Owns the closed loop: a publisher keeps so many events under way that the slowest of the watched streams has them soon.
Must not know the server.
"""

import asyncio
import os
from dataclasses import dataclass
from itertools import count
from typing import Final

from loadtests.bench.connection import Connection, LoadError, close_all, open_all
from loadtests.bench.dialect import NOWHERE, Dialect, credential
from loadtests.bench.loads.fan_out import Subscriber, delivered_by
from loadtests.bench.loads.publish import DATA
from loadtests.bench.server import Server
from loadtests.bench.store import Redis
from loadtests.bench.window import Usage, Window, quiet_collector

UNDER_WAY: Final = 128  # events: enough that the server never waits for the load
LOOK_S: Final = 0.0005
WATCHED: Final = 20  # every so many streams
WARM_UP_S: Final = 0.5


@dataclass(frozen=True, slots=True)
class Streamed:
    usage: Usage
    deliveries: int

    @property
    def per_s(self) -> float:
        return self.deliveries / self.usage.seconds


async def stream(server: Server, store: Redis, dialect: Dialect, *, streams: int, seconds: float) -> Streamed:
    """`dialect` is that of the streams; the publisher speaks the server's. Raises LoadError."""
    session = os.urandom(4).hex()
    publisher = Connection(server.dialect, session, credential(f"user-{session}"), NOWHERE)
    subscribers = [Subscriber(dialect, session, f"user-{i}") for i in range(streams)]
    await open_all(server.port, [publisher])
    await open_all(server.port, subscribers)
    feeding = asyncio.create_task(_feed(publisher, session, subscribers[::WATCHED], server.dialect), name="feed")
    with quiet_collector():
        await asyncio.sleep(WARM_UP_S)
        before, window = delivered_by(subscribers), Window([server.pid], store.pid, server.core)
        await asyncio.sleep(seconds)
        usage, deliveries = window.end(), delivered_by(subscribers) - before
    feeding.cancel()
    await asyncio.wait([feeding])
    close_all([publisher, *subscribers])
    if deliveries == 0:
        raise LoadError("nothing was delivered")
    return Streamed(usage, deliveries)


async def _feed(publisher: Connection, session: str, watched: list[Subscriber], dialect: Dialect) -> None:
    numbers, sent = count(), 0
    while True:
        room = UNDER_WAY - (sent - min(one.delivered.count for one in watched))
        if room >= UNDER_WAY // 2:
            publisher.transport.write(b"".join([dialect.publish(session, next(numbers), DATA) for _ in range(room)]))
            sent += room
        await asyncio.sleep(LOOK_S)
