"""The time over which a load is measured.

Owns what all processes of a row used between its begin and its end. Must not know what they did.
"""

import gc
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from loadtests.bench.meter import core_busy_s, cpu_s
from loadtests.bench.outcome import Sample


@dataclass(frozen=True, slots=True)
class Usage:
    """Seconds of the clock, and of a core each. `core_s`: of everybody on the server's core."""

    seconds: float
    server_s: float
    client_s: float
    store_s: float
    core_s: float

    @property
    def client(self) -> float:
        return self.client_s / self.seconds

    @property
    def store(self) -> float:
        return self.store_s / self.seconds

    @property
    def others(self) -> float:
        """What the machine's other work took of the server's core."""
        return max(0.0, (self.core_s - self.server_s) / self.seconds)

    def server_us(self, operations: float) -> float:
        return self.server_s / max(operations, 1) * 1e6

    def sample(self, value: float, operations: float, **details: float) -> Sample:
        return Sample(value, self.server_us(operations), self.client, self.store, self.others, details)


class Window:
    """Runs from its making."""

    def __init__(self, servers: Sequence[int], store: int, core: int) -> None:
        self._servers = servers
        self._store = store
        self._core = core
        self._began = self._now()

    def end(self) -> Usage:
        return Usage(*(end - begin for end, begin in zip(self._now(), self._began, strict=True)))

    def _now(self) -> tuple[float, float, float, float, float]:
        return time.perf_counter(), sum(map(cpu_s, self._servers)), time.process_time(), cpu_s(self._store), core_busy_s(self._core)


@contextmanager
def quiet_collector() -> Iterator[None]:
    """The load's own garbage collection must not look like a slow server."""
    gc.collect()
    gc.freeze()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()
        gc.unfreeze()


def quantile(values: Sequence[float], share: float) -> float:
    """`values` ascending, not empty."""
    return values[min(len(values) - 1, int(len(values) * share))]
