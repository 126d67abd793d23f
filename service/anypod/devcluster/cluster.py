"""A cluster on this machine: Redis, replicas, and a balancer before them.

Owns the order in which they start and end, and the record of what runs. Must not know what clients do with it.
"""

import asyncio
import errno
import os
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from anypod.clock import Clock
from anypod.core.errors import AnypodError
from anypod.devcluster import redis_server
from anypod.devcluster.balancer import BACKLOG, Balancer
from anypod.devcluster.ports import LOOPBACK, Ports, bind
from anypod.devcluster.process import SupervisedProcess, Surroundings
from anypod.devcluster.replica import SERVE, ReplicaProcess, serve_command
from anypod.devcluster.state_file import ClusterRow, RedisRow, StateFile
from anypod.settings.formats import without_password

FIRST_REDIS_PORT = 6380  # beside a Redis of the machine's own
FIRST_BALANCER_PORT = 8180  # for a cluster without a chosen port
START_S_MAX = 60.0  # a first start compiles the byte code of every module
START_DEATHS_MAX = 2  # one may be a port lost in a race; two are a reason to look at the log
READY_POLL_S = 0.1


@dataclass(frozen=True, slots=True)
class ClusterPlan:
    """`port`: the balancer's, None: any. `redis_url`: a Redis that is there already, None: the cluster runs its own.

    `serve`: the command line of a replica.
    """

    data: Path
    port: int | None = None
    replicas: int = 3
    redis_url: str | None = None
    serve: tuple[str, ...] = SERVE


class DevCluster:
    def __init__(self, plan: ClusterPlan, clock: Clock, say: Callable[[str], None]) -> None:
        self._plan = plan
        self._clock = clock
        self._around = Surroundings(plan.data / "logs", clock, say, self._changed)
        self._ports = Ports()
        self._record = StateFile(plan.data)
        self._listener: socket.socket | None = None
        self._redis: SupervisedProcess | None = None
        self._redis_url = without_password(plan.redis_url or "")
        self._is_up = False
        self.replicas: list[ReplicaProcess] = []

    @property
    def row(self) -> ClusterRow:
        """What `dev.json` says."""
        assert self._listener is not None
        url = f"http://{LOOPBACK}:{self._listener.getsockname()[1]}"
        redis = RedisRow(self._redis_url, self._redis.pid if self._redis else None)
        return ClusterRow(url, os.getpid(), [replica.row for replica in self.replicas], redis)

    def kill(self) -> None:
        """End every process at once, by force; each is still started again unless the cluster is ending."""
        for child in self._children():
            child.kill()

    @asynccontextmanager
    async def running(self) -> AsyncIterator["DevCluster"]:
        """Everything is up inside, and gone afterwards. Raises a group with an AnypodError when something does not start."""
        self._open()
        try:
            async with asyncio.TaskGroup() as tasks:
                started: list[list[asyncio.Task[None]]] = []
                try:
                    await self._start(tasks, started)
                    yield self
                finally:
                    self._is_up = False
                    await _end_in_reverse(started)
        finally:
            self._close()

    def _open(self) -> None:
        """Take what can be refused before anything runs: the data directory, then the port."""
        self._record.open()
        try:
            self._listener = self._bind()
        except AnypodError:
            self._record.close()
            raise
        self._around.logs.mkdir(exist_ok=True)
        for stale in self._around.logs.glob("*.log"):
            stale.unlink()

    def _bind(self) -> socket.socket:
        port = self._plan.port if self._plan.port is not None else self._ports.claim(FIRST_BALANCER_PORT)
        try:
            return bind(port)
        except OSError as exc:
            if exc.errno not in (errno.EADDRINUSE, errno.EACCES):
                raise
            reason = "is taken by another program: stop that" if exc.errno == errno.EADDRINUSE else "needs rights that you do not have"
            advice = f"port {port} of {LOOPBACK} {reason}, or choose another port: anypod dev --port {port + 1} (make dev PORT={port + 1})"
            raise AnypodError("unavailable", advice) from exc

    async def _start(self, tasks: asyncio.TaskGroup, started: list[list[asyncio.Task[None]]]) -> None:
        """Each entry of `started` ends together, the last entry first."""
        if self._plan.redis_url is None:
            port = self._ports.claim(FIRST_REDIS_PORT)
            command = redis_server.server_command(redis_server.find_server(), port, self._plan.data / "redis")
            self._redis = SupervisedProcess("redis", lambda: command, self._around)
            self._redis_url = f"redis://{LOOPBACK}:{port}/0"
            started.append([tasks.create_task(self._redis.keep())])
            await self._until(lambda: redis_server.answers(port), self._redis)

        serve = serve_command(self._plan.serve, self._redis_url if self._redis else None)
        self.replicas += [
            ReplicaProcess(f"replica-{number}", serve, self._ports, self._around) for number in range(1, self._plan.replicas + 1)
        ]
        started.append([tasks.create_task(replica.child.keep()) for replica in self.replicas])
        for replica in self.replicas:
            await self._until(replica.is_ready, replica.child)

        assert self._listener is not None
        self._listener.listen(BACKLOG)  # from here on connections wait rather than fail
        balancer = Balancer(lambda: [replica.address for replica in self.replicas])
        started.append([tasks.create_task(balancer.run(self._listener))])
        self._is_up = True
        self._changed()

    async def _until(self, is_ready: Callable[[], Awaitable[bool]], child: SupervisedProcess) -> None:
        give_up_s = self._clock.now() + START_S_MAX
        while not await is_ready():
            if child.deaths >= START_DEATHS_MAX or self._clock.now() > give_up_s:
                raise AnypodError("unavailable", f"{child.name} does not start. The end of its log, {child.log_path}:\n{child.log_tail()}")
            await self._clock.sleep(READY_POLL_S)

    def _changed(self) -> None:
        if self._is_up:
            self._record.write(self.row)

    def _children(self) -> list[SupervisedProcess]:
        return [*(replica.child for replica in self.replicas), *([self._redis] if self._redis else [])]

    def _close(self) -> None:
        if self._listener is not None:
            self._listener.close()
        self._ports.close()
        self._record.close()


async def _end_in_reverse(started: list[list[asyncio.Task[None]]]) -> None:
    """The balancer before the replicas, the replicas before the Redis that they drain into."""
    for group in reversed(started):
        for task in group:
            task.cancel()
        await asyncio.wait(group)
