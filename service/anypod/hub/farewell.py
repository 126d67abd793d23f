"""How a subscriber is sent away: told why and when to come again, then closed.

Owns the words and the wait. Must not know who is chosen, nor when.
"""

from random import Random
from typing import Final

from anypod.core import frames
from anypod.core.errors import CLOSE_LEAVING
from anypod.hub.subscriber import Subscriber
from anypod.telemetry import Leaving, Metrics

RECONNECT_MS_MAX: Final = 500  # how long a client may wait: whoever chooses has spread them already

REASONS: Final[dict[Leaving, str]] = {
    "draining": "the replica is leaving",
    "aged": "the connection is old enough to find another replica",
    "surplus": "another replica has more room",
}


class Farewell:
    def __init__(self, metrics: Metrics, rng: Random) -> None:
        self._metrics = metrics
        self._rng = rng

    def say(self, subscriber: Subscriber, why: Leaving) -> None:
        self._metrics.sent_away[why] += 1
        if subscriber.paused_at is not None:
            subscriber.port.abort()  # it would not read the goodbye either
            return
        after_ms = self._rng.randrange(RECONNECT_MS_MAX)
        subscriber.port.send(frames.encode(frames.GoawayFrame(reason=why, reconnect_after_ms=after_ms)))
        subscriber.port.close(CLOSE_LEAVING, REASONS[why])
