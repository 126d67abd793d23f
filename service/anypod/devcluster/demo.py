"""The proof: one client reads, one publishes, and the reader's replica is killed under it, again and again.

Owns the course of it. Must not know how clients resume: it watches them do it.
"""

import asyncio
import os
import signal
import sys
from collections.abc import Awaitable, Callable
from itertools import cycle
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from anypod.client import Attached, Event, Phase, Session
from anypod.clock import Clock, SystemClock, system_random
from anypod.core.errors import AnypodError
from anypod.core.identity import SESSION_ID_BYTES, new_session_id
from anypod.devcluster.cluster import ClusterPlan, DevCluster
from anypod.devcluster.credentials import reader_credential
from anypod.devcluster.demo_publisher import TALK, converse, demo_session
from anypod.devcluster.tally import Tally
from anypod.interrupt import until_signalled

WORD_S: Final = 0.01  # faster than a model writes: more events in flight at each kill
STREAM_S: Final = 1.0  # of undisturbed streaming before each kill
ROUND_S_MAX: Final = 60.0  # a client comes back within seconds; longer is a failure to show, not to wait for
POLL_S: Final = 0.02


async def run(kills: int, redis_url: str | None) -> Tally | None:
    """None: it was interrupted before it was done."""
    clock = SystemClock()
    console = Console(stderr=True)
    tally = Tally()
    is_done = False

    async def prove(cluster: DevCluster) -> None:
        nonlocal is_done
        console.print(f"Starting {'Redis, ' if redis_url is None else ''}replicas and a balancer for this demonstration …")
        async with cluster.running():
            console.print("One client publishes a conversation, another reads it, and the reader's replica is killed:")
            await Proof(cluster, clock, tally).course(kills, console)
        is_done = True

    with TemporaryDirectory(prefix="anypod-demo-") as folder:
        cluster = DevCluster(ClusterPlan(Path(folder) / "data", redis_url=redis_url), clock, lambda line: None)
        await until_signalled(prove(cluster), force=cluster.kill)
    return tally if is_done else None


class Proof:
    def __init__(self, cluster: DevCluster, clock: Clock, tally: Tally) -> None:
        self._cluster = cluster
        self._clock = clock
        self._tally = tally
        self._name = new_session_id(system_random().randbytes(SESSION_ID_BYTES))
        self._replica = ""  # the one that serves the reader
        self._live_at_s: float | None = None  # since when the reader is up to date, None while it is not
        self._is_over = False

    async def course(self, kills: int, console: Console) -> None:
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
        with Progress(*columns, console=console, disable=not sys.stderr.isatty()) as progress:
            bar = progress.add_task("Killing the reader's replica", total=kills)
            async with asyncio.TaskGroup() as tasks:
                reading = tasks.create_task(self._read())
                await self._until(lambda: self._live_at_s is not None, "the client attaches")
                publishing = tasks.create_task(self._publish())
                for number in range(1, kills + 1):
                    name = await self._kill_one()
                    took_s = self._tally.recoveries_s[-1]
                    console.print(f"{number}. killed {name}: the reader was up to date again on {self._replica} after {took_s:.2f} s")
                    progress.advance(bar)
                self._is_over = True
                await publishing
                await self._until(lambda: not self._tally.lost, "the client receives what is missing", must=False)
                reading.cancel()

    async def _read(self) -> None:
        session = Session(
            self._cluster.row.url,
            self._name,
            credential=reader_credential(self._name),
            fold=False,
            on_attached=self._note_replica,
            on_phase=self._note_phase,
        )
        async with session:
            async for item in session:
                if not isinstance(item, Event):
                    raise AnypodError("internal", f"the client was reset ({item.reason}), which a replica's death is no reason for")
                self._tally.receive(item.id, item.seq)

    async def _publish(self) -> None:
        async with demo_session(self._cluster.row.url, self._name) as session:
            for question, answer in cycle(TALK):
                self._tally.acknowledged.update(await converse(session, question, answer, self._clock, word_s=WORD_S))
                if self._is_over:
                    return

    def _note_replica(self, attached: Attached) -> None:
        self._replica = attached.replica

    def _note_phase(self, phase: Phase) -> None:
        self._live_at_s = self._clock.now() if phase.name == "live" else None

    async def _kill_one(self) -> str:
        """The name of the replica."""
        before = self._tally.last_seq
        await self._until(lambda: self._live_at_s is not None and self._tally.last_seq > before, "the client reads")
        await self._clock.sleep(STREAM_S)
        replica = next(replica for replica in self._cluster.replicas if replica.name == self._replica)
        assert replica.child.pid is not None
        killed_at_s = self._clock.now()
        os.kill(replica.child.pid, signal.SIGKILL)
        await self._until(lambda: self._live_at_s is not None and self._live_at_s > killed_at_s, "the client resumes")
        assert self._live_at_s is not None
        self._tally.recoveries_s.append(self._live_at_s - killed_at_s)
        await self._until(replica.is_ready, "the killed replica comes back")
        return replica.name

    async def _until(self, is_so: Callable[[], bool | Awaitable[bool]], what: str, *, must: bool = True) -> None:
        give_up_s = self._clock.now() + ROUND_S_MAX
        while self._clock.now() < give_up_s:
            answer = is_so()
            if answer if isinstance(answer, bool) else await answer:
                return
            await self._clock.sleep(POLL_S)
        if must:
            raise AnypodError("unavailable", f"{what}: not within {ROUND_S_MAX:g} s, after {len(self._tally.recoveries_s)} kills")
