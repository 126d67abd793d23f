"""Clients that come back, all at once, each knowing how far it had got.

Owns the seeding of sessions with what was missed, and the storm. Must not know the server. Every client has a credential that
the server has not seen before, as after the death of the replica that had.
"""

import asyncio
import os
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

from loadtests.bench.centrifugo import place_of_missed
from loadtests.bench.connection import Connection, LoadError, close_all, open_all
from loadtests.bench.dialect import TAIL, CentrifugoDialect, Dialect, credential
from loadtests.bench.loads.publish import DATA
from loadtests.bench.server import Server
from loadtests.bench.store import Redis
from loadtests.bench.window import Usage, Window, quiet_collector

AT_ONCE: Final = 100  # connections that are opening at any moment
STORM_S_MAX: Final = 60.0
CURSOR_START: Final = b'"cursor":"'


class Place(NamedTuple):
    session: str
    place: str


class Keeper(Connection):
    """Fills its session, and stays so that the server goes on serving it."""

    __slots__ = ("_acks", "_missed", "_session", "filled")

    def __init__(self, dialect: Dialect, session: str, missed: int) -> None:
        super().__init__(dialect, session, credential(f"user-{session}"), TAIL)
        self._session = session
        self._missed = missed
        self._acks = b""
        self.filled: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()

    def opened(self) -> None:
        self.transport.write(b"".join(self._dialect.publish(self._session, number, DATA) for number in range(self._missed + 1)))

    def received(self, data: bytes) -> None:
        if self.filled.done():
            return
        self._acks += data
        if self._acks.count(self._dialect.acknowledged) > self._missed:
            self.filled.set_result(self._acks)

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        if not self.filled.done():
            self.filled.cancel()


class Returner(Connection):
    """Comes back and is done when everything that it missed is there."""

    __slots__ = ("_missed", "back_at")

    def __init__(self, dialect: Dialect, place: Place, subject: str, missed: int) -> None:
        super().__init__(dialect, place.session, credential(subject, is_guest=True), place.place)
        self._missed = missed
        self.back_at = 0.0

    def _is_opening_whole(self, data: bytes) -> bool:
        return super()._is_opening_whole(data) and data.count(self._dialect.replayed) >= self._missed

    def opened(self) -> None:
        self.back_at = time.perf_counter()


@dataclass(frozen=True, slots=True)
class Resumed:
    usage: Usage
    clients: int

    @property
    def per_s(self) -> float:
        return self.clients / self.usage.seconds


async def seed(server: Server, sessions: int, missed: int) -> tuple[list[Keeper], list[Place]]:
    """Sessions with one event and what was missed after it, and where somebody stood before that."""
    run = os.urandom(4).hex()
    keepers = [Keeper(server.dialect, f"{run}-{i}", missed) for i in range(sessions)]
    await open_all(server.port, keepers)
    acks = await asyncio.gather(*(keeper.filled for keeper in keepers))
    places = [Place(f"{run}-{i}", _place(server, f"{run}-{i}", missed, acks[i])) for i in range(sessions)]
    return keepers, places


async def storm(server: Server, store: Redis, places: Sequence[Place], *, clients: int, missed: int) -> Resumed:
    """`clients` come back, spread evenly over the places. Raises LoadError."""
    run, loop = os.urandom(4).hex(), asyncio.get_running_loop()
    returners = [Returner(server.dialect, places[i % len(places)], f"user-{run}-{i}", missed) for i in range(clients)]
    gate = asyncio.Semaphore(AT_ONCE)

    async def come_back(one: Returner) -> None:
        async with gate:
            await loop.create_connection(lambda: one, "127.0.0.1", server.port)
            await one.ready

    with quiet_collector():
        window = Window([server.pid], store.pid, server.core)
        async with asyncio.timeout(STORM_S_MAX):
            await asyncio.gather(*map(come_back, returners))
        usage = window.end()
    wrong = [one for one in returners if not _is_recovered(one.opening)]
    close_all(returners)
    if wrong:
        raise LoadError(f"{len(wrong)} clients were not resumed: {wrong[0].opening[:200].decode('latin-1')}")
    return Resumed(usage, clients)


def _is_recovered(opening: bytes) -> bool:
    return b'"recovered":true' in opening or b"session.restored" in opening


def _place(server: Server, session: str, missed: int, acks: bytes) -> str:
    """The cursor of the event before the first that was missed, as the acknowledgements told."""
    if isinstance(server.dialect, CentrifugoDialect):
        return place_of_missed(server, session, missed)
    first = acks[acks.index(server.dialect.acknowledged) :] if missed else acks[acks.rindex(server.dialect.acknowledged) :]
    start = first.index(CURSOR_START) + len(CURSOR_START)
    return first[start : first.index(b'"', start)].decode()
