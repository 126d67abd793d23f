"""One connection of one transport, as the machine sees it.

Owns what is known of the link and when it is given up. Must not know what follows from that.
"""

from dataclasses import dataclass
from typing import Final

from anypod.client.phase import Transport
from anypod.core.timing import HEARTBEAT_MS_MAX, silence_ms

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
