"""Bugs around devices and presence that the product does not have, each planted in a replica.

Owns the bugs. Must not touch the product.
"""

from collections.abc import Sequence

from tests.simulation.replica import Parts
from tests.simulation.world import Making

from anypod.clock import Clock
from anypod.core.errors import AnypodError
from anypod.core.identity import SessionKey
from anypod.core.notices import DeviceNotice, SignalNotice
from anypod.hub.config import HubOptions
from anypod.hub.devices import Devices
from anypod.hub.hub import Hub
from anypod.hub.session import HubSession
from anypod.store import Store
from anypod.telemetry import Metrics


class WithoutOrder(Devices):
    """Whatever is told of another attachment replaces what is here."""

    def heard(self, session: HubSession, notice: DeviceNotice) -> None:
        place = (session.devices or {}).get((notice.author, notice.device))
        if place is not None and place.holder is not None and place.holder.id != notice.attachment:
            self._dismiss(place.holder, AnypodError("replaced"))


class WithoutRepair(Devices):
    """What a lost notice would have said is not asked for."""

    async def check(self, sessions: Sequence[tuple[HubSession, int]]) -> None:
        return


class Unordered(Hub):
    def __init__(self, store: Store, clock: Clock, metrics: Metrics, options: HubOptions) -> None:
        super().__init__(store, clock, metrics, options)
        self.devices = WithoutOrder(store, clock, metrics, self.tasks, dismiss=self.dismiss, ghost_ms=options.silence_ms)


class Unrepaired(Hub):
    def __init__(self, store: Store, clock: Clock, metrics: Metrics, options: HubOptions) -> None:
        super().__init__(store, clock, metrics, options)
        self.devices = WithoutRepair(store, clock, metrics, self.tasks, dismiss=self.dismiss, ghost_ms=options.silence_ms)


class NeverReadsPresenceAgain(Hub):
    """The feed was interrupted, and what it would have told of presence is not asked for."""

    def on_barrier(self, keys: Sequence[SessionKey]) -> None:
        self.on_interrupted = lambda session: None
        super().on_barrier(keys)


class Overheard(Hub):
    """A signal is everybody's."""

    def _pass_on(self, session: HubSession, signal: SignalNotice) -> None:
        signal.to = None
        super()._pass_on(session, signal)


PLANTED: dict[str, Making] = {
    "no order of claims": Making(parts=Parts(hub=Unordered)),
    "lost claims are not made up for": Making(parts=Parts(hub=Unrepaired)),
    "presence is not read again": Making(parts=Parts(hub=NeverReadsPresenceAgain)),
    "signals are overheard": Making(parts=Parts(hub=Overheard)),
}
