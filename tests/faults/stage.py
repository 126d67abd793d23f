"""What a crowd meets: one Redis, replicas, and a proxy on every link between them.

Owns the processes and the proxies, their start and their end. Must not know what is done to them, nor who the clients are.
"""

import asyncio
import os
import random
import signal
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager, contextmanager, suppress
from pathlib import Path
from typing import Final, assert_never

import aiohttp
from tests.faults.access import credential_for
from tests.faults.journal import Journal
from tests.faults.ledger import Ledger
from tests.faults.link import Link, joined
from tests.faults.proxy import Proxy
from tests.faults.rows import Topology
from tests.redis_clusters import DOWN_AFTER_MS, NAME, Watched, watched
from tests.replicas import Replica
from tests.servers import LOOPBACK, Kind, RedisServer, free_port, running

REPLICAS: Final = 3
PATIENT_MS: Final = 60_000
KIND: Final[Kind] = "valkey"
CONNECT_S_MAX: Final = 1.0  # on one machine a replica accepts within milliseconds; one that does not is skipped
POLL_S: Final = 0.05
READY_S_MAX: Final = 60.0  # of a start, on a machine that does much else
SHOUT_BYTES: Final = 40_000  # more than the 16 KiB that Redis keeps for a client beside its output list
SHOUT_S_MAX: Final = 2.0
REDIS_OPTIONS: Final = (
    # What was answered stands on the disk; the file is the truth that clients are compared with, so nothing may rewrite it.
    *("--appendfsync", "always", "--auto-aof-rewrite-percentage", "0", "--maxmemory-policy", "noeviction", "--loglevel", "warning"),
)
SETTINGS: Final[Mapping[str, str]] = {
    "events_per_session_max": "1000000",  # a run writes on and on, and nothing may be trimmed
    "heartbeat_ms_max": "2000",  # a silent link is found within 9 s: a run has many
    "unwritable_s_max": "4",  # for the same reason
    "max_stream_s": "60",  # streams end by themselves too
}


class Stage:
    """`front`: clients to replicas. `stores`: one proxy for each replica, on its way to Redis; none where Sentinels tell the way.

    `redis`: the server that is written to. `watched`: it and its replica, with their Sentinels.
    """

    def __init__(self, folder: Path, rng: random.Random, redis: RedisServer, watched: Watched | None = None) -> None:
        self.topology: Topology = "single" if watched is None else "sentinel"
        self.rng = rng
        self.redis = redis
        self.watched = watched
        self._loop = asyncio.get_running_loop()
        self._began = self._loop.time()
        self.journal = Journal(self.redis, self.now)
        self.ledger = Ledger(self.journal, self.now)
        self.stores = [Proxy(free_port(), self._dial_redis, rng) for _ in range(REPLICAS)] if watched is None else []
        urls = [watched.url] * REPLICAS if watched is not None else [f"redis://{LOOPBACK}:{store.port}/0" for store in self.stores]
        self.replicas = [
            Replica(f"replica-{number}", {**SETTINGS, "redis_url": url}, _made(folder / "logs")) for number, url in enumerate(urls)
        ]
        self.front = Proxy(free_port(), self._dial_replica, rng)
        self._turn = 0

    def now(self) -> float:
        """Seconds of the history."""
        return self._loop.time() - self._began

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.front.port}"

    @asynccontextmanager
    async def running(self) -> AsyncIterator["Stage"]:
        """Everything is up inside, and gone afterwards."""
        async with AsyncExitStack() as stack:
            stack.callback(self.journal.close)
            stack.callback(self._end_replicas)
            tasks = [asyncio.ensure_future(proxy.run()) for proxy in (*self.stores, self.front)]
            tasks += [asyncio.ensure_future(self._keep(replica)) for replica in self.replicas]
            stack.push_async_callback(_cancel, tasks)
            await self.until_ready()
            yield self

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

    # Processes.
    @contextmanager
    def frozen(self, pid: int) -> Iterator[None]:
        os.kill(pid, signal.SIGSTOP)
        try:
            yield
        finally:
            os.kill(pid, signal.SIGCONT)

    @contextmanager
    def configured(self, name: str, value: str | int, usual: str | int) -> Iterator[None]:
        self.redis.command("CONFIG", "SET", name, value)
        try:
            yield
        finally:
            self.redis.command("CONFIG", "SET", name, usual)

    @contextmanager
    def gates_shut(self) -> Iterator[None]:
        """No replica reaches Redis: what it holds can be looked at before anybody writes again."""
        with ExitStack() as stack:
            for store in self.stores:
                stack.enter_context(store.shut())
            yield

    # What it is asked.
    async def shout(self, session: str) -> None:
        """A large event, as any client might publish one. Nobody insists when it is refused."""
        headers = {"Authorization": f"Bearer {credential_for(session)}", "Idempotency-Key": f"shout.{self.rng.getrandbits(64):x}"}
        url, timeout = f"{self.url}/v1/sessions/{session}/events", aiohttp.ClientTimeout(total=SHOUT_S_MAX)
        with suppress(aiohttp.ClientError, TimeoutError):
            async with (
                aiohttp.ClientSession(timeout=timeout) as http,
                http.post(url, json={"kind": "message", "data": "!" * SHOUT_BYTES}, headers=headers) as answer,
            ):
                await answer.read()

    async def feeds_killed(self) -> int:
        """How many clients Redis has cut off because of their output buffers."""
        stats = await asyncio.to_thread(self.redis.command, "INFO", "stats")
        assert isinstance(stats, bytes)
        return int(stats.split(b"client_output_buffer_limit_disconnections:")[1].split()[0])

    # Ways.
    async def _dial_redis(self, link: Link) -> bool:
        return await joined(link, self.redis.port, CONNECT_S_MAX)

    async def _dial_replica(self, link: Link) -> bool:
        """The next one that accepts, as a balancer without a memory does."""
        self._turn += 1
        for offset in range(REPLICAS):
            replica = self.replicas[(self._turn + offset) % REPLICAS]
            if await joined(link, replica.port, CONNECT_S_MAX):
                return True
        return False


@asynccontextmanager
async def stage_of(topology: Topology, folder: Path, rng: random.Random) -> AsyncIterator[Stage]:
    """A stage that is up inside, and gone afterwards."""
    match topology:
        case "single":
            with running(KIND, _made(folder / "redis"), *REDIS_OPTIONS) as server:
                async with Stage(folder, rng, server).running() as stage:
                    yield stage
        case "sentinel":
            with watched(KIND, folder) as servers:
                for server in servers.servers:
                    configure(server)
                _bear(servers, PATIENT_MS)
                async with Stage(folder, rng, servers.primary(), servers).running() as stage:
                    yield stage
        case "cluster":
            raise AssertionError("no row is for a cluster alone, and its slots have no one journal")
        case _:
            assert_never(topology)


@contextmanager
def impatient(servers: Watched) -> Iterator[None]:
    """Sentinels call a primary dead after a second. Otherwise they do not: one that a busy machine keeps waiting is no row of ours."""
    _bear(servers, DOWN_AFTER_MS)
    try:
        yield
    finally:
        _bear(servers, PATIENT_MS)


def _bear(servers: Watched, silence_ms: int) -> None:
    for sentinel in servers.sentinels:
        sentinel.command("SENTINEL", "SET", NAME, "down-after-milliseconds", silence_ms)


def configure(server: RedisServer) -> None:
    """A server that was started without our options."""
    options = [word.removeprefix("--") for word in REDIS_OPTIONS]
    server.command("CONFIG", "SET", *options)


def _made(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    return folder


async def _cancel(tasks: Sequence["asyncio.Future[None]"]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
