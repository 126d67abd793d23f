"""What a hub is told at its construction.

Owns the bounds of a replica's session layer. Must not know where the values come from.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from anypod.core.frames import ConnectionLimits
from anypod.core.permits import Allowances
from anypod.store import SessionClass


@dataclass(frozen=True, slots=True)
class Arrivals:
    """Arrivals a second that a replica lets in: connections, attachments that resume, attachments that begin; and of these how many of
    one tenant and of one subject. `unknown_per_s`: connections whose credential needs a key or a ticket to be fetched. `refused_per_s`:
    answers to refused credentials."""

    accepts_per_s: float
    resumes_per_s: float
    fresh_per_s: float
    tenant_per_s: float
    subject_per_s: float
    unknown_per_s: float
    refused_per_s: float


@dataclass(frozen=True, slots=True)
class HubOptions:
    """What the settings say has its default there, and none here."""

    replica: str
    classes: Mapping[str, SessionClass]
    heartbeat_ms: int
    silence_ms: int
    sessions_per_subject_max: int
    tail_bytes_max: int
    outbox_total_bytes_max: int  # of all subscribers together
    unwritable_s_max: float  # a subscriber that takes nothing for so long is aborted
    max_connection_age_s: float  # after that, give or take a fifth, a client is asked to reconnect; 0: never
    limits: ConnectionLimits
    arrivals: Arrivals
    allowances: Allowances
    linger_s: float = 30.0  # a session without subscribers stays loaded so long, for clients that return
    init_s_max: float = 10.0  # session.init comes within this time
    class_default: str = "chat"
