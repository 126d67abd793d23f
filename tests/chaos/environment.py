"""What a crowd meets: Redis servers, replicas, and a proxy on every link between them.

Owns the processes and the proxies, their start and their end. Must not know what is done to them, nor who the clients are.
"""

import asyncio
import os
import random
import signal
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, ExitStack, asynccontextmanager, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Final, Literal, assert_never, get_args

from tests.chaos.cluster_setup import sharded
from tests.chaos.fault_catalogue import Topology
from tests.chaos.history import History
from tests.chaos.link import Link, joined
from tests.chaos.log_reconstruction import LogReconstruction
from tests.chaos.proxied_redis import CONNECT_S_MAX, ProxiedRedis, carried
from tests.chaos.proxy import Joined, Proxy, everything
from tests.chaos.sentinel_setup import guarded
from tests.chaos.stores import ClusterStores, SentinelStores, Setting, SingleStores, Stores, binary, made, single
from tests.chaos.wall_clock import WallClock
from tests.support.redis_servers import RedisServer, free_port
from tests.support.replica_process import Replica

CALLERS: Final = ("replica-0", "replica-1", "replica-2")  # the replicas, as Redis and its gates know them
LONER: Final = CALLERS[0]  # whom the far side of a partition is left to
CLOCKED: Final = CALLERS[-1]  # whose clock can be stepped
POLL_S: Final = 0.05
READY_S_MAX: Final = 60.0  # of a start, on a machine that does much else
SETTINGS: Final[Mapping[str, str]] = {
    "events_per_session_max": "1000000",  # a run writes on and on, and nothing may be trimmed
    "deltas_per_session_max": "1000000",
    "session_classes": '{"chat": {"fold_after_ms": 3000}}',  # so that readers who come back find parts folded
    "heartbeat_ms_max": "2000",  # a silent link is found within 9 s: a run has many
    "unwritable_s_max": "4",  # for the same reason
    "max_stream_s": "60",  # streams end by themselves too
}
NO_SETTINGS: Final[Mapping[str, str]] = {}
Clocked = Literal["redis", "replica"]
Clocks = Mapping[Clocked, WallClock]
CLOCKS: Final[tuple[Clocked, ...]] = get_args(Clocked)
Side = Literal["near", "far"]  # of a partition, if there is one
SIDES: Final[tuple[Side, ...]] = get_args(Side)


class ClockedReplica(Replica):
    """It reads the time from a clock of ours."""

    def __init__(self, name: str, settings: Mapping[str, str], directory: Path, clock: WallClock | None) -> None:
        super().__init__(name, settings, directory)
        self._variables = {**self._variables, **(clock.variables if clock is not None else {})}


