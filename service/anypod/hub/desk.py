"""What all clients of a replica that talk share.

Owns the parts that a peer works with, and the rates of what a connection may send. Must not know frames or transports.
"""

from collections.abc import Awaitable, Callable
from typing import Final

from anypod.auth import Principal
from anypod.core.admission import Rate
from anypod.hub.attachments import Attachments
from anypod.hub.editor import Editor
from anypod.hub.hub import Hub
from anypod.hub.presence import Presence
from anypod.hub.publisher import Publisher

FRAMES_PER_PUBLISH: Final = 2  # other frames that a client may send for each publish that it may

Verify = Callable[[str], Awaitable[Principal]]


class Desk:
    def __init__(self, hub: Hub, attachments: Attachments, presence: Presence, publisher: Publisher, verify: Verify) -> None:
        self.hub = hub
        self.metrics = hub.metrics
        self.attachments = attachments
        self.presence = presence
        self.publisher = publisher
        self.editor = Editor(hub.store, publisher)
        self.verify = verify
        limits = hub.options.limits
        self.publishes = Rate(limits.publish_per_s, 2 * limits.publish_per_s)
        frames_per_s = limits.publish_per_s * (1 + FRAMES_PER_PUBLISH)
        self.frames = Rate(frames_per_s, 2 * frames_per_s)
