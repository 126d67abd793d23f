"""`python -m loadtests.storm`: everybody is cut at once and comes back at once, the worst that clients can do to a replica.

Owns the crowd, the publishers beside it, and what both see. The replica is `anypod serve` with its own limits on arrivals: whoever
is told to come again later does so then, as clients do. Prints the time until the last one is back beside the time that the
limits promise, and the publishers' 99th percentile before and during the storm; fails when either is beyond its bound.
"""

import argparse
import asyncio
import json
import os
import re
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import uvloop
from loadtests.bench.__main__ import raise_file_limit, say
from loadtests.bench.connection import Connection, Counter, close_all, open_all
from loadtests.bench.cores import choose_cores
from loadtests.bench.dialect import NOWHERE, AnypodDialect, Dialect, credential
from loadtests.bench.loads.publish import DATA
from loadtests.bench.loads.resume import Place, seed
from loadtests.bench.server import Server, anypod
from loadtests.bench.store import Redis, find_redis

from anypod.cli.demo.tally import percentile
from anypod.cli.dev.ports import LOOPBACK
from anypod.core.admission import BURST_S
from anypod.hub.options import Arrivals

SESSIONS: Final = 50
PUBLISHERS: Final = 20
PUBLISH_EVERY_S: Final = 0.04  # by each: 500 events a second in all
CALM_S: Final = 5.0
STORM_S_MAX: Final = 120.0
P99_RATIO_MAX: Final = 2.0
P99_FLOOR_MS: Final = 5.0  # below it twice as much is noise: one turn of a busy loop
SLACK: Final = 1.25  # hints differ by a tenth
CONNECT_S: Final = 1.0  # for thousands of connections to be made, by one process
_HINT: Final = re.compile(rb"retry_after_ms=(\d+)")


class Returner(Connection):
    """Comes back, again and again if it is told to, until it is served."""

    __slots__ = ("hint_ms",)

    def __init__(self, dialect: Dialect, place: Place, subject: str) -> None:
        super().__init__(dialect, place.session, credential(subject, is_guest=True), place.place)
        self.hint_ms = 0

    def data_received(self, data: bytes) -> None:
        if not self.is_open and (hint := _HINT.search(data)):
            self.hint_ms = int(hint[1])
            self.transport.abort()
        else:
            super().data_received(data)


class Pacer(Connection):
    """Publishes one event at a time, at a steady pace, and notes how long each took."""

    __slots__ = ("_acks", "_sent", "_sent_at", "_session", "waits_ms")

    def __init__(self, dialect: Dialect, session: str) -> None:
        super().__init__(dialect, session, credential(f"user-{session}"), NOWHERE)
        self._session = session
        self._acks = Counter(dialect.acknowledged)
        self._sent = 0
        self._sent_at = 0.0
        self.waits_ms: list[float] = []

    def send(self) -> None:
        if self._sent == self._acks.count:
            self._sent += 1
            self._sent_at = time.perf_counter()
            self.transport.write(self._dialect.publish(self._session, self._sent, DATA))

    def received(self, data: bytes) -> None:
        if self._acks.feed(data):
            self.waits_ms.append((time.perf_counter() - self._sent_at) * 1_000)


async def publish_steadily(pacers: Sequence[Pacer]) -> None:
    """Until cancelled; spread evenly over the interval."""
    while True:
        for pacer in pacers:
            pacer.send()
            await asyncio.sleep(PUBLISH_EVERY_S / len(pacers))


async def come_back(port: int, dialect: Dialect, place: Place, subject: str) -> tuple[Returner, int]:
    """Until it is served; how often it was told to come again later."""
    loop, refused = asyncio.get_running_loop(), 0
    while True:
        one = Returner(dialect, place, subject)
        one.ready.add_done_callback(lambda ready: ready.exception())
        await loop.create_connection(lambda one=one: one, LOOPBACK, port)  # type: ignore[misc]
        await asyncio.wait([one.ready])
        if one.is_open:
            return one, refused
        refused += 1
        await asyncio.sleep(one.hint_ms / 1_000)


