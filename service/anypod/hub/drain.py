"""Send everybody away, evenly over a window, so that the other replicas are not stormed.

Owns the plan and its execution. Must not know why the replica leaves.
"""

from dataclasses import dataclass
from random import Random
from typing import Final

from anypod.clock import Clock
from anypod.core import frames
from anypod.core.errors import CLOSE_LEAVING
from anypod.hub.attachments import Attachments
from anypod.hub.subscriber import Subscriber

RECONNECT_MS_MAX: Final = 500  # how long a client may wait: the window has spread them already
POLL_S: Final = 0.1  # between looks for whoever came meanwhile


@dataclass(frozen=True, slots=True)
class Step:
    """`at_s`: seconds after the drain began."""

    at_s: float
    reconnect_after_ms: int


def plan_drain(count: int, window_s: float, rng: Random) -> list[Step]:
    """One step a subscriber, evenly spread; the last one a step before the window ends."""
    return [Step(at_s=window_s * index / count, reconnect_after_ms=rng.randrange(RECONNECT_MS_MAX)) for index in range(count)]


class Drain:
    def __init__(self, attachments: Attachments, clock: Clock, rng: Random) -> None:
        self._attachments = attachments
        self._clock = clock
        self._rng = rng

    async def run(self, window_s: float) -> int:
        """Say goodbye to everybody; how many that were. Whoever has not gone when it ends is aborted."""
        began = self._clock.now()
        waiting = list(self._attachments.everybody)
        self._rng.shuffle(waiting)
        told: set[Subscriber] = set()
        for subscriber, step in zip(waiting, plan_drain(len(waiting), window_s, self._rng), strict=True):
            if (wait_s := began + step.at_s - self._clock.now()) > 0:
                await self._clock.sleep(wait_s)
            self._send_away(subscriber, step.reconnect_after_ms)
            told.add(subscriber)
        await self._send_away_late(began + window_s, told)
        return len(told)

    async def _send_away_late(self, until: float, told: set[Subscriber]) -> None:
        """Those who came while the others went."""
        while self._attachments.everybody and self._clock.now() < until:
            for subscriber in [one for one in self._attachments.everybody if one not in told]:
                self._send_away(subscriber, self._rng.randrange(RECONNECT_MS_MAX))
                told.add(subscriber)
            await self._clock.sleep(POLL_S)
        for subscriber in tuple(self._attachments.everybody):
            subscriber.port.abort()

    def _send_away(self, subscriber: Subscriber, reconnect_after_ms: int) -> None:
        if subscriber not in self._attachments.everybody:
            return
        if subscriber.paused_at is not None:
            subscriber.port.abort()  # it would not read the goodbye either
            return
        subscriber.port.send(frames.encode(frames.Goaway(reason="draining", reconnect_after_ms=reconnect_after_ms)))
        subscriber.port.close(CLOSE_LEAVING, "the replica is leaving")
