"""A replica: the product's session layer over the memory store, reached by lines instead of sockets.

Owns the replica's life and the ports between hub and lines. Must not know what it is asked.
"""

import asyncio
import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from tests.simulation.network import Bytes, End, Item, Line
from tests.simulation.ports import OUTBOX_BYTES, DirectPort, StreamWriter, Writer

from anypod.auth import RIGHTS, Principal
from anypod.client.machine.commands import Open
from anypod.clock import Clock
from anypod.core.errors import AnypodError
from anypod.core.event import Receipt
from anypod.core.frames import PublishFrame
from anypod.core.identity import SessionKey
from anypod.hub.attach_request import AttachRequest
from anypod.hub.client_connection import ClientConnection
from anypod.hub.config import HubOptions
from anypod.hub.housekeeping import TICK_S, Housekeeping
from anypod.hub.hub import Hub
from anypod.hub.layer import SessionLayer
from anypod.hub.publisher import Publication
from anypod.hub.requests import DraftBuilder
from anypod.store import Store
from anypod.telemetry import Metrics
from anypod.transport.asgi.queued_port import QueuedPort

REST_S: Final = 1.0  # of the housekeeping between two rounds of ticks


class SimulatedClock:
    """The loop's time, and a calendar that begins in 2033."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop

    def now(self) -> float:
        return self._loop.time()

    def wall_ms(self) -> int:
        return 2_000_000_000_000 + int(self._loop.time() * 1000)

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


async def _tick(housekeeping: Housekeeping) -> None:
    """As many ticks as the product's own loop, with fewer and longer rests: timers cost more than ticks."""
    while True:
        await asyncio.sleep(REST_S)
        for _ in range(round(REST_S / TICK_S)):
            housekeeping.tick()


@dataclass(frozen=True, slots=True)
class Parts:
    """What a replica is made of: the product's own, or what a test plants in its place."""

    hub: type[Hub] = Hub
    direct_port: Callable[[Line], DirectPort] = DirectPort
    queued_port: Callable[[int, Callable[[], object]], QueuedPort] = QueuedPort


@dataclass(slots=True, eq=False)
class Attached:
    """One line as the replica holds it."""

    line: Line
    peer: ClientConnection | None  # None for a stream, which is only listened to
    gone: Callable[[], None]
    writing: "asyncio.Task[None] | None" = None


@dataclass(slots=True)
class Replica:
    name: str
    store: Store
    clock: Clock
    rng: random.Random
    options: HubOptions
    parts: Parts
    is_queued: bool  # do its ports have an outbox and a writer?
    is_up: bool = False
    metrics: Metrics = field(default_factory=Metrics)
    _attached: dict[Line, Attached] = field(default_factory=dict)
    _ticking: "asyncio.Task[None] | None" = None
    hub: Any = None
    _layer: Any = None

    async def start(self) -> None:
        layer = self._layer = SessionLayer(
            self.store, self.clock, self.rng, self.metrics, self.options, verify=_verify, hub_type=self.parts.hub
        )
        self.hub = layer.hub
        await layer.hub.start()
        self._ticking = asyncio.get_running_loop().create_task(_tick(layer.housekeeping), name=f"housekeeping of {self.name}")
        self.is_up = True

    def devices(self) -> Iterator[tuple[SessionKey, str, str]]:
        """One for each attachment that names its device."""
        for session in self.hub.sessions.values():
            for subscriber in session.members:
                if subscriber.device is not None:
                    yield session.key, subscriber.author, subscriber.device

    async def crash(self) -> None:
        """The process is gone: nobody says goodbye, what it had not written is lost."""
        self.is_up = False
        for attached in tuple(self._attached.values()):
            attached.line.abort_replica()
            self._forget(attached)
        assert self._ticking is not None
        self._ticking.cancel()
        await self.hub.close()

    def attach(self, key: SessionKey, principal: Principal, line: Line) -> None:
        """A WebSocket of a client."""
        port, writer = self._ports(line)
        peer = ClientConnection(self._layer, port, principal, key)
        port.subscriber = peer.subscriber
        line.on_read = peer.flush
        self._hold(line, peer, peer.gone, writer)

    def stream(self, key: SessionKey, principal: Principal, line: Line, asked: Open) -> None:
        """An SSE request of a client."""
        port = self.parts.queued_port(OUTBOX_BYTES, line.abort_replica)
        writer = StreamWriter(port, line, self.rng)
        line.on_room = writer.has_room
        attachments = self._layer.attachments
        subscriber = port.subscriber = attachments.subscriber(port, principal)
        self._hold(line, None, lambda: attachments.detach(subscriber), writer)
        attachments.attach(subscriber, AttachRequest(key, after=asked.after, fold=asked.fold), lambda: None)

    def _hold(self, line: Line, peer: ClientConnection | None, gone: Callable[[], None], writer: Writer | None) -> None:
        writing = asyncio.get_running_loop().create_task(writer.run(), name="writer") if writer else None
        attached = self._attached[line] = Attached(line, peer, gone, writing)
        line.to_replica = lambda item: self._take(attached, item)
        line.on_left = lambda: self._forget(attached)

    async def post(self, key: SessionKey, principal: Principal, frame: PublishFrame, payload: bytes | None = None) -> Receipt:
        """A publish by HTTP. Raises AnypodError."""
        made = DraftBuilder(principal, self.options.limits.data_bytes).draft(frame, payload, self.clock.wall_ms())
        receipts: Sequence[Receipt] = await self._layer.publisher.append(Publication(key, (made,), principal.owner_required))
        return receipts[0]

    def _ports(self, line: Line) -> tuple[DirectPort | QueuedPort, Writer | None]:
        if not self.is_queued:
            direct = self.parts.direct_port(line)
            line.on_room = direct.has_room
            return direct, None
        queued = self.parts.queued_port(OUTBOX_BYTES, line.abort_replica)
        writer = Writer(queued, line)
        line.on_room = writer.has_room
        return queued, writer

    def _take(self, attached: Attached, item: Item) -> None:
        match item:
            case Bytes(payload):
                assert attached.peer is not None
                attached.peer.heard()
                attached.peer.take(payload, is_binary=payload[:1] == b"\0")
            case End():
                self._forget(attached)

    def _forget(self, attached: Attached) -> None:
        """The connection has ended, from whichever side. Twice is the same as once."""
        if self._attached.pop(attached.line, None) is not None:
            if attached.writing is not None:
                attached.writing.cancel()
            attached.gone()


async def _verify(credential: str) -> Principal:
    raise AnypodError("not_authenticated")


def principal_of(subject: str) -> Principal:
    """May do everything, in every session of the one tenant, until long after the world ends."""
    return Principal("t", subject, 4e9, can=RIGHTS, sessions=("*",))  # type: ignore[arg-type]
