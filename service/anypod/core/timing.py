"""Derive every duration of a deployment from the proxies on the path, the drain window and the store's patience.

Owns the formulas; each exists here, and once more in the chart's `_timing.tpl`, which a test holds to this. Must not know where the
numbers come from.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

HEARTBEAT_MS_MAX = 25_000  # undeclared proxies on the way close idle connections from 30 s on
SILENCE_SLACK_MS = 5_000  # one slow garbage collection or Wi-Fi roam is not a death
POLL_WAIT_MS_MAX: Final = 60_000  # protocol.md: a long-poll waits so long at most

KEEP_ALIVE_SLACK_S: Final = 10  # longer than any proxy keeps an idle connection, so that none sends into one that is closing
KEEP_ALIVE_S: Final = 75  # of clients that connect without a declared proxy: longer than the 60 s that most of them keep

# From the removal of a replica's address to the last new connection that still comes to it, by the kind of proxy: how long that kind
# takes to hear of the removal and to act on it.
NOTICE_S: Final = {"alb": 15, "nlb": 120, "nginx": 5, "haproxy": 5, "traefik": 5}
NOTICE_S_MIN: Final = 5  # every node's own rules of Services follow within that time
NOTICE_S_UNKNOWN: Final = 15  # of a proxy that is none of these

EXIT_S: Final = 2.0  # from the end of the last request to the end of the process: closing the store and the last sockets
GRACE_SLACK_S: Final = 5  # a node that is busy sends the signal late

CONNECTION_AGE_S: Final = 3_000  # with its jitter still below the hour that an ALB keeps a client's connection
CONNECTION_AGE_JITTER_PERCENT: Final = 20  # either way, so that clients that attached together do not leave together
GRACES_PER_AGE: Final = 10  # a rollout is over before age sends a client away that it has just moved
CLIENT_KEEP_ALIVE_S: Final = 3_600  # an ALB's own default


@dataclass(frozen=True, slots=True)
class Proxy:
    """`name`: one of the kinds in NOTICE_S, or any other."""

    name: str
    idle_timeout_ms: int


@dataclass(frozen=True, slots=True)
class Timing:
    """Of a connection. In milliseconds: the interval of heartbeats, the silence after which it is dead, and the longest wait of a poll,
    which is silent; in seconds: how long a connection without a request stays open."""

    heartbeat_ms: int
    silence_ms: int
    poll_wait_ms: int
    keep_alive_s: int

    @classmethod
    def derive(cls, proxies: Sequence[Proxy], *, heartbeat_ms_max: int = HEARTBEAT_MS_MAX) -> "Timing":
        """A quarter of the shortest idle timeout: three beats may be lost before a proxy closes. A poll ends one beat before it would."""
        shortest_ms = min((proxy.idle_timeout_ms for proxy in proxies), default=None)
        beat_ms = shortest_ms // 4 if shortest_ms is not None else heartbeat_ms_max
        heartbeat_ms = min(beat_ms, heartbeat_ms_max)
        assert heartbeat_ms > 0, f"no heartbeat fits an idle timeout of {shortest_ms} ms"
        return cls(
            heartbeat_ms=heartbeat_ms,
            silence_ms=silence_ms(heartbeat_ms),
            poll_wait_ms=min(shortest_ms - beat_ms, POLL_WAIT_MS_MAX) if shortest_ms is not None else POLL_WAIT_MS_MAX,
            keep_alive_s=_keep_alive_s(proxies),
        )


@dataclass(frozen=True, slots=True)
class Departure:
    """How a replica leaves, in whole seconds. `notice_s`: before its SIGTERM, for the proxies to stop sending to it. `leave_s`: from
    SIGTERM to the end of its process. `grace_s`: from its deletion to the moment when it would be killed."""

    notice_s: int
    leave_s: int
    grace_s: int

    @classmethod
    def derive(cls, proxies: Sequence[Proxy], *, drain_s: float, append_deadline_s: float) -> "Departure":
        notice_s = max((NOTICE_S.get(proxy.name, NOTICE_S_UNKNOWN) for proxy in proxies), default=NOTICE_S_MIN)
        leave_s = math.ceil(leave_seconds(0, drain_s, append_deadline_s)) + GRACE_SLACK_S
        return cls(notice_s=notice_s, leave_s=leave_s, grace_s=notice_s + leave_s)

    @property
    def deregistration_delay_s(self) -> int:
        """A balancer cuts the connections of a target that it has let go after this: not before the target itself is gone."""
        return self.grace_s

    @property
    def connection_age_s(self) -> int:
        return max(CONNECTION_AGE_S, GRACES_PER_AGE * self.grace_s)

    @property
    def client_keep_alive_s(self) -> int:
        """A balancer ends a client's connection after this: not before age has, which says goodbye."""
        return max(CLIENT_KEEP_ALIVE_S, _hundredths(self.connection_age_s * (100 + CONNECTION_AGE_JITTER_PERCENT)))


def silence_ms(heartbeat_ms: int) -> int:
    """Silence for two intervals and some slack means that the connection is dead (protocol.md, "Heartbeats")."""
    return 2 * heartbeat_ms + SILENCE_SLACK_MS


def leave_seconds(ready_wait_s: float, drain_s: float, append_deadline_s: float) -> float:
    """From SIGTERM to the end of the process: a publisher at the last moment of the drain still gets the store's answer."""
    return ready_wait_s + drain_s + append_deadline_s + EXIT_S


def _keep_alive_s(proxies: Sequence[Proxy]) -> int:
    longest_ms = max((proxy.idle_timeout_ms for proxy in proxies), default=None)
    return math.ceil(longest_ms / 1000) + KEEP_ALIVE_SLACK_S if longest_ms is not None else KEEP_ALIVE_S


def _hundredths(hundreds: int) -> int:
    """Rounded up, and without fractions, which a chart's templates have not."""
    return -(-hundreds // 100)
