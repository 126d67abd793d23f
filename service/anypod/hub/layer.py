"""The session layer of a replica: its parts, built in the order in which they need one another.

Owns the construction, and what all bidirectional clients share: the rates of what one connection may send, and the budget of frames that
wait for their attachments to open. Must not know transports, nor where the settings come from.
"""

from collections.abc import Awaitable, Callable
from random import Random
from typing import Final, Protocol

from anypod.auth import Principal
from anypod.clock import Clock
from anypod.core.admission import Rate
from anypod.core.byte_budget import ByteBudget
from anypod.hub.attach import Attachments
from anypod.hub.config import HubOptions
from anypod.hub.drain import Goaway
from anypod.hub.housekeeping import Housekeeping
from anypod.hub.hub import Hub
from anypod.hub.presence import PresenceTracker
from anypod.hub.publisher import Publisher
from anypod.hub.recovery import Recovery
from anypod.hub.state_patch import StatePatcher
from anypod.store import Store
from anypod.telemetry import Metrics

FRAMES_PER_PUBLISH: Final = 2  # other frames that a client may send for each publish that it may

EARLY_TOTAL_BYTES_MAX: Final = 16 << 20  # of frames that wait for their attachments to open, of all connections

Verify = Callable[[str], Awaitable[Principal]]


class Evictable(Protocol):
    """What may have to give way where a budget of all is spent."""

    def give_way(self) -> None: ...


class SessionLayer:
    """`verify`: the principal of a fresh credential (frame `auth`). `hub_type`: for tests that plant a fault in the hub.

    `wall_ms`: when the frames arrived that are being handled: read once for all of one read of a socket.
    """

    def __init__(
        self, store: Store, clock: Clock, rng: Random, metrics: Metrics, options: HubOptions, *, verify: Verify, hub_type: type[Hub] = Hub
    ) -> None:
        self.clock = clock
        self.metrics = metrics
        self.verify = verify
        self.wall_ms = clock.wall_ms()
        self.hub = hub_type(store, clock, metrics, options)
        self.recovery = self.hub.repair = Recovery(self.hub)
        self.presence = PresenceTracker(self.hub)
        self.attachments = Attachments(self.hub, self.recovery, self.presence, rng)
        self.publisher = Publisher(store, clock, metrics, self.hub.tasks, self.hub.accounts)
        self.patcher = StatePatcher(store, self.publisher)
        self.goaway = Goaway(metrics, rng)
        self.housekeeping = Housekeeping(self.hub, self.recovery, self.attachments, self.presence, goaway=self.goaway)
        self.early: ByteBudget[Evictable] = ByteBudget(EARLY_TOTAL_BYTES_MAX)
        limits = options.limits
        self.publishes = Rate(limits.publish_per_s, 2 * limits.publish_per_s)
        frames_per_s = limits.publish_per_s * (1 + FRAMES_PER_PUBLISH)
        self.frames = Rate(frames_per_s, 2 * frames_per_s)
