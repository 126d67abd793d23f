"""Drain: all clients are sent away (goaway), evenly over a window, so that the other replicas are not stormed.

Owns the plan, its execution, and the frame and the wait with which one subscriber is sent away. Must not know why the replica leaves.
"""

from collections.abc import Sequence
from random import Random
from typing import Final

from anypod.clock import Clock
from anypod.core import frames
from anypod.core.errors import CLOSE_LEAVING
from anypod.hub.attach import Attachments
from anypod.hub.session import Subscriber
from anypod.telemetry import Leaving, Metrics

RECONNECT_MS_MAX: Final = 500  # jitter of one client; the drain has spread them over its window already
REASONS: Final[dict[Leaving, str]] = {
    "draining": "the replica is leaving",
    "aged": "the connection is old enough to find another replica",
    "surplus": "another replica has more room",
}
POLL_S: Final = 0.1  # between looks for clients that attached meanwhile


class Goaway:
    """Sends one subscriber away: told why and when to attach anew, then closed."""

    def __init__(self, metrics: Metrics, rng: Random) -> None:
        self._metrics = metrics
        self._rng = rng

    def send(self, subscriber: Subscriber, reason: Leaving) -> None:
        self._metrics.sent_away[reason] += 1
        if subscriber.paused_at is not None:
            subscriber.port.abort()  # it would not read the frame either
            return
        after_ms = self._rng.randrange(RECONNECT_MS_MAX)
        subscriber.port.send(frames.encode(frames.GoawayFrame(reason=reason, reconnect_after_ms=after_ms)))
        subscriber.port.close(CLOSE_LEAVING, REASONS[reason])


def plan_drain(count: int, window_s: float) -> Sequence[float]:
    """When each goes, in seconds after the drain began: evenly, the last one a step before the window ends."""
    return [window_s * index / count for index in range(count)]


class Drain:
    def __init__(self, attachments: Attachments, goaway: Goaway, clock: Clock, rng: Random) -> None:
        self._attachments = attachments
        self._goaway = goaway
        self._clock = clock
        self._rng = rng

    async def run(self, window_s: float) -> int:
        """Send all clients away; returns how many. A client that has not gone at the end is aborted."""
        began = self._clock.now()
        waiting = list(self._attachments.schedule)
        self._rng.shuffle(waiting)
        told: set[Subscriber] = set()
        for subscriber, at_s in zip(waiting, plan_drain(len(waiting), window_s), strict=True):
            if (wait_s := began + at_s - self._clock.now()) > 0:
                await self._clock.sleep(wait_s)
            self._send_away(subscriber)
            told.add(subscriber)
        await self._send_away_late(began + window_s, told)
        return len(told)

    async def _send_away_late(self, until: float, told: set[Subscriber]) -> None:
        """Clients that attached while the others were sent away."""
        while self._attachments.schedule and self._clock.now() < until:
            for subscriber in [one for one in self._attachments.schedule if one not in told]:
                self._send_away(subscriber)
                told.add(subscriber)
            await self._clock.sleep(POLL_S)
        for subscriber in tuple(self._attachments.schedule):
            subscriber.port.abort()

    def _send_away(self, subscriber: Subscriber) -> None:
        if subscriber in self._attachments.schedule:
            self._goaway.send(subscriber, "draining")
