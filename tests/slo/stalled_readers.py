"""Hundreds attach and never read, while others go on publishing to them.

Owns the course of it and what is compared. Must not know how a replica gets rid of them.
"""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Final

from tests.fast_transport.raw import INIT, RawClient, said, upgrade
from tests.slo.bound import Bound, unchanged
from tests.slo.metrics import metric, open_sockets, queued_bytes, resident_bytes
from tests.slo.publishing import CLOCK, Neighbour, neighbour
from tests.support.redis_servers import LOOPBACK, RedisServer
from tests.support.replica_process import Replica, credential

CALM_S: Final = 4.0
EVENT_BYTES: Final = 32_768
LOUD_EVERY_S: Final = 0.05  # 640 KiB a second to each of them: more than any buffer holds, within seconds
GONE_S_MAX: Final = 30.0
GROWN_BYTES_MAX: Final = 64 << 20
KERNEL_BYTES_MAX: Final = 512 << 10  # for each reader; without a bound it is some four megabytes
RECEIVE_BYTES: Final = 4_096  # of their sockets: a client that does not read, on a machine that has little room
POLL_S: Final = 0.2
GUEST: Final = credential("acme", "guest", sessions=["loud"])


@dataclass(frozen=True)
class Stalled:
    """`gone_s`: from the moment at which the last of them took no more until none of their sockets was left. `cut`: by the metric."""

    readers: int
    grown_bytes: int
    kernel_bytes: int
    gone_s: float
    calm_p99_s: float
    noticed_p99_s: float
    cut: int

    def __str__(self) -> str:
        return (
            f"{self.readers} stalled readers: memory + {self.grown_bytes / (1 << 20):.1f} MiB, "
            f"the kernel's buffers + {self.kernel_bytes / (1 << 20):.1f} MiB, no socket left after {self.gone_s:.1f} s, "
            f"{self.cut} cut; neighbours' p99 {self.calm_p99_s * 1e3:.1f} ms before, {self.noticed_p99_s * 1e3:.1f} ms meanwhile"
        )

    def bounds(self, floor_s: float) -> list[Bound]:
        return [
            Bound("bytes that the replica grew by", self.grown_bytes, GROWN_BYTES_MAX),
            Bound("bytes in the kernel's buffers", self.kernel_bytes, KERNEL_BYTES_MAX * self.readers),
            Bound("seconds until no socket was left", self.gone_s, GONE_S_MAX),
            Bound("readers that were not cut for being slow", self.readers - self.cut, 0),
            unchanged("the neighbours' p99", self.calm_p99_s, self.noticed_p99_s, floor_s),
        ]


async def stall(server: RedisServer, folder: Path, readers: int) -> Stalled:
    replica = Replica("stalled", {"redis_url": f"{server.url}/0", "events_per_session_max": "100000"}, folder)
    replica.start()
    try:
        async with neighbour(replica.port) as seen:
            await asyncio.sleep(CALM_S)
            return await _stalled(replica, readers, seen, seen.p99_s())
    finally:
        replica.kill()


async def _stalled(replica: Replica, readers: int, seen: Neighbour, calm_s: float) -> Stalled:
    with contextlib.ExitStack() as stack:
        others = open_sockets(replica)
        for _ in range(readers):
            stack.callback((await _attached(replica.port)).close)
        before = most = resident_bytes(replica)
        queued = 0
        async with _loud(replica.port):
            since: float | None = None
            while open_sockets(replica) > others + 1:
                most, queued = max(most, resident_bytes(replica)), max(queued, queued_bytes(replica))
                if since is None and await asyncio.to_thread(metric, replica, "stalled") >= readers:
                    since = CLOCK.now()
                assert since is None or CLOCK.now() - since < 2 * GONE_S_MAX, "they are still there"
                await asyncio.sleep(POLL_S)
        assert since is not None, "they went before all of them had stalled"
        cut = await asyncio.to_thread(metric, replica, "slow_consumers_closed_total")
        return Stalled(readers, most - before, queued, CLOCK.now() - since, calm_s, seen.p99_s(), int(cut))


async def _attached(port: int) -> socket.socket:
    """A client that hears its opening and nothing more. Its socket is not read from again."""
    loop = asyncio.get_running_loop()
    made = socket.socket()
    made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BYTES)
    made.setblocking(False)
    await loop.sock_connect(made, (LOOPBACK, port))
    await loop.sock_sendall(made, upgrade(GUEST, "/v1/sessions/loud/ws") + INIT)
    heard = b""
    while b"sync.done" not in heard:
        heard += await loop.sock_recv(made, 1 << 16)
    return made


@contextlib.asynccontextmanager
async def _loud(port: int) -> AsyncIterator[None]:
    """Somebody publishes much in the session of those who do not read, and reads it."""
    async with await RawClient.connect(port) as client:
        client.send(upgrade(GUEST, "/v1/sessions/loud/ws"))
        await client.head()
        client.send(INIT)

        async def publish() -> None:
            for number in count():
                client.send(said(type="publish", id=f"l-{number}", kind="message", data="x" * EVENT_BYTES))
                await asyncio.sleep(LOUD_EVERY_S)

        async def read() -> None:
            while await client.frame() is not None:
                pass

        async with asyncio.TaskGroup() as tasks:
            running = [tasks.create_task(publish()), tasks.create_task(read())]
            try:
                yield
            finally:
                for task in running:
                    task.cancel()
