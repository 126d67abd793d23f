"""What a session's client is doing right now, for people and programs to look at.

Owns the names of phases, and what a close code means to the application. Must not know how one phase leads to another.
"""

from dataclasses import dataclass
from typing import Final, Literal

from anypod.core.errors import CODES, AnypodError, Code

Transport = Literal["websocket", "sse", "poll"]
PhaseName = Literal["idle", "connecting", "syncing", "live", "waiting", "stopped"]

CLOSE_DONE: Final = 1000
CLOSE_LOST: Final = 1006  # no close frame: the connection broke, or never was

_STANDARD: Final[dict[int, Code]] = {
    1000: "closed",
    1002: "malformed",
    1003: "malformed",
    1007: "malformed",
    1008: "not_allowed",
    1009: "too_large",
}
_OURS: Final[dict[int, Code]] = {row.close: code for code, row in reversed(CODES.items()) if row.close is not None}


@dataclass(frozen=True, slots=True)
class Phase:
    """`code`: the close code that led here, None while all is well. `next_attempt_at`: on the clock that the machine is fed.

    connecting: no link is open, one is being opened. syncing: what was missed is arriving. live: up to date.
    waiting: until `next_attempt_at`. stopped: for good.
    """

    name: PhaseName
    transport: Transport | None = None
    code: int | None = None
    reason: str = ""
    next_attempt_at: float | None = None


IDLE: Final = Phase("idle")


def error_of_close(code: int, reason: str) -> AnypodError:
    """A close code in the words of the table; where several share one, a reason that begins with a name of the table decides."""
    named = next((name for name, row in CODES.items() if row.close == code and reason.startswith(name)), None)
    return AnypodError(named or _OURS.get(code) or _STANDARD.get(code, "internal"), reason)
