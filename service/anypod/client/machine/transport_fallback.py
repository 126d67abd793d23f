"""Which transport is tried next, after how long, and the state of the connection in use.

Owns the order WebSocket, SSE, long-poll; the backoff (full jitter, AWS Architecture Blog, "Exponential backoff and jitter"); and what is
known of one connection. Must not know what follows from its loss. Chance is given as a number.
"""

from dataclasses import dataclass
from typing import Final, Literal

from anypod.client.types import Transport
from anypod.core.timing import HEARTBEAT_MS_MAX, silence_ms

FIRST_S: Final = 1.0  # most reconnects succeed at once; spread over a second they do not arrive together
LAST_S: Final = 30.0  # a user who watches an outage end waits no longer than this
_DOUBLINGS_MAX: Final = 5  # 1 s doubled five times is beyond LAST_S already
Wanted = Literal["auto", "websocket", "sse", "poll"]
FAILURES_MAX: Final = 3  # a replica's restart fails one attempt or two; a proxy that blocks a transport fails all
PROBE_FIRST_S: Final = 15.0  # after an outage the best transport is back soon
PROBE_LAST_S: Final = 300.0  # behind a proxy that blocks it, a probe now and then costs nothing
_NEXT: Final[dict[Transport, Transport]] = {"websocket": "sse", "sse": "poll", "poll": "websocket"}
OPEN_S_MAX: Final = 10.0  # a mobile network's slowest handshake, name lookup and TLS included
FIRST_FRAME_S_MAX: Final[dict[Transport, float]] = {
    "websocket": 10.0,  # the waiting room of a loaded replica is shorter
    "sse": 5.0,  # data is due within a second: longer means that a proxy buffers the stream
    "poll": 15.0,
}
POLL_WAIT_S: Final = 25  # undeclared proxies on the way close idle connections from 30 s on
POLL_FIRST_WAIT_S: Final = 1  # only a request that waits creates a missing session; with a history there is nothing to create
POLL_PAUSE_S: Final = 1.0  # before asking again, when an answer came empty and without the wait that was asked for
POLL_SLACK_S: Final = 10.0  # for the answer itself
HEARTBEAT_MS_MIN: Final = 50  # whatever a replica asks for, beating is not to become work
PROBE_S_MAX: Final = 5.0  # an answer on a network that works takes less


def full_jitter_s(failures: int, chance: float) -> float:
    """Anything between nothing and the doubled bound: the whole range, so that a crowd spreads evenly. `chance` is in [0, 1)."""
    return chance * min(LAST_S, FIRST_S * 2.0 ** min(failures, _DOUBLINGS_MAX))


class TransportFallback:
    """`transport`: for the next attempt. `probe_at`: when to try WebSocket beside a lesser transport that works."""

    def __init__(self, wanted: Wanted) -> None:
        self._is_fixed = wanted != "auto"
        self.transport: Transport = "websocket" if wanted == "auto" else wanted
        self.probe_at: float | None = None
        self._failures = 0
        self._probe_s = PROBE_FIRST_S

    def failed(self, transport: Transport, *, is_certain: bool = False) -> bool:
        """Nothing came through. True: another transport is next.

        `is_certain`: the server was reached, and its words were held up on the way.
        """
        if self._is_fixed or transport != self.transport:
            return False
        self._failures += 1
        if self._failures < FAILURES_MAX and not is_certain:
            return False
        self._failures = 0
        self.transport = _NEXT[transport]
        return True

    def worked(self, transport: Transport, now: float) -> None:
        self._failures = 0
        if transport == "websocket":
            self.transport, self.probe_at, self._probe_s = transport, None, PROBE_FIRST_S
        elif not self._is_fixed:
            self.probe_at = now + self._probe_s

    def probed(self, now: float) -> None:
        """A probe has begun; the one after it comes later, should this one fail."""
        self._probe_s = min(PROBE_LAST_S, 2 * self._probe_s)
        self.probe_at = now + self._probe_s


@dataclass(slots=True)
class ConnectionState:
    """`give_up_at`: when silence until then means that the link is dead. `behind`: our cursor at a heartbeat that was ahead of it.

    For polling, `fold`: leave out what later events replace; `asked_at`, `fetch_at`: when the last page was asked for, and when
    the next one is to be.
    """

    id: int
    transport: Transport
    give_up_at: float
    is_opened: bool = False
    is_heard: bool = False
    is_synced: bool = False
    heartbeat_s: float = HEARTBEAT_MS_MAX / 1000
    beat_at: float | None = None
    behind: str | None = None
    fold: bool | None = None
    asked_at: float = 0.0
    fetch_at: float | None = None

    def open(self, now: float) -> None:
        self.is_opened = True
        self.give_up_at = now + FIRST_FRAME_S_MAX[self.transport]

    def hear(self, now: float) -> None:
        """Something arrived, or listening begins anew."""
        if self.is_heard:
            self.give_up_at = now + silence_ms(int(self.heartbeat_s * 1000)) / 1000
        else:
            self.give_up_at = now + FIRST_FRAME_S_MAX[self.transport]

    def attach(self, heartbeat_ms: int, now: float) -> None:
        self.heartbeat_s = max(heartbeat_ms, HEARTBEAT_MS_MIN) / 1000
        self.hear(now)
        if self.transport == "websocket":
            self.beat_at = now + self.heartbeat_s

    def lags(self, head: str, own: str | None) -> bool:
        """At a heartbeat: was the head elsewhere a whole interval ago already, and nothing was applied since?"""
        if head == own or own is None:
            self.behind = None
            return False
        lagged, self.behind = self.behind == own, own
        return lagged
