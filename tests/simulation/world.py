"""A world: replicas over one memory server, applications with client machines, and a script of what befalls them.

Owns who lives in it and its course: it runs its script, is healed, has time to converge, and hands over its history. Must not
judge: the oracle does.
"""

import asyncio
import gc
import random
from collections import Counter
from collections.abc import Callable, Coroutine, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

from tests.simulation.application import Application
from tests.simulation.client_recorder import Who
from tests.simulation.history import Fault, History
from tests.simulation.instrumented_server import InstrumentedServer, SmallPages
from tests.simulation.loop import SimulatedLoop
from tests.simulation.network import GRAIN_S, Line
from tests.simulation.oracle import Violation, explain, judge
from tests.simulation.replica import Parts, Replica, SimulatedClock, principal_of
from tests.simulation.tabs import Signal, Tab, problems_of
from tests.support.options import options as options_of

from anypod.client.machine.commands import Open
from anypod.core.errors import unavailable
from anypod.core.event import Receipt
from anypod.core.frames import PublishFrame
from anypod.core.identity import SessionId, SessionKey, TenantId
from anypod.hub.config import HubOptions
from anypod.memory_store import MemoryServer, MemoryStore
from anypod.store import SessionClass

HEARTBEAT_MS: Final = 10_000
SILENCE_MS: Final = 25_000
CONVERGENCE_S_MAX: Final = 150.0  # two silences and a whole back-off; who has not come back by then never will
LOST_ANSWERS: Final = 0.05  # of requests, whose connection breaks after they were carried out
GHOST_S: Final = 40.0  # silence, and the life of a dead replica: until nobody is left who is not there
SETTLE_S: Final = 3.0  # for what is still on its way when everybody is live

WORLDS_PER_COLLECTION: Final = 20  # about 20 MiB of them

Deed = Callable[["World"], None]
Script = Callable[[random.Random], Sequence[tuple[float, Deed]]]


@dataclass(frozen=True, slots=True)
class Making:
    """What a world is made of: the product's own parts, or what a test plants in their place."""

    parts: Parts = field(default_factory=Parts)
    server: type[InstrumentedServer] = InstrumentedServer
    store: Callable[[MemoryServer, int], MemoryStore] = SmallPages


@dataclass(frozen=True, slots=True)
class Outcome:
    """`problems`: what went wrong beside the histories, told by the world itself."""

    seed: int
    history: History
    violations: Sequence[Violation]
    problems: Sequence[str]
    steps: int
    seconds: float

    @property
    def is_good(self) -> bool:
        return not self.violations and not self.problems

    def report(self) -> str:
        told = [explain(violation, self.history.records) for violation in self.violations[:3]]
        return "\n\n".join([f"world {self.seed}; again with: python -m tests.simulation {self.seed}", *self.problems, *told])


class Attempt(NamedTuple):
    """An application that holds, or once held, the fence of a turn."""

    who: Who
    turn: str
    fence: int


