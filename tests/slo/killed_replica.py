"""A replica is killed under load, and its clients come back to the others.

Owns the clients, the kill and what is counted. Must not know how clients find their way. Each session has a client of every
transport, and everybody publishes the time: who reads it knows how long it took, because all of them have one clock.
"""

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Literal

import aiohttp
from tests.slo.bound import Bound
from tests.slo.publishing import CLOCK

from anypod.client import Event, Phase, Session, open_http
from anypod.core.statistics import percentile
from anypod.devcluster.cluster import ClusterPlan, DevCluster
from anypod.devcluster.credentials import reader_credential

Transport = Literal["websocket", "sse", "poll"]

TRANSPORTS: Final[tuple[Transport, ...]] = ("websocket", "sse", "poll")
PUBLISH_EVERY_S: Final = 2.0  # by each client
CALM_S: Final = 4.0
WATCH_S: Final = 12.0  # from the kill on: longer than the longest recovery that is allowed
MOST_BACK_S_MAX: Final = 3.0
ALL_BACK_S_MAX: Final = 10.0
DELIVERY_S_MAX: Final = 0.25
ATTACH_S_MAX: Final = 60.0
POLL_S: Final = 0.05


@dataclass(eq=False)
class Client:
    """`took`: of each event that came, when and how many seconds after it was published, and by whom."""

    index: int
    session: Session
    is_live: bool = False
    cut_at: float | None = None
    recoveries_s: list[float] = field(default_factory=list)
    was_cut: bool = False
    took: list[tuple[int, float]] = field(default_factory=list)

    def note(self, phase: Phase) -> None:
        now = CLOCK.now()
        if phase.name == "live" and self.cut_at is not None:
            self.recoveries_s.append(now - self.cut_at)
            self.cut_at = None
        elif phase.name != "live" and self.is_live:
            self.cut_at, self.was_cut = now, True
        self.is_live = phase.name == "live"

    async def read(self) -> None:
        async for item in self.session:
            if isinstance(item, Event):
                self.took.append((item.data["from"], CLOCK.now() - item.data["at"]))

    async def publish(self, after_s: float) -> None:
        await CLOCK.sleep(after_s)
        while True:
            await CLOCK.sleep(PUBLISH_EVERY_S)
            await self.session.publish("message", {"from": self.index, "at": CLOCK.now()})


@dataclass(frozen=True)
class Killed:
    """`calm_p99_s`, `unaffected_p99_s`: of deliveries between clients that were not cut, before the kill and after it."""

    clients: int
    cut: int
    back: int
    recoveries_s: tuple[float, ...]
    calm_p99_s: float
    unaffected_p99_s: float
    ready_s: float

    def __str__(self) -> str:
        took = self.recoveries_s
        return (
            f"of {self.clients} clients {self.cut} were cut, {self.back} are back: p50 {percentile(took, 50):.2f} s, "
            f"p99 {percentile(took, 99):.2f} s, the last after {max(took):.2f} s; deliveries of the others: p99 "
            f"{self.calm_p99_s * 1e3:.0f} ms before, {self.unaffected_p99_s * 1e3:.0f} ms after; the replica is ready again after "
            f"{self.ready_s:.1f} s"
        )

    def bounds(self, *, is_alone: bool) -> list[Bound]:
        """`is_alone`: on the machine; beside other tests deliveries are only compared with those before."""
        return [
            Bound("clients that are not back", self.cut - self.back, 0),
            Bound("seconds until 99 % were back", percentile(self.recoveries_s, 99), MOST_BACK_S_MAX),
            Bound("seconds until all were back", max(self.recoveries_s), ALL_BACK_S_MAX),
            Bound(
                "seconds of a delivery to the others, p99",
                self.unaffected_p99_s,
                DELIVERY_S_MAX if is_alone else max(1.0, 4 * self.calm_p99_s),
            ),
        ]


async def kill(folder: Path, clients: int) -> Killed:
    cluster = DevCluster(ClusterPlan(folder / "data"), CLOCK, lambda line: None)
    async with cluster.running(), open_http() as http, _crowd(http, cluster.row.url, clients) as crowd:
        await CLOCK.sleep(2 * PUBLISH_EVERY_S)  # until all of them publish
        for client in crowd:
            client.took.clear()
        await CLOCK.sleep(CALM_S)
        calm = [took for client in crowd for _, took in client.took]
        for client in crowd:
            client.took.clear()
        victim = cluster.replicas[0]
        assert victim.child.pid is not None
        os.kill(victim.child.pid, signal.SIGKILL)
        began = CLOCK.now()
        while victim.child.pid is None or not await victim.is_ready():
            assert CLOCK.now() - began < ATTACH_S_MAX, "it does not come back"
            await CLOCK.sleep(POLL_S)
        ready_s = CLOCK.now() - began
        await CLOCK.sleep(max(0.0, began + WATCH_S - CLOCK.now()))
        return _counted(crowd, calm, ready_s)


def _counted(crowd: list[Client], calm: list[float], ready_s: float) -> Killed:
    cut = [client for client in crowd if client.was_cut]
    unaffected = [took for one in crowd if not one.was_cut for by, took in one.took if not crowd[by].was_cut]
    recoveries = tuple(took for client in cut for took in client.recoveries_s)
    back = sum(client.cut_at is None for client in cut)
    return Killed(len(crowd), len(cut), back, recoveries, percentile(calm, 99), percentile(unaffected, 99), ready_s)


@asynccontextmanager
async def _crowd(http: aiohttp.ClientSession, url: str, clients: int) -> AsyncIterator[list[Client]]:
    """All of them attached; they read and publish for as long as the block runs."""
    crowd: list[Client] = []
    async with asyncio.TaskGroup() as tasks:
        running = [tasks.create_task(_live(http, url, crowd)) for _ in range(clients)]
        async with asyncio.timeout(ATTACH_S_MAX):
            while len(crowd) < clients or not all(client.is_live for client in crowd):
                await CLOCK.sleep(POLL_S)
        running += [tasks.create_task(client.publish(client.index / clients * PUBLISH_EVERY_S)) for client in crowd]
        try:
            yield crowd
        finally:
            for task in running:
                task.cancel()


async def _live(http: aiohttp.ClientSession, url: str, crowd: list[Client]) -> None:
    index = len(crowd)
    of_session, place = divmod(index, len(TRANSPORTS))
    name = f"killed-{of_session}"
    # Turned a little for each session: the balancer deals in turn, and would else give all streams to one replica.
    transport = TRANSPORTS[(place + of_session) % len(TRANSPORTS)]

    def note(phase: Phase) -> None:
        client.note(phase)

    session = Session(url, name, credential=reader_credential(name), transport=transport, on_phase=note, http=http)
    client = Client(index, session)
    crowd.append(client)
    async with session:
        await client.read()
