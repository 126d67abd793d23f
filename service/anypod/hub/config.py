"""What a hub is told at its construction.

Owns the bounds of a replica's session layer. Must not know where the values come from.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from anypod.core.frames import ConnectionLimits
from anypod.core.outbox import OUTBOX_TOTAL_BYTES_MAX
from anypod.core.permits import Allowances
from anypod.store import SessionClass


@dataclass(frozen=True, slots=True)
class Arrivals:
    """How many may come in a second: connections; attachments that go on from a place, and those that begin; and of these how
    many of one tenant and of one subject."""

    accepts_per_s: float = 4_000
    resumes_per_s: float = 2_000
    fresh_per_s: float = 1_000
    tenant_per_s: float = 2_000
    subject_per_s: float = 200
    unknown_per_s: float = 2_000  # whose credential has to be asked about before it is known
    refused_per_s: float = 100  # refused credentials that are told so


@dataclass(frozen=True, slots=True)
class HubOptions:
    replica: str
    classes: Mapping[str, SessionClass]
    heartbeat_ms: int
    silence_ms: int
    sessions_per_subject_max: int = 100
    tail_bytes_max: int = 64 << 20
    outbox_total_bytes_max: int = OUTBOX_TOTAL_BYTES_MAX  # of all subscribers together
    unwritable_s_max: float = 20.0  # a subscriber that takes nothing for so long is aborted
    linger_s: float = 30.0  # a session without subscribers stays loaded so long, for clients that return
    init_s_max: float = 10.0  # session.init comes within this time
    max_connection_age_s: float = 0.0  # after that, give or take a fifth, a connection is asked to find another replica; 0: never
    limits: ConnectionLimits = field(default_factory=lambda: ConnectionLimits(frame_bytes=73_728, publish_per_s=100, data_bytes=65_536))
    arrivals: Arrivals = Arrivals()
    allowances: Allowances = field(default_factory=Allowances)
    class_default: str = "chat"
