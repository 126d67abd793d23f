"""What an application chooses about one session's client.

Owns the choices and their defaults. Must not know what follows from them.
"""

from dataclasses import dataclass

from anypod.client.machine.outbox import OUTBOX_BYTES_MAX, OUTBOX_COUNT_MAX
from anypod.client.machine.outgoing import IN_FLIGHT_MAX
from anypod.client.machine.transport_fallback import Wanted


@dataclass(frozen=True, slots=True)
class Options:
    """`after`: a cursor kept from earlier, or a sentinel. `fold`, `session_class`, `device`, `features`: fields of `session.init`."""

    transport: Wanted = "auto"
    after: str | None = None
    fold: bool | None = None
    session_class: str | None = None
    device: str | None = None
    features: tuple[str, ...] = ()
    in_flight_max: int = IN_FLIGHT_MAX
    outbox_count_max: int = OUTBOX_COUNT_MAX
    outbox_bytes_max: int = OUTBOX_BYTES_MAX
