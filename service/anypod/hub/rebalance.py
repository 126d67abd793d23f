"""Send away what a replica has too many, so that pods which came later get their share.

Owns when a replica may do so, how fast, and which clients it chooses. Must not know what its share is: `core.balance` judges that.

Only in a fleet at rest: while replicas start and stop, all counts are about to change, and a client that is sent away then may be
sent to one that leaves next.
"""

from collections.abc import Sequence
from heapq import nsmallest
from math import ceil
from random import Random
from typing import Final

from anypod.core.balance import surplus
from anypod.core.errors import AnypodError
from anypod.hub.attach import Attachments
from anypod.hub.drain import Goaway
from anypod.hub.hub import Hub
from anypod.hub.membership import ANNOUNCE_S, Membership, ReplicaMember
from anypod.hub.session import Subscriber

REST_S: Final = 60.0  # without a replica that came, went or drains: longer than a step of a rollout
LASTING_S: Final = 15.0  # that a surplus must have been there: in a storm of arrivals the others' numbers are older than one's own
SHED_S: Final = 20.0  # over which a surplus goes, evenly; with the seconds of announcements between them it is half a minute
SHED_PER_S_MAX: Final = 200  # of a large one: a small part of what the others' budgets of arrivals let in
DRAWN_FOR_ONE: Final = 4  # when three late replicas get their share of 300, some 3 are moved twice; with one drawn it would be 40


class Rebalance:
    """`every_second`: called by the housekeeping. `share_max`: see `core.balance`; 0: no client is sent away."""

    def __init__(
        self, hub: Hub, attachments: Attachments, membership: Membership, goaway: Goaway, *, rng: Random, share_max: float
    ) -> None:
        self._hub = hub
        self._attachments = attachments
        self._membership = membership
        self._goaway = goaway
        self._rng = rng
        self._share_max = share_max
        self._next_announcement = 0.0
        self._lives: frozenset[tuple[str, int]] = frozenset()
        self._rests_since = float("inf")
        self._too_many_since: float | None = None
        self._surplus = 0  # as judged after the last announcement, less those sent away since
        self._pace = 0  # of them in a second
        self._on_their_way = 0  # sent away since the announcement before: the replica they attach to may not have counted them yet

    def every_second(self, now: float) -> None:
        if not self._hub.store.is_available:
            self._surplus = 0  # the counts of the others are unknown
        elif now >= self._next_announcement:
            self._next_announcement = now + ANNOUNCE_S
            # No client is sent away in this second: those of the second before have gone, and are not counted any more.
            self._hub.tasks.start(self._announce(), "announcement")
        elif self._surplus > 0 and not self._hub.is_leaving:
            self._shed(min(self._surplus, self._pace))
        self._hub.has_surplus = self._surplus > 0

    async def _announce(self) -> None:
        try:
            self._judge(await self._membership.announce(), self._hub.clock.now())
        except AnypodError:
            self._surplus = 0  # the store is away

    def _judge(self, members: Sequence[ReplicaMember], now: float) -> None:
        lives = frozenset((member.replica, member.since_ms) for member in members)
        if lives != self._lives or any(member.draining for member in members):
            self._lives, self._rests_since = lives, now
        total = sum(member.connections for member in members) + self._on_their_way
        self._on_their_way = 0
        found = surplus(len(self._attachments.schedule), total, len(members), share_max=self._share_max)
        self._too_many_since = (now if self._too_many_since is None else self._too_many_since) if found else None
        rests = now - self._rests_since >= REST_S
        lasts = self._too_many_since is not None and now - self._too_many_since >= LASTING_S
        self._surplus = found if rests and lasts else 0
        # Some come back to where they were sent away, so what is left goes as fast as it began, not slower each time it is judged.
        begun = self._pace if self._surplus else 0
        self._pace = max(begun, min(ceil(self._surplus / SHED_S), SHED_PER_S_MAX))

    def _shed(self, count: int) -> None:
        """Of many drawn at random, those that attached first: a balancer that knows no loads sends some of them back to where others
        are sent away, and by lot alone they would be moved again and again."""
        staying = [one for one in self._attachments.schedule if _may_go(one)]
        drawn = self._rng.sample(staying, min(DRAWN_FOR_ONE * count, len(staying)))
        for subscriber in nsmallest(count, drawn, key=lambda one: one.came_at):
            self._goaway.send(subscriber, "surplus")
        self._surplus -= count
        self._on_their_way += count


def _may_go(subscriber: Subscriber) -> bool:
    """A client that is still opening, or behind, has a reconnect of its own to finish first."""
    return subscriber.session is not None and subscriber in subscriber.session.live