async def crowd(port: int, places: Sequence[Place], clients: int) -> None:
    """The other process: attach, say so, wait for the word, be cut, come back, tell how long it took. Its work is not the publishers'."""
    dialect, run_id = AnypodDialect(), os.urandom(4).hex()
    spread = [(places[i % len(places)], f"{run_id}-{i}") for i in range(clients)]
    attached = [Returner(dialect, place, subject) for place, subject in spread]
    await open_all(port, attached)
    print("attached", flush=True)
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.readline)
    began = time.perf_counter()
    close_all(attached)
    async with asyncio.timeout(STORM_S_MAX):
        back = await asyncio.gather(*(come_back(port, dialect, place, subject) for place, subject in spread))
    took_s = time.perf_counter() - began
    print(json.dumps({"took_s": took_s, "told": sum(refused > 0 for _, refused in back)}), flush=True)
    close_all([one for one, _ in back])


async def run(server: Server, clients: int, arrivals: Arrivals) -> bool:
    """Whether both bounds held."""
    keepers, places = await seed(server, SESSIONS, 0)
    run_id = os.urandom(4).hex()
    pacers = [Pacer(server.dialect, f"{run_id}-{i}") for i in range(PUBLISHERS)]
    await open_all(server.port, pacers)
    say(f"{clients:,} clients come to {SESSIONS} sessions …")
    command = (sys.executable, "-m", "loadtests.storm", "--clients", str(clients), "--crowd", json.dumps([server.port, places]))
    other = await asyncio.create_subprocess_exec(*command, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE)
    assert other.stdin is not None
    assert other.stdout is not None
    await other.stdout.readline()
    publishing = asyncio.create_task(publish_steadily(pacers))
    await asyncio.sleep(CALM_S)
    calm_ms = _p99_ms(pacers)
    say("all of them are cut, and come back …")
    other.stdin.write(b"now\n")
    told = json.loads(await other.stdout.readline())
    storm_ms = _p99_ms(pacers)
    publishing.cancel()
    close_all([*keepers, *pacers])
    await other.wait()
    promised_s = max(0.0, clients / arrivals.resumes_per_s - BURST_S)
    say(f"all {clients:,} are back after {told['took_s']:.2f} s; promised: {promised_s:.2f} s; told to come again later: {told['told']:,}")
    say(f"publishers' p99: {calm_ms:.1f} ms before, {storm_ms:.1f} ms during the storm")
    return _judge(told["took_s"], promised_s, calm_ms, storm_ms)


def _p99_ms(pacers: Sequence[Pacer]) -> float:
    """Of what was noted since the last look."""
    waits = [wait for pacer in pacers for wait in pacer.waits_ms]
    for pacer in pacers:
        pacer.waits_ms.clear()
    return percentile(waits, 99)


def _judge(took_s: float, promised_s: float, calm_ms: float, storm_ms: float) -> bool:
    is_back = took_s <= promised_s * SLACK + CONNECT_S
    is_served = storm_ms <= max(P99_FLOOR_MS, P99_RATIO_MAX * calm_ms)
    if not is_back:
        say("FAILED: they were back later than the limits promise")
    if not is_served:
        say("FAILED: the publishers waited more than twice as long as before")
    return is_back and is_served


def main() -> int:
    parser = argparse.ArgumentParser(prog="loadtests.storm", description=__doc__)
    parser.add_argument("--clients", type=int, default=2_000)
    parser.add_argument("--crowd", help=argparse.SUPPRESS)  # what the other process is told: the port and the places
    given = parser.parse_args()
    raise_file_limit()
    if given.crowd is not None:
        port, places = json.loads(given.crowd)
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(crowd(port, [Place(*place) for place in places], given.clients))
        return 0
    program = find_redis()
    if program is None:
        say("this needs redis-server on PATH")
        return 2
    cores, arrivals = choose_cores(), Arrivals()
    limits = {
        "accepts_per_s": f"{arrivals.accepts_per_s:g}",
        "resumes_per_s": f"{arrivals.resumes_per_s:g}",
        "fresh_attaches_per_s": f"{arrivals.fresh_per_s:g}",
        "tenant_attaches_per_s": f"{arrivals.tenant_per_s:g}",
        "subject_attaches_per_s": f"{arrivals.subject_per_s:g}",
    }
    os.sched_setaffinity(0, {cores.client})
    with tempfile.TemporaryDirectory(prefix="anypod-storm-") as folder:
        store = Redis(program, Path(folder), cores.client)
        server = anypod("storm", store, Path(folder), cores.server, **limits)
        store.start()
        try:
            server.start()
            with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
                return 0 if runner.run(run(server, given.clients, arrivals)) else 1
        finally:
            server.stop()
            store.stop()


if __name__ == "__main__":
    sys.exit(main())
