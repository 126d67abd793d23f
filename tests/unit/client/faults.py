"""What a peer does wrong on demand.

Owns the list of faults. Must not know how the peer brings them about.
"""

from collections import deque
from dataclasses import dataclass, field

from tests.unit.client.answers import Json


@dataclass
class Faults:
    """What the peer does wrong, until it is told otherwise."""

    upgrade_status: int | None = None  # answers upgrades with this status
    is_stream_held: bool = False  # SSE opens, and nothing comes through
    stream_status: int | None = None
    stream_refusal: Json | None = None  # SSE opens, says this and ends
    portal_pages: int = 0  # polls that a hotel's Wi-Fi answers instead
    refusals: deque[Json] = field(default_factory=deque)  # answers to the next publishes
    lost_replies: int = 0  # publishes that are logged, and then the connection breaks
    skipped_seqs: set[int] = field(default_factory=set)  # events left out once, as a broken feed would