class Environment:
    """`fronts`: clients to replicas, by the side that their session is on. `clocks`: those that can be stepped."""

    def __init__(self, setting: Setting, stores: Stores, clocks: Clocks, settings: Mapping[str, str]) -> None:
        self.rng = setting.rng
        self.stores = stores
        self.clocks = clocks
        self._loop = asyncio.get_running_loop()
        self._began = self._loop.time()
        self.journal = LogReconstruction([gate.server for gate in stores.gates], [gate.server for gate in stores.written], self.now)
        self.ledger = History(self.journal, self.now)
        logs = made(setting.folder / "logs")
        self.replicas = [
            ClockedReplica(
                name, {**SETTINGS, **settings, "redis_url": stores.url(name)}, logs, clocks.get("replica") if name == CLOCKED else None
            )
            for name in CALLERS
        ]
        self.fronts = {side: Proxy(free_port(), self._dialler(side), setting.rng) for side in SIDES}
        self.is_parted = False
        self.resumes: list[float] = []  # seconds without a primary, from its death or the partition to the next event
        self._turn = 0

    def now(self) -> float:
        """Seconds of the history."""
        return self._loop.time() - self._began

    @property
    def topology(self) -> Topology:
        match self.stores:
            case SentinelStores():
                return "sentinel"
            case ClusterStores():
                return "cluster"
            case _:
                return "single"

    def url_for(self, session: str) -> str:
        return f"http://127.0.0.1:{self.fronts[side_of(session)].port}"

    @asynccontextmanager
    async def running(self) -> AsyncIterator["Environment"]:
        """Everything is up inside, and gone afterwards."""
        with ExitStack() as stack:
            stack.callback(self.journal.close)
            stack.callback(self._end_replicas)
            async with carried(list(self.fronts.values())):
                keeping = [asyncio.ensure_future(self._keep(replica)) for replica in self.replicas]
                try:
                    await self.until_ready()
                    yield self
                finally:
                    await _cancel(keeping)

    async def until_ready(self) -> None:
        """All replicas are."""
        async with asyncio.timeout(READY_S_MAX):
            for replica in self.replicas:
                while not (replica.is_running and await asyncio.to_thread(replica.is_ready)):  # noqa: ASYNC110 - another process changes it
                    await asyncio.sleep(POLL_S)

    async def _keep(self, replica: Replica) -> None:
        """As an orchestrator does: whoever has died is started again."""
        while True:
            if not replica.is_running:
                replica.start(is_awaited=False)
            await asyncio.sleep(POLL_S)

    def failures(self) -> list[str]:
        """Lines that no replica should write, of all of them."""
        return [line for replica in self.replicas for line in replica.failures()]

    def _end_replicas(self) -> None:
        for replica in self.replicas:
            replica.kill()

    # What deeds are done to.
    def some_gate(self, rng: random.Random) -> ProxiedRedis:
        """To one of the servers that are written to."""
        return rng.choice(self.stores.written)

    def some_session(self, rng: random.Random) -> str:
        return rng.choice(sorted(self.journal.heads))

    def home(self, session: str) -> ProxiedRedis:
        return self.stores.gate_of(self.journal.homes[session])

    @contextmanager
    def frozen(self, pid: int) -> Iterator[None]:
        os.kill(pid, signal.SIGSTOP)
        try:
            yield
        finally:
            os.kill(pid, signal.SIGCONT)

    @contextmanager
    def configured(self, server: RedisServer, settings: Mapping[str, str | int], usual: Mapping[str, str | int]) -> Iterator[None]:
        for name, value in settings.items():
            server.command("CONFIG", "SET", name, value)
        try:
            yield
        finally:
            for name, value in usual.items():
                server.command("CONFIG", "SET", name, value)

    @contextmanager
    def gates_shut(self, gates: Iterable[ProxiedRedis]) -> Iterator[None]:
        """Nobody reaches these servers: what they hold can be looked at before anybody writes again."""
        with ExitStack() as stack:
            for gate in gates:
                stack.enter_context(gate.proxy.shut())
            yield

    @contextmanager
    def parted(self) -> Iterator[None]:
        """Clients of the far side reach one replica alone, and those of the near side the others. All begin with a new connection."""
        self.is_parted = True
        for front in self.fronts.values():
            front.cut(everything)
        try:
            yield
        finally:
            self.is_parted = False

    # Ways.
    def _dialler(self, side: Side) -> Joined:
        async def dial(link: Link) -> bool:
            """The next one that accepts, as a balancer without a memory does."""
            self._turn += 1
            at_hand = [replica for replica in self.replicas if not self.is_parted or (replica.name == LONER) == (side == "far")]
            for offset in range(len(at_hand)):
                if await joined(link, at_hand[(self._turn + offset) % len(at_hand)].port, CONNECT_S_MAX):
                    return True
            return False

        return dial


def side_of(session: str) -> Side:
    """Of a partition. Halls and rooms are on both."""
    return "far" if session.endswith(("1", "2")) else "near"


@asynccontextmanager
async def stage_of(
    topology: Topology, folder: Path, rng: random.Random, *, is_clocked: bool = False, settings: Mapping[str, str] = NO_SETTINGS
) -> AsyncIterator[Environment]:
    """A stage that is up inside, and gone afterwards. `is_clocked`: a replica's clock can be stepped, and that of a single Redis.

    `settings`: of the replicas, beside SETTINGS.
    """
    clocks = {name: WallClock(folder / f"clock-of-{name}") for name in CLOCKS} if is_clocked else {}
    setting = Setting(folder, rng, CALLERS, binary())
    async with _stores(topology, setting, clocks) as stores, Environment(setting, stores, clocks, settings).running() as stage:
        yield stage


def _stores(
    topology: Topology, setting: Setting, clocks: Clocks
) -> AbstractAsyncContextManager[SingleStores | SentinelStores | ClusterStores]:
    match topology:
        case "single":
            return single(replace(setting, binary=clocks["redis"].wrapped(setting.binary)) if clocks else setting)
        case "sentinel":
            return guarded(setting)
        case "cluster":
            return sharded(setting)
        case _:
            assert_never(topology)


async def _cancel(tasks: Sequence["asyncio.Future[None]"]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
