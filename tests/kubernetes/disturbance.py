"""A crowd on the release while something is done to it, and what is asked of every such run.

Owns the crowd's size and pace, and what must hold after each. Must not know what is done.
"""

import asyncio
from collections.abc import Callable
from typing import Final

from tests.kubernetes.politeness import departures, superfluous
from tests.kubernetes.release import Release
from tests.slo.crowd import Crowd, Member, Outcome

from anypod.core.statistics import percentile

CLIENTS: Final = 300
SESSIONS: Final = 75
PUBLISH_EVERY_S: Final = 3.0  # by each client: a hundred events a second, and every cluster's machine has little to do
RECOVERY_S_MAX: Final = 15.0  # of the 95th percentile: a node that dies takes 12 s to be noticed


class Disturbance:
    """`url`: where the crowd comes in; the service's own port unless given."""

    def __init__(self, release: Release, name: str, *, clients: int = CLIENTS, url: Callable[[], str] | None = None) -> None:
        self._name = name
        address = (url or release.url)()  # asked once: each answer takes a program or two
        self._crowd = Crowd(
            lambda: address,
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

    def check_politeness(self, left: set[str]) -> None:
        """Of a deed that somebody meant; `left`: the replicas that had to leave."""
        in_vain = superfluous(self.members, left)
        assert not in_vain, in_vain
        for departure in departures(self.members, left):
            print(f"  {departure}")
            assert departure.is_even, departure


async def _in_thread(disturb: Callable[[], object]) -> None:
    await asyncio.to_thread(disturb)
