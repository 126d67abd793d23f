"""Hundreds ask for a long log of large events and read nothing of it, while others go on.

Owns the course of it and what is compared. Must not know how a replica bounds what it holds for them. They read several logs, and
begin at several places of each, so that they share little of what a replica holds.
"""

import asyncio
import contextlib
import json
import socket
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

from tests.fast_transport.raw import INIT, RawClient, said, upgrade
from tests.slo.bound import Bound, unchanged
from tests.slo.metrics import metric, resident_bytes
from tests.slo.publishing import CLOCK, Neighbour, neighbour
from tests.support.redis_servers import LOOPBACK, RedisServer
from tests.support.replica_process import Replica, credential

Transport = Literal["lean", "portable"]
Kind = Literal["websocket", "sse"]

CALM_S: Final = 3.0
EVENT_BYTES: Final = 65_000  # the largest data that a replica takes by default, about
EVENTS: Final = 80  # a log of 5 MiB
LOGS: Final = 10  # with 50 MiB in all
HELD_S: Final = 6.0  # for as long as they are looked at: every buffer is full by then
RECEIVE_BYTES: Final = 4_096  # of their sockets
POLL_S: Final = 0.1
WHOLE_S_MAX: Final = 10.0
GROWN_BYTES_MAX: Final = 96 << 20  # for 200 of them: the budget of all outboxes and what is on its way into them
GUEST: Final = credential("acme", "guest", sessions=["long-*"])


@dataclass(frozen=True)
class StalledReplays:
    """`heard`: how many events a reader got that did read meanwhile, in `whole_s`."""

    path: Transport
    kind: Kind
    readers: int
    grown_bytes: int
    heard: int
    whole_s: float
    calm_p99_s: float
    noticed_p99_s: float

    def __str__(self) -> str:
        return (
            f"{self.readers} stalled replays by {self.kind}, {self.path}: memory + {self.grown_bytes / (1 << 20):.1f} MiB; "
            f"who reads had {self.heard} events in {self.whole_s:.2f} s; "
            f"neighbours' p99 {self.calm_p99_s * 1e3:.1f} ms before, {self.noticed_p99_s * 1e3:.1f} ms meanwhile"
        )

    def bounds(self, floor_s: float) -> list[Bound]:
        return [
            Bound(f"bytes that the replica grew by ({self.kind}, {self.path})", self.grown_bytes, GROWN_BYTES_MAX),
            Bound("events that a reader lacks who reads", EVENTS - self.heard, 0),
            Bound("seconds that its replay took", self.whole_s, WHOLE_S_MAX),
            unchanged("the neighbours' p99", self.calm_p99_s, self.noticed_p99_s, floor_s),
        ]


async def stall_replays(server: RedisServer, folder: Path, readers: int, *, path: Transport, kind: Kind) -> StalledReplays:
    replica = Replica("replays", {"redis_url": f"{server.url}/0", "key_prefix": f"{path}-{kind}", "transport": path}, folder)
    replica.start()
    try:
        places = await asyncio.gather(*(_seeded(replica.port, f"long-{number}") for number in range(LOGS)))
        async with neighbour(replica.port) as seen:
            await asyncio.sleep(CALM_S)
            return await _stalled(replica, readers, places, seen, path=path, kind=kind)
    finally:
        replica.kill()


async def _stalled(
    replica: Replica, readers: int, places: list[list[str]], seen: Neighbour, *, path: Transport, kind: Kind
) -> StalledReplays:
    calm_s = seen.p99_s()
    with contextlib.ExitStack() as stack:
        before = most = resident_bytes(replica)
        for number in range(readers):
            log, place = number % LOGS, number // LOGS
            reader = credential("acme", f"reader-{number}", sessions=["long-*"])  # each has permits and bytes of its own
            stack.callback((await _asked(replica.port, reader, f"long-{log}", places[log][place], kind)).close)
            most = max(most, resident_bytes(replica))
        since = CLOCK.now()
        heard = await _replayed(replica.port)
        whole_s = CLOCK.now() - since
        while CLOCK.now() - since < HELD_S:
            most = max(most, resident_bytes(replica))
            await asyncio.sleep(POLL_S)
        assert await asyncio.to_thread(metric, replica, "connections") > 2, "all of them were sent away"
        return StalledReplays(path, kind, readers, most - before, heard, whole_s, calm_s, seen.p99_s())


async def _seeded(port: int, session: str) -> list[str]:
    """A long log; the cursors of its events."""
    async with await RawClient.connect(port) as client:
        client.send(upgrade(GUEST, f"/v1/sessions/{session}/ws"))
        await client.head()
        client.send(INIT)
        await client.until("sync.done")
        cursors = list[str]()
        for number in range(EVENTS):
            client.send(said(type="publish", id=f"l-{number}", kind="message", data="x" * EVENT_BYTES))
            cursors.append((await client.until("published"))["cursor"])
        return cursors


async def _asked(port: int, reader: str, session: str, cursor: str, kind: Kind) -> socket.socket:
    """A client that has asked for everything since, and heard the beginning of the answer. Its socket is not read from again."""
    loop = asyncio.get_running_loop()
    made = socket.socket()
    made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BYTES)
    made.setblocking(False)
    await loop.sock_connect(made, (LOOPBACK, port))
    if kind == "websocket":
        await loop.sock_sendall(made, upgrade(reader, f"/v1/sessions/{session}/ws?after={cursor}&resume=true"))
    else:
        lines = (f"GET /v1/sessions/{session}/events?after={cursor} HTTP/1.1", "Host: a", "Accept: text/event-stream")
        await loop.sock_sendall(made, "\r\n".join((*lines, f"Authorization: Bearer {reader}", "", "")).encode())
    assert b" 200 " in (said_first := await loop.sock_recv(made, 1_024)) or b" 101 " in said_first
    return made


async def _replayed(port: int) -> int:
    """How many events a client gets that reads them all."""
    async with await RawClient.connect(port) as client:
        client.send(upgrade(GUEST, "/v1/sessions/long-0/ws?after=start&resume=true"))
        await client.head()
        seqs = list[int]()
        while (frame := await client.frame()) is not None:
            told = json.loads(bytes(frame.data))
            if told["type"] == "sync.done":
                break
            if told["type"] == "event":
                seqs.append(told["seq"])
        assert seqs == list(range(1, len(seqs) + 1))
        return len(seqs)