class World:
    def __init__(self, rng: random.Random, making: Making) -> None:
        loop = asyncio.get_running_loop()
        self.rng = rng
        self.history = History(loop.time)
        self.problems: list[str] = []
        self.clock = SimulatedClock(loop)
        self.server = making.server(self.clock, rng, self.history)
        self.tasks: list[asyncio.Task[None]] = []
        self.texts: dict[str, str] = {}  # of messages, by id
        self.attempts: list[Attempt] = []
        self._making = making
        self._options = _options(rng)
        self._page_events_max = rng.choice((3, 10, 512))
        self.sessions = [SessionKey(TenantId("t"), SessionId(f"s{n}")) for n in range(rng.choice((1, 1, 2, 3)))]
        self.replicas = [self._replica(f"r{n}") for n in range(rng.randint(1, 3))]
        self.applications: dict[str, Application] = {}
        self.tabs: list[Tab] = []
        self.signals: list[Signal] = []

    async def live(self, script: Sequence[tuple[float, Deed]]) -> None:
        """`script`: deeds and how long to wait before each."""
        for replica in self.replicas:
            await replica.start()
        for number in range(self.rng.randint(2, 5)):
            self.begin(Who(f"c{number}", self.rng.choice(self.sessions)), after=None)
        for wait_s, deed in script:
            await asyncio.sleep(wait_s)
            deed(self)
        await self._heal()
        await self._converge()
        self._end()
        for replica in self.replicas:
            await replica.crash()

    # Who lives here.
    def begin(self, who: Who, after: str | None) -> None:
        """A life of an application; the one before it must have ended."""
        application = Application(who, after, self, self.history, rng=self.rng)
        self.applications[who.name] = application
        application.start()

    # The balancer: any replica that is up.
    def attach(self, line: Line, who: Who, stream: Open | None) -> str | None:
        replica = self.any_replica()
        if replica is None:
            return None
        if stream is None:
            replica.attach(who.key, principal_of(who.name), line)
        else:
            replica.stream(who.key, principal_of(who.name), line, stream)
        return replica.name

    async def post(self, who: Who, publish: PublishFrame, payload: bytes | None = None) -> Receipt:
        replica = self.any_replica()
        if replica is None:
            raise unavailable()
        receipt = await replica.post(who.key, principal_of(who.name), publish, payload)
        if not replica.is_up or self.rng.random() < LOST_ANSWERS:
            raise unavailable()  # as the client takes it: what became of the event is unknown
        return receipt

    def any_replica(self) -> Replica | None:
        up = [replica for replica in self.replicas if replica.is_up]
        return self.rng.choice(up) if up else None

    def _replica(self, name: str) -> Replica:
        store = self._making.store(self.server, self._page_events_max)
        return Replica(name, store, self.clock, self.rng, self._options(name), self._making.parts, is_queued=self.rng.random() < 0.5)

    async def bounce(self, index: int, away_s: float) -> None:
        """A replica crashes and another process takes its name."""
        crashed = self.replicas[index]
        if not crashed.is_up:
            return
        self.note(f"{crashed.name} crashes")
        await crashed.crash()
        self._look_at(crashed)
        await asyncio.sleep(away_s)
        self.replicas[index] = self._replica(crashed.name)
        await self.replicas[index].start()
        self.note(f"{crashed.name} is back")

    def spawn(self, work: Coroutine[Any, Any, None]) -> None:
        self.tasks.append(asyncio.get_running_loop().create_task(work))

    def after(self, wait_s: float, deed: Callable[[], None]) -> None:
        async def wait() -> None:
            await asyncio.sleep(wait_s)
            deed()

        self.spawn(wait())

    def note(self, what: str) -> None:
        self.history.note(Fault(self.history.now(), what))

    def anyone(self) -> Application:
        """Any application; a killed one begins again first."""
        application = self.rng.choice(list(self.applications.values()))
        if application.has_vanished:
            self.begin(application.who, after=None)
        return self.applications[application.who.name]

    def new_id(self, text: str = "") -> str:
        event_id = f"e{len(self.texts)}"
        self.texts[event_id] = text
        return event_id

    # The end.
    async def _heal(self) -> None:
        self.server.make_peace()
        while pending := [task for task in self.tasks if not task.done()]:
            await asyncio.gather(*pending)
        self.server.make_peace()  # again: a copy from before may have been promoted meanwhile
        self.note("the world is healed")

    async def _converge(self) -> None:
        """Until everybody is at rest. A session that has ended is found out by the next heartbeat but one."""
        until = self.clock.now() + CONVERGENCE_S_MAX
        await asyncio.sleep(GHOST_S if self.tabs else 0)
        await asyncio.sleep(2 * HEARTBEAT_MS / 1000 if self.server.endings else 0)
        while self.clock.now() < until and not self._is_at_rest():
            for application in list(self.applications.values()):
                if application.has_vanished or application.was_told_to_stop:
                    self.begin(application.who, after=application.seen.cursors[-1] if application.seen.cursors else None)
            await asyncio.sleep(0.5)
        await asyncio.sleep(2 * HEARTBEAT_MS / 1000 if self.tabs else SETTLE_S)

    def _is_at_rest(self) -> bool:
        return all(application.is_at_rest for application in self.applications.values()) and all(tab.is_at_rest for tab in self.tabs)

    def _end(self) -> None:
        self.server.testify()
        for application in self.applications.values():
            application.finish()
            if application.phase != "live" and not application.has_read_to_the_end:
                self.problems.append(f"{application.who.name} ends as {application.described_phase}")
        devices = Counter(name for replica in self.replicas for name in replica.devices())
        self.problems += problems_of(self.tabs, self.signals, devices)
        for replica in self.replicas:
            self._look_at(replica)

    def _look_at(self, replica: Replica) -> None:
        if replica.metrics.errors["internal"]:
            self.problems.append(f"{replica.name} counted an internal error")


def _options(rng: random.Random) -> Callable[[str], HubOptions]:
    """One shape for all replicas of a world."""
    session_class = SessionClass(
        "chat",
        ttl_ms=rng.choice((8_000, 600_000, 600_000)),
        live_ms=5_000,
        retain_events=rng.choice((None, None, 12)),
        fold_after_ms=rng.choice((3_000, 10_000)),
    )
    tail_bytes_max, linger_s = rng.choice((1_500, 1 << 20)), rng.choice((1.0, 30.0))

    def options(name: str) -> HubOptions:
        return options_of(
            name,
            classes={"chat": session_class},
            heartbeat_ms=HEARTBEAT_MS,
            silence_ms=SILENCE_MS,
            tail_bytes_max=tail_bytes_max,
            unwritable_s_max=8.0,
            linger_s=linger_s,
        )

    return options


def run_many(seeds: Iterable[int], script: Script, making: Making | None = None) -> Iterator[Outcome]:
    """Many worlds, one after another. What a world leaves behind is cyclic: it is collected by the dozen, not in the middle of one."""
    gc.collect()
    gc.freeze()
    gc.disable()
    try:
        for count, seed in enumerate(seeds):
            yield run(seed, script, making)
            if count % WORLDS_PER_COLLECTION == 0:
                gc.collect()
    finally:
        gc.enable()
        gc.unfreeze()


def run(seed: int, script: Script, making: Making | None = None) -> Outcome:
    """One world, from its seed alone."""
    rng = random.Random(seed)
    loop = SimulatedLoop(random.Random(rng.getrandbits(64)))
    worlds: list[World] = []

    async def main() -> None:
        world = World(rng, making or Making())
        worlds.append(world)
        await world.live(script(rng))

    problems: list[str] = []
    try:
        loop.run(main())
    except AssertionError as exc:
        problems.append(f"{type(exc).__name__}: {exc}")
    history = worlds[0].history if worlds else History(loop.time)
    problems += worlds[0].problems if worlds else []
    return Outcome(seed, history, judge(history.records), problems, loop.steps, loop.time())


def grains(rng: random.Random, seconds_max: float) -> float:
    """A wait of at most so long, on the grid of the network's delays, often none."""
    return 0.0 if rng.random() < 0.3 else GRAIN_S * rng.randint(1, int(seconds_max / GRAIN_S))
