"""What all clients of a replica that talk share.

Owns the parts that a peer works with, and the rates of what a connection may send. Must not know frames or transports.
"""

from collections.abc import Awaitable, Callable
from typing import Final, Protocol

from anypod.auth import Principal
from anypod.core.admission import Rate
from anypod.core.byte_budget import ByteBudget
from anypod.hub.attach import Attachments
from anypod.hub.hub import Hub
from anypod.hub.presence import PresenceTracker
from anypod.hub.publisher import Publisher
from anypod.hub.state_patch import StatePatcher

FRAMES_PER_PUBLISH: Final = 2  # other frames that a client may send for each publish that it may

EARLY_TOTAL_BYTES_MAX: Final = 16 << 20  # of frames that wait for their attachments to open, of all connections

Verify = Callable[[str], Awaitable[Principal]]


class Evictable(Protocol):
    """Whoever may have to give way to others."""

    def give_way(self) -> None: ...


class Desk:
    def __init__(self, hub: Hub, attachments: Attachments, presence: PresenceTracker, publisher: Publisher, verify: Verify) -> None:
        self.hub = hub
        self.clock = hub.clock
        self.wall_ms = hub.clock.wall_ms()  # when the frames came that are taken: asked once for all of one read
        self.metrics = hub.metrics
        self.attachments = attachments
        self.presence = presence
        self.publisher = publisher
        self.editor = StatePatcher(hub.store, publisher)
        self.verify = verify
        self.early: ByteBudget[Evictable] = ByteBudget(EARLY_TOTAL_BYTES_MAX)
        limits = hub.options.limits
        self.publishes = Rate(limits.publish_per_s, 2 * limits.publish_per_s)
        frames_per_s = limits.publish_per_s * (1 + FRAMES_PER_PUBLISH)
        self.frames = Rate(frames_per_s, 2 * frames_per_s)
