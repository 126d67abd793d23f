"""What a row works with: the store, the servers, and how much is to be measured.

Owns the servers' lives: they are started for a row and stopped after it, so that no row finds what another has
left. Must not know the rows.
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TypeVar

from loadtests.bench.centrifugo import centrifugo
from loadtests.bench.cores import Cores
from loadtests.bench.dialect import PlainDialect
from loadtests.bench.outcome import Check, Sample
from loadtests.bench.process import ProcessError
from loadtests.bench.scale import Scale
from loadtests.bench.server import Server, anypod, plain
from loadtests.bench.source import Source
from loadtests.bench.store import Redis

T = TypeVar("T")

NO_CENTRIFUGO = "there is no Centrifugo to compare with: put it on PATH, or name it by --centrifugo"


@dataclass(frozen=True, slots=True)
class Absent:
    """A reference that cannot be measured. It is said in the report, never left out."""

    reason: str


@dataclass(frozen=True, slots=True)
class Bench:
    """`centrifugo`: its program, None where there is none. `source`: whose code our replicas run, where it is not this tree's.

    `on_start` is told the pid of every replica of ours that starts.
    """

    cores: Cores
    scale: Scale
    folder: Path
    redis: Path
    centrifugo: Path | None
    on_start: Callable[[int], None] = field(default=lambda pid: None)
    source: Source | None = None

    @contextmanager
    def store(self) -> Iterator[Redis]:
        store = Redis(self.redis, self.folder, self.cores.client)
        store.start()
        try:
            yield store
        finally:
            store.stop()

    @contextmanager
    def ours(self, store: Redis, name: str = "replica-1", **settings: str) -> Iterator[Server]:
        server = anypod(name, store, self.folder, self.cores.server, self.source, **settings)
        server.on_start = self.on_start
        with _running(server):
            yield server

    @contextmanager
    def theirs(self, store: Redis) -> Iterator[Server | Absent]:
        """Centrifugo."""
        if self.centrifugo is None:
            yield Absent(NO_CENTRIFUGO)
            return
        server = centrifugo(self.centrifugo, store, self.folder, self.cores.server)
        try:
            server.start()
        except (ProcessError, OSError) as error:
            yield Absent(f"Centrifugo does not start: {error}")
            return
        try:
            yield server
        finally:
            server.stop()

    @contextmanager
    def plain(self) -> Iterator[Server]:
        with _running(plain(PlainDialect(), self.folder, self.cores.server)) as server:
            yield server

    @contextmanager
    def pair(self) -> Iterator[tuple[Redis, Server, Server | Absent]]:
        """The store, ours, and Centrifugo."""
        with self.store() as store, self.ours(store) as ours, self.theirs(store) as theirs:
            yield store, ours, theirs


@contextmanager
def _running(server: Server) -> Iterator[Server]:
    server.start()
    try:
        yield server
    finally:
        server.stop()


Measure = Callable[[], Awaitable[Sequence[Sample]]]  # one sample for each check of the row, in their order


@dataclass(frozen=True, slots=True)
class Sides:
    """How each side of a row is measured once. `theirs` None: there is nothing to compare with."""

    ours: Measure
    theirs: Measure | Absent | None = None


@dataclass(frozen=True, slots=True)
class Row:
    """`reference`: what the other side is called. `open` sets everything up; what it yields may be measured again and again."""

    name: str
    title: str
    reference: str
    checks: tuple[Check, ...]
    open: Callable[[Bench], AbstractAsyncContextManager[Sides]]


Load = Callable[[Server, Redis, Scale], Awaitable[Sequence[Sample]]]


def beside_centrifugo(load: Load) -> Callable[[Bench], AbstractAsyncContextManager[Sides]]:
    """The same load on both, which run all the time and are loaded in turns."""

    @asynccontextmanager
    async def sides(bench: Bench) -> AsyncIterator[Sides]:
        with bench.pair() as (store, ours, theirs):
            yield Sides(partial(load, ours, store, bench.scale), unless_absent(theirs, load, store, bench.scale))

    return sides


def unless_absent(theirs: T | Absent, load: Callable[..., Awaitable[Sequence[Sample]]], *given: object) -> Measure | Absent:
    """The load on the reference, if there is one."""
    return theirs if isinstance(theirs, Absent) else partial(load, theirs, *given)
