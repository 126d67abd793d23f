"""Which core runs what.

Owns the choice of cores and the pinning. Must not know what runs on them. The server under load has a core of its own; whoever
loads it, and the store, share another: so both sides of a row have the same amount of machine.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Cores:
    server: int
    client: int

    @property
    def is_shared(self) -> bool:
        """One core for everything: ratios still tell something, rates do not."""
        return self.server == self.client


def choose_cores() -> Cores:
    allowed = sorted(os.sched_getaffinity(0))
    return Cores(server=allowed[0], client=allowed[1] if len(allowed) > 1 else allowed[0])


@contextmanager
def pinned_to(core: int) -> Iterator[None]:
    """This process and whatever it starts meanwhile. Inherited from the start, because a Go program counts its cores only once."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {core})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)
