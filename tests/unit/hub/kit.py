"""A hub over a memory store, told the time by the test, with ports that remember what they were given."""

import asyncio
import json
import random
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from tests.support.options import options as options_of

from anypod.auth import RIGHTS_BY_DEFAULT, Principal
from anypod.core.errors import AnypodError
from anypod.core.event import is_binary
from anypod.core.identity import SessionId, SessionKey, Subject, TenantId
from anypod.hub.attach_request import AttachRequest
from anypod.hub.client_connection import ClientConnection
from anypod.hub.delivery import Batch
from anypod.hub.layer import SessionLayer
from anypod.hub.session import Subscriber
from anypod.memory_store import MemoryServer, MemoryStore
from anypod.store import SessionClass
from anypod.telemetry import Metrics

KEY = SessionKey(TenantId("acme"), SessionId("s1"))
CHAT = SessionClass("chat", ttl_ms=7 * 86_400_000, live_ms=30_000)


class TestClock:
    """Stands still until the test moves it; whoever sleeps is woken by the moves."""

    __test__ = False

    def __init__(self) -> None:
        self._now = 1_000.0
        self._wall_ms = 1_800_000_000_000
        self._sleepers: list[tuple[float, asyncio.Future[None]]] = []

    def now(self) -> float:
        return self._now

    def wall_ms(self) -> int:
        return self._wall_ms

    async def sleep(self, seconds: float) -> None:
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._sleepers.append((self._now + seconds, future))
        if seconds <= 0:
            future.set_result(None)
        await future

    def move(self, seconds: float) -> None:
        self._now += seconds
        self._wall_ms += int(seconds * 1000)
        for at, future in self._sleepers:
            if at <= self._now and not future.done():
                future.set_result(None)
        self._sleepers = [(at, future) for at, future in self._sleepers if not future.done()]


@dataclass
class RememberingPort:
    """Takes everything until `is_full` is set."""

    replica: "TestReplica"
    frames: list[bytes] = field(default_factory=list)
    closed: tuple[int, str] | None = None
    refused: AnypodError | None = None
    is_aborted: bool = False
    held_s: float = 0.0
    fills_after: int | None = None  # deliveries after which it takes no more
    subscriber: Subscriber | None = None

    def deliver(self, batch: Batch) -> None:
        self.frames += batch.frames
        if self.fills_after is not None:
            self.fills_after -= 1
            if self.fills_after == 0:
                assert self.subscriber is not None
                self.subscriber.pause()

    def send(self, frame: bytes) -> None:
        self.frames.append(frame)

    def close(self, code: int, reason: str = "") -> None:
        self.closed = self.closed or (code, reason)

    def hold(self, wait_s: float) -> None:
        self.held_s = wait_s

    def refuse(self, error: AnypodError) -> None:
        self.refused = error

    def abort(self) -> None:
        self.is_aborted = True

    @property
    def close_code(self) -> int | None:
        return self.closed[0] if self.closed is not None else None

    @property
    def told(self) -> list[dict[str, Any]]:
        return [json.loads(frame) for frame in self.frames if not is_binary(frame)]

    def of(self, kind: str) -> list[dict[str, Any]]:
        return [frame for frame in self.told if frame["type"] == kind]

    @property
    def seqs(self) -> list[int]:
        return [frame["seq"] for frame in self.of("event")]


class BehindTheTimes(MemoryStore):
    """Asks the old server until it is told to make sure. `is_sure`: whether it was."""

    def __init__(self, old: MemoryServer, new: MemoryServer) -> None:
        super().__init__(old)
        self._new = new
        self.is_sure = False

    async def verify_primary(self) -> None:
        self.turn()
        self.is_sure = True

    def turn(self) -> None:
        self._server.detach(self)
        self._server = self._new
        self._server.attach(self)


class TestReplica:
    __test__ = False

    def __init__(self, server: MemoryServer | MemoryStore, clock: TestClock, name: str, **options: Any) -> None:
        self.clock = clock
        self.metrics = Metrics()
        self.store = server if isinstance(server, MemoryStore) else MemoryStore(server)
        given = {"classes": {"chat": CHAT}, "heartbeat_ms": 25_000, "silence_ms": 55_000, **options}
        self.layer = SessionLayer(self.store, clock, random.Random(name), self.metrics, options_of(name, **given), verify=self._verify)
        self.hub, self.presence, self.attachments = self.layer.hub, self.layer.presence, self.layer.attachments
        self.publisher, self.housekeeping = self.layer.publisher, self.layer.housekeeping

    async def _verify(self, credential: str) -> Principal:
        return who(credential)

    def peer(self, subject: str = "ann", **port: Any) -> tuple[ClientConnection, RememberingPort]:
        made = RememberingPort(self, **port)
        peer = ClientConnection(self.layer, made, who(subject), KEY)
        made.subscriber = peer.subscriber
        return peer, made

    async def attached(
        self, subject: str = "ann", ask: AttachRequest | None = None, **port: Any
    ) -> tuple[ClientConnection, RememberingPort]:
        peer, made = self.peer(subject, **port)
        peer.begin(ask or AttachRequest(KEY))
        await until(lambda: bool(made.of("sync.done")) or made.refused is not None)
        return peer, made


def who(subject: str) -> Principal:
    return Principal(TenantId("acme"), Subject(subject), expires_at=2_000_000_000, sessions=("*",), can=RIGHTS_BY_DEFAULT)


def publish(event_id: str, **fields: Any) -> bytes:
    return json.dumps({"type": "publish", "id": event_id, "kind": "message", "data": event_id} | fields).encode()


async def until(holds: Callable[[], bool]) -> None:
    """Let the loop run until the condition holds: a thousand turns are far more than anything here takes."""
    for _ in range(1_000):
        if holds():
            return
        await asyncio.sleep(0)
    raise AssertionError("it never came to hold")


async def settled(turns: int = 100) -> None:
    """Let the loop run until nothing more comes of what was done."""
    for _ in range(turns):
        await asyncio.sleep(0)


@asynccontextmanager
async def replicas(count: int = 1, **options: Any) -> AsyncIterator[tuple[MemoryServer, TestClock, list[TestReplica]]]:
    clock = TestClock()
    server = MemoryServer(clock, random.Random(7))
    made = [TestReplica(server, clock, f"r{index}", **options) for index in range(count)]
    for replica in made:
        await replica.hub.start()
    yield server, clock, made
    for replica in made:
        await replica.hub.close()
