"""The network between clients and replicas, in memory.

Owns delay, order, and every way in which a connection ends or seems not to. Must not know what travels on it. Nothing is
reordered or lost within a direction of a connection that lives, as TCP has it; what is on its way when one dies is lost.
"""

import asyncio
import random
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, NamedTuple

GRAIN_S: Final = 1 / 128  # all delays are multiples of it (exact in binary), so that much happens at the same instant
LATENCY_GRAINS_MAX: Final = 10  # of one direction, chosen once: from the same rack to a phone
JITTER_GRAINS_MAX: Final = 3
NOTICE_GRAINS_MAX: Final = 20  # until an end learns that the other reset the connection
ROOM_BYTES: Final = 4_096  # what both kernels hold of one direction; small, so that few events fill it


Hook = Callable[[], None]


class Bytes(NamedTuple):
    """One frame."""

    payload: bytes


@dataclass(frozen=True, slots=True)
class End:
    """The other side closes, after what it sent before."""

    code: int
    reason: str = ""


Item = Bytes | End


class Pipe:
    """One direction of a connection. `on_room` is called when a full pipe takes more again, `on_read` after what came together."""

    def __init__(
        self, rng: random.Random, receive: Callable[[Item], None], *, on_room: Hook | None = None, on_read: Hook | None = None
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._rng = rng
        self._latency_s = GRAIN_S * rng.randint(1, LATENCY_GRAINS_MAX)
        self._receive = receive
        self._on_room = on_room or _nothing
        self._on_read = on_read or _nothing
        self._items: deque[tuple[float, Item]] = deque()
        self._bytes = 0
        self._was_full = False
        self._is_awake = False  # a delivery is scheduled
        self._is_stalled = False
        self._is_dead = False

    @property
    def is_full(self) -> bool:
        return self._bytes > ROOM_BYTES

    def send(self, item: Item) -> None:
        """Never refuses: a writer that goes on in spite of `is_full` is the writer's fault."""
        if self._is_dead:
            return
        due = self._loop.time() + self._latency_s + GRAIN_S * int(self._rng.random() * JITTER_GRAINS_MAX)
        if self._items:
            due = max(due, self._items[-1][0])
        self._items.append((due, item))
        self._bytes += len(item.payload) if isinstance(item, Bytes) else 0
        self._was_full = self._was_full or self.is_full
        self._schedule()

    def stall(self) -> None:
        """The reader does not read, or the path is a black hole: what is sent waits."""
        self._is_stalled = True

    def flow(self) -> None:
        self._is_stalled = False
        self._schedule()

    def die(self) -> None:
        """What is on its way is lost, and so is all that follows."""
        self._is_dead = True
        self._items.clear()
        self._bytes = 0

    def _schedule(self) -> None:
        if self._items and not self._is_awake and not self._is_stalled:
            self._is_awake = True
            self._loop.call_at(self._items[0][0], self._deliver)

    def _deliver(self) -> None:
        self._is_awake = False
        now = self._loop.time()
        while self._items and not self._is_stalled and self._items[0][0] <= now:
            item = self._items.popleft()[1]
            self._bytes -= len(item.payload) if isinstance(item, Bytes) else 0
            self._receive(item)
        self._on_read()
        if self._was_full and not self.is_full and not self._is_dead:
            self._was_full = False
            self._on_room()
        self._schedule()


class Line:
    """A connection: two pipes, and both ends' view of its life. `up` leads to the replica, `down` to the client.

    The replica's side is told by `to_replica` what came, by `on_read` that what came together is complete, by `on_room` that a
    full line takes more, by `on_left` that its own leaving is done. It sets them when it takes the line.
    """

    def __init__(self, rng: random.Random, to_client: Callable[[Item], None]) -> None:
        self._loop = asyncio.get_running_loop()
        self._rng = rng
        self._to_client = to_client
        self.to_replica: Callable[[Item], None] = _nothing
        self.on_room: Callable[[], None] = _nothing
        self.on_left: Callable[[], None] = _nothing
        self.on_read: Callable[[], None] = _nothing
        self._has_client_end = True
        self._has_replica_end = True
        self.down = Pipe(rng, self._at_client, on_room=lambda: self.on_room())  # noqa: PLW0108 (it is set later)
        self.up = Pipe(rng, self._at_replica, on_read=lambda: self.on_read())  # noqa: PLW0108 (it is set later)

    @property
    def is_up(self) -> bool:
        """Do both ends take it for alive?"""
        return self._has_client_end and self._has_replica_end

    def reset(self) -> None:
        """The path breaks and both ends learn of it, each in its own time."""
        self.up.die()
        self.down.die()
        for tell in (self._at_client, self._at_replica):
            self._loop.call_later(self._notice_s(), tell, End(1006, "connection lost"))

    def black_hole(self) -> None:
        """The path swallows everything and nobody learns of it: half-open until someone's patience ends."""
        self.up.die()
        self.down.die()

    def leave_client(self, code: int = 1001) -> None:
        """The client closes: it is done with the line at once, the replica learns later."""
        self._has_client_end = False
        self.down.die()
        self.up.send(End(code))

    def leave_replica(self, code: int, reason: str = "") -> None:
        """The replica closes: the client gets what was sent before, and then the code."""
        if self._has_replica_end:
            self._has_replica_end = False
            self.up.die()
            self.down.send(End(code, reason))
            self._loop.call_soon(self.on_left)

    def abort_replica(self) -> None:
        """The replica's end is gone without a word, its process perhaps too."""
        self._has_replica_end = False
        self.up.die()
        self.down.die()
        self._loop.call_soon(self.on_left)
        self._loop.call_later(self._notice_s(), self._at_client, End(1006, "connection lost"))

    def _notice_s(self) -> float:
        return GRAIN_S * self._rng.randint(1, NOTICE_GRAINS_MAX)

    def _at_client(self, item: Item) -> None:
        if self._has_client_end:
            self._has_client_end = not isinstance(item, End)
            self._to_client(item)

    def _at_replica(self, item: Item) -> None:
        if self._has_replica_end:
            self._has_replica_end = not isinstance(item, End)
            self.to_replica(item)


def _nothing(*_: object) -> None:
    """Nobody listens."""
