"""Which transport the next attempt takes.

Owns the order of transports and what is known of each. Must not know why an attempt failed beyond that nothing came through.
"""

from typing import Final, Literal

from anypod.client.phase import Transport

Wanted = Literal["auto", "websocket", "sse", "poll"]

FAILURES_MAX: Final = 3  # a replica's restart fails one attempt or two; a proxy that blocks a transport fails all
PROBE_FIRST_S: Final = 15.0  # after an outage the best transport is back soon
PROBE_LAST_S: Final = 300.0  # behind a proxy that blocks it, a probe now and then costs nothing
_NEXT: Final[dict[Transport, Transport]] = {"websocket": "sse", "sse": "poll", "poll": "websocket"}


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
