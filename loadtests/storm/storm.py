"""One storm: everybody is cut at once and comes back at once, while others publish.

Owns its course and its judgement. Must not know how the server was started. The publishers are judged by what they waited before
the storm, in the same run; the crowd by what the limits on arrivals promise.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from loadtests.bench.connection import close_all
from loadtests.bench.loads.resume import Place, seed
from loadtests.bench.server import Server
from loadtests.bench.window import quiet_collector
from loadtests.storm.crowd import Back, Crowd
from loadtests.storm.publishers import Noticed, Publishers, publishing

from anypod.core.admission import BURST_S
from anypod.hub.config import Arrivals

SESSIONS: Final = 50
SETTLE_S: Final = 3.0  # after the crowds have come: what waited for them is served, and the collector has looked at what they left
CALM_S: Final = 4.0
P99_RATIO_MAX: Final = 2.0
P99_FLOOR_MS: Final = 1.0  # twice what a quiet machine shows before a storm; a calm that is quieter still is luck, and no measure
SLACK: Final = 1.25  # hints differ by a tenth
CONNECT_S: Final = 1.0  # for thousands of connections to be made, by one process


@dataclass(frozen=True, slots=True)
class Storm:
    """What was seen. `promised_s`: when the limits have let everybody in."""

    promised_s: float
    back: Back
    calm: Noticed
    noticed: Noticed

    @property
    def is_back(self) -> bool:
        return self.back.took_s <= self.promised_s * SLACK + CONNECT_S

    def is_served(self, ratio_max: float = P99_RATIO_MAX) -> bool:
        return self.noticed.p99_ms <= max(P99_FLOOR_MS, ratio_max * self.calm.p99_ms)

    def __str__(self) -> str:
        calm, noticed, back = self.calm, self.noticed, self.back
        ratio = noticed.p99_ms / calm.p99_ms
        return (
            f"all are back after {back.took_s:.2f} s, promised {self.promised_s:.2f} s; told to come again later: {back.told:,}\n"
            f"  publishers' p99: {calm.p99_ms:.1f} ms before, {noticed.p99_ms:.1f} ms during the storm, {ratio:.1f} times as much; "
            f"p50 {noticed.p50_ms:.1f}, worst {noticed.worst_ms:.1f} ms of {noticed.events:,}; "
            f"themselves late by {noticed.late_ms:.1f} ms in the 99th percentile"
        )


async def storms(server: Server, clients: int, arrivals: Arrivals, count: int) -> list[Storm]:
    """One after the other against the same server."""
    keepers, places = await seed(server, SESSIONS, 0)
    promised_s = max(0.0, clients / arrivals.resumes_per_s - BURST_S)
    async with publishing(server.port, server.dialect) as publishers:
        with quiet_collector():
            found = [await _storm(server.port, places, clients, promised_s, publishers) for _ in range(count)]
    close_all(keepers)
    return found


async def _storm(port: int, places: Sequence[Place], clients: int, promised_s: float, publishers: Publishers) -> Storm:
    cut, back = Crowd("cut", port, places, clients), Crowd("back", port, places, clients)
    try:
        await cut.start()
        await back.start()
        await asyncio.sleep(SETTLE_S)
        publishers.noticed()  # what they noticed of the coming is of no interest
        await asyncio.sleep(CALM_S)
        calm = publishers.noticed()
        cut.cut()
        seen = await back.come_back()
        return Storm(promised_s, seen, calm, publishers.noticed())
    finally:
        await cut.end()
        await back.end()
