"""A crowd on the release while something is done to it, and what is asked of every such run.

Owns the crowd's size and pace, what must hold after each, and how closes are counted. Must not know what is done.
"""

import asyncio
from collections import Counter, defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

from tests.deploy.release import Release
from tests.processes.crowd import Crowd, Member, Outcome

from anypod.cli.demo.tally import percentile

CLIENTS: Final = 300
SESSIONS: Final = 75
PUBLISH_EVERY_S: Final = 3.0  # by each client: a hundred events a second, and every cluster's machine has little to do
SPREAD_MAX: Final = 2.0  # closes in the busiest second of a drain, against the mean
SPREAD_FROM: Final = 40  # closes of one pod, below which seconds are too few to compare
RECOVERY_S_MAX: Final = 15.0  # of the 95th percentile: a node that dies takes 12 s to be noticed


@dataclass(frozen=True, slots=True)
class Departure:
    """Who left one replica: when (clock seconds), one entry each."""

    replica: str
    closes: tuple[float, ...]

    @property
    def spread(self) -> float:
        """Closes in the busiest second against the mean of all seconds from the first to the last."""
        began, ended = min(self.closes), max(self.closes)
        seconds = max(1.0, ended - began)
        busiest = max(Counter(int(at - began) for at in self.closes).values())
        return busiest / (len(self.closes) / seconds)


class Disturbance:
    """`url`: where the crowd comes in; the service's own port unless given."""

    def __init__(self, release: Release, name: str, *, clients: int = CLIENTS, url: Callable[[], str] | None = None) -> None:
        self._name = name
        self._crowd = Crowd(
            url or release.url,
            clients,
            max(1, clients * SESSIONS // CLIENTS),
            name.replace(" ", "-"),  # it begins the names of its sessions
            credential=release.credential,
            publish_every_s=PUBLISH_EVERY_S,
        )

    async def run(self, disturb: Callable[[], object]) -> Outcome:
        """Nothing lost, doubled or missing, whatever was done; prints what was seen."""
        outcome = await self._crowd.run(lambda: asyncio.create_task(_in_thread(disturb)))
        print(f"\n{self._name}: {outcome}")
        assert outcome.is_clean, outcome
        if outcome.recoveries_s:
            assert percentile(outcome.recoveries_s, 95) <= RECOVERY_S_MAX
        return outcome

    @property
    def members(self) -> list[Member]:
        return self._crowd.members

    def replicas_met(self) -> set[str]:
        return {replica for member in self.members for _, replica in member.attached}

    def superfluous(self, left: set[str]) -> list[str]:
        """Reconnects that no replica's leaving asked for, each in words: away from one that stayed, or twice from the same."""
        told = []
        for index, member in enumerate(self.members):
            moves = Counter(before for (_, before), _ in pairwise(member.attached))
            told += [
                f"client {index} ({member.transport}) left {name} {count} times"
                for name, count in moves.items()
                if name not in left or count > 1
            ]
        return told

    def departures(self, left: set[str]) -> list[Departure]:
        """Closes of those who were told to leave, by the replica that told them. A poll does not tell where it was: a third is missing."""
        closes: dict[str, list[float]] = defaultdict(list)
        for member in self.members:
            for at, _ in member.closed:
                held = [replica for since, replica in member.attached if since <= at]
                if held and held[-1] in left:
                    closes[held[-1]].append(at)
        return [Departure(replica, tuple(sorted(times))) for replica, times in sorted(closes.items())]

    def check_politeness(self, left: set[str]) -> None:
        """What clients may expect of a deed that somebody meant."""
        assert not self.superfluous(left), self.superfluous(left)
        for departure in self.departures(left):
            print(f"  {departure.replica}: {len(departure.closes)} closes, busiest second / mean {departure.spread:.2f}")
            assert len(departure.closes) < SPREAD_FROM or departure.spread <= SPREAD_MAX, departure


async def _in_thread(disturb: Callable[[], object]) -> None:
    await asyncio.to_thread(disturb)
