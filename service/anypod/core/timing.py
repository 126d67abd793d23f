"""Derive every duration of a deployment from the proxies on the path.

Owns the formulas; each exists here and nowhere else. Must not know where the numbers come from.
"""

from collections.abc import Sequence
from dataclasses import dataclass

HEARTBEAT_MS_MAX = 25_000  # undeclared proxies on the way close idle connections from 30 s on
SILENCE_SLACK_MS = 5_000  # one slow garbage collection or Wi-Fi roam is not a death


@dataclass(frozen=True, slots=True)
class Proxy:
    name: str
    idle_timeout_ms: int


@dataclass(frozen=True, slots=True)
class Timing:
    """Both in milliseconds: the interval of heartbeats, and the silence after which a connection is dead."""

    heartbeat_ms: int
    silence_ms: int

    @classmethod
    def derive(cls, proxies: Sequence[Proxy], *, heartbeat_ms_max: int = HEARTBEAT_MS_MAX) -> "Timing":
        """A quarter of the shortest idle timeout: three beats may be lost before a proxy closes."""
        shortest_ms = min((proxy.idle_timeout_ms for proxy in proxies), default=4 * heartbeat_ms_max)
        heartbeat_ms = min(shortest_ms // 4, heartbeat_ms_max)
        assert heartbeat_ms > 0, f"no heartbeat fits an idle timeout of {shortest_ms} ms"
        return cls(heartbeat_ms=heartbeat_ms, silence_ms=silence_ms(heartbeat_ms))


def silence_ms(heartbeat_ms: int) -> int:
    """Silence for two intervals and some slack means that the connection is dead (protocol.md, "Heartbeats")."""
    return 2 * heartbeat_ms + SILENCE_SLACK_MS
