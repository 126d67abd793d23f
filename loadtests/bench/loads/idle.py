"""Clients that are there and say nothing but that they are.

Owns connections with a session each, what they cost in memory, and their heartbeats. Must not know the server.
"""

import asyncio
import os
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from loadtests.bench.connection import Connection, close_all, open_all
from loadtests.bench.dialect import TAIL, Dialect, credential, text_frame
from loadtests.bench.meter import resident_bytes
from loadtests.bench.server import Server
from loadtests.bench.store import Redis
from loadtests.bench.window import Usage, Window, quiet_collector

SETTLE_S: Final = 2.0  # after the last has come: buffers are given back, statistics written
PACE_S: Final = 0.05  # between two looks at whose heartbeat is due
CURSOR_START: Final = b'"cursor":"'
HEARTBEAT: Final = b'"type":"heartbeat"'


@dataclass(slots=True)
class Heard:
    """What all clients of a load heard while they were idle."""

    beats: int = 0


class Idler(Connection):
    __slots__ = ("_heard",)

    def __init__(self, dialect: Dialect, session: str, subject: str, heard: Heard) -> None:
        super().__init__(dialect, session, credential(subject), TAIL)
        self._heard = heard

    def received(self, data: bytes) -> None:
        self._heard.beats += data.count(HEARTBEAT)


@dataclass(frozen=True, slots=True)
class Idle:
    """`usage` is of the arrival; `bytes_each` what the server has grown by for each client."""

    usage: Usage
    clients: Sequence[Idler]
    bytes_each: float
    heard: Heard


@dataclass(frozen=True, slots=True)
class Beaten:
    """Heartbeats sent by clients, and heard from the server."""

    usage: Usage
    sent: int
    heard: int


async def arrive(server: Server, store: Redis, dialect: Dialect, clients: int) -> Idle:
    """Come, each to a session of its own, and stay. Raises LoadError."""
    run, heard = os.urandom(4).hex(), Heard()
    idlers = [Idler(dialect, f"{run}-{i}", f"user-{run}-{i}", heard) for i in range(clients)]
    with quiet_collector():
        before, window = resident_bytes(server.pid), Window([server.pid], store.pid, server.core)
        await open_all(server.port, idlers)
        usage = window.end()
    await asyncio.sleep(SETTLE_S)
    return Idle(usage, idlers, (resident_bytes(server.pid) - before) / clients, heard)


async def beat(server: Server, store: Redis, idle: Idle, *, interval_s: float, seconds: float) -> Beaten:
    """Every client sends its heartbeat once an interval, while the server sends its own."""
    clients, sent, heard = idle.clients, 0, idle.heard.beats
    frames = [_beat(one.opening) for one in clients]
    with quiet_collector():
        start, window = time.perf_counter(), Window([server.pid], store.pid, server.core)
        while (passed := time.perf_counter() - start) < seconds:
            for _ in range(int(passed * len(clients) / interval_s) - sent):
                clients[sent % len(clients)].transport.write(frames[sent % len(clients)])
                sent += 1
            await asyncio.sleep(PACE_S)
        return Beaten(window.end(), sent, idle.heard.beats - heard)


def _beat(opening: bytes) -> bytes:
    """Says how far the client has got: to where it stood when it came."""
    _, _, rest = opening.partition(CURSOR_START)
    return text_frame(b'{"type":"heartbeat","cursor":"%b"}' % rest.partition(b'"')[0])


async def leave(idle: Idle) -> None:
    close_all(idle.clients)
    await asyncio.sleep(SETTLE_S)


async def accept(server: Server, store: Redis, sessions: Sequence[str], clients: int) -> Usage:
    """Clients whom the server has not seen come to sessions that are served, and are let in. Raises LoadError."""
    run = os.urandom(4).hex()
    connections = [
        Connection(server.dialect, sessions[i % len(sessions)], credential(f"user-{run}-{i}", is_guest=True), TAIL) for i in range(clients)
    ]
    with quiet_collector():
        window = Window([server.pid], store.pid, server.core)
        await open_all(server.port, connections)
        usage = window.end()
    close_all(connections)
    return usage
