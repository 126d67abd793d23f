"""How long a connection may owe us bytes: its first ones, the rest of a head, the rest of a body.

Owns which connections owe a request and since when: each is closed after a time (slowloris). Must not know what is owed.
"""

import asyncio
from typing import Final, Protocol

from anypod.clock import Clock
from anypod.telemetry import GivenUp, Metrics

ARRIVAL_S_MAX: Final = 10.0  # from the connection to the end of its first head: as long as session.init may take
REQUEST_S_MAX: Final = 30.0  # a whole request: a megabyte over a line of 1 Mbit/s takes ten
DEBTORS_MAX: Final = 8_192  # twice the backlog of the listening socket: a storm of honest clients does not fill it
SWEEP_S: Final = 1.0


class TimedRequest(Protocol):
    def give_up(self) -> None:
        """End the connection: what it owes has not come."""


class RequestTimeouts:
    """Closes connections that owe for longer than `seconds_max`. Beyond `debtors_max` the oldest has had the longest chance, and goes.

    `metrics`: whose `connections_given_up` grows with each that is ended.
    """

    def __init__(self, clock: Clock, seconds_max: float, debtors_max: int = DEBTORS_MAX, *, metrics: Metrics) -> None:
        self._clock = clock
        self._seconds_max = seconds_max
        self._debtors_max = debtors_max
        self._given_up = metrics.connections_given_up
        self._since: dict[TimedRequest, float] = {}  # oldest first
        self._is_sweeping = False

    def __len__(self) -> int:
        return len(self._since)

    def begin(self, debtor: TimedRequest) -> None:
        """It owes from now on."""
        self._since.pop(debtor, None)  # to the end: the oldest come first
        self._since[debtor] = self._clock.now()
        if len(self._since) > self._debtors_max:
            self._end_oldest("crowded")
        if not self._is_sweeping:
            self._sweep_later()

    def end(self, debtor: TimedRequest) -> None:
        """It has paid, or gone. Twice is the same as once."""
        self._since.pop(debtor, None)

    def _end_oldest(self, reason: GivenUp) -> None:
        debtor = next(iter(self._since))
        del self._since[debtor]
        self._given_up[reason] += 1
        debtor.give_up()

    def _sweep_later(self) -> None:
        self._is_sweeping = True
        asyncio.get_running_loop().call_later(SWEEP_S, self._sweep)

    def _sweep(self) -> None:
        self._is_sweeping = False
        now = self._clock.now()
        while self._since and now - next(iter(self._since.values())) > self._seconds_max:
            self._end_oldest("slow")
        if self._since:
            self._sweep_later()
