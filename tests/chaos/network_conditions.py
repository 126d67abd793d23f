"""What a line does to the bytes of one direction, and the order in which they leave it.

Owns the queue of one direction and its pace. Must not know sockets: it is given where bytes go and how their source is stopped.
"""

import asyncio
import random
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from functools import reduce
from typing import Final

SEGMENT_BYTES: Final = 1_460  # what one packet carries: the unit that is paced, and lost
RETRANSMIT_S: Final = 0.2  # the least time after which TCP sends a lost packet again: a loss is a stall of as much
QUEUE_BYTES_MAX: Final = 64 * 1024  # what a slow line holds; beyond it the source is not read, as with a full window


@dataclass(frozen=True, slots=True)
class NetworkConditions:
    """`is_held`: nothing passes, and nothing is lost by it: as over a line whose packets vanish, TCP sends them again once it is over.

    `bytes_per_s`: the pace, None for any. `loss`: the share of packets that are lost at first.
    """

    is_held: bool = False
    delay_s: float = 0.0
    bytes_per_s: float | None = None
    loss: float = 0.0

    def and_also(self, other: "NetworkConditions") -> "NetworkConditions":
        """Both at once."""
        paces = [pace for pace in (self.bytes_per_s, other.bytes_per_s) if pace is not None]
        return NetworkConditions(
            self.is_held or other.is_held,
            self.delay_s + other.delay_s,
            min(paces, default=None),
            max(self.loss, other.loss),
        )


CLEAR: Final = NetworkConditions()
HELD: Final = NetworkConditions(is_held=True)
SLOW: Final = NetworkConditions(delay_s=0.05, bytes_per_s=125_000, loss=0.02)  # 1 Mbit/s, as a train's passenger has it


def together(spells: list[NetworkConditions]) -> NetworkConditions:
    return reduce(NetworkConditions.and_also, spells, CLEAR)


class Direction:
    """`write` takes what has passed; `pause` is told whether the source is to be read. An end passes after what came before it."""

    def __init__(self, write: Callable[[bytes], None], pause: Callable[[bool], None], rng: random.Random) -> None:
        self._loop = asyncio.get_running_loop()
        self._write = write
        self._pause = pause
        self._rng = rng
        self._weather = CLEAR
        self._queue: deque[tuple[float, bytes | Callable[[], None]]] = deque()
        self._queued_bytes = 0
        self._free_at = 0.0  # when the next packet may leave
        self._timer: asyncio.TimerHandle | None = None

    def come(self, weather: NetworkConditions) -> None:
        """The weather changes, for what is queued too."""
        if weather == self._weather:
            return
        self._weather = weather
        self._free_at = 0.0
        if weather.delay_s == 0.0:
            now = self._loop.time()
            self._queue = deque((min(due, now), item) for due, item in self._queue)
        self._pump()

    def take(self, chunk: bytes) -> None:
        if not self._queue and self._weather is CLEAR:
            self._write(chunk)  # nearly always
            return
        due = self._loop.time() + self._weather.delay_s
        size = SEGMENT_BYTES if self._weather.bytes_per_s is not None else len(chunk)
        self._queue.extend((due, chunk[start : start + size]) for start in range(0, len(chunk), size))
        self._queued_bytes += len(chunk)
        self._pump()

    def end(self, how: Callable[[], None]) -> None:
        """`how` is called when everything before it has passed."""
        self._queue.append((self._loop.time() + self._weather.delay_s, how))
        self._pump()

    def forget(self) -> None:
        """Whatever is on its way is gone."""
        self._queue.clear()
        if self._timer is not None:
            self._timer.cancel()

    def _pump(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        while self._queue and not self._weather.is_held:
            due = max(self._queue[0][0], self._free_at)
            if due > self._loop.time():
                self._timer = self._loop.call_at(due, self._pump)
                break
            self._pass(self._queue.popleft()[1], due)
        self._pause(self._weather.is_held or self._queued_bytes > QUEUE_BYTES_MAX)

    def _pass(self, item: bytes | Callable[[], None], due: float) -> None:
        if not isinstance(item, bytes):
            item()
            return
        self._queued_bytes -= len(item)
        if self._weather.bytes_per_s is not None:
            stall_s = RETRANSMIT_S if self._rng.random() < self._weather.loss else 0.0
            self._free_at = max(due, self._loop.time()) + len(item) / self._weather.bytes_per_s + stall_s
        self._write(item)
