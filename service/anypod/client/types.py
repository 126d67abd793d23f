"""What the application gets from a session, in Python's own values.

Owns the shapes of what is delivered, the phases of a session, and what a close code means to the application. Must not know when they
come, nor how one phase leads to another. Events are the frames themselves (`core.frames.Event`): `data` is a JSON value, bytes, or
`Undecodable`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

import msgspec

from anypod.core import frames
from anypod.core.errors import CODES, AnypodError, Code
from anypod.core.frames import Event

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
class Undecodable:
    """Stands where a value would that this client cannot decode: a number out of range or nesting without end, from a log that was
    written before replicas refused them. `raw`: the JSON text as it came. The event's place in the log counts like any other's."""

    raw: bytes


@dataclass(frozen=True, slots=True)
class SessionReset:
    """The history that was delivered is void: after the event of cursor `common` if there is one, else all of it.

    What is true instead follows, beginning after `common` or with the oldest event kept. `common_seq`: the seq of `common`, if the
    replica tells; that event itself may be folded away. `reason`: why (protocol.md, `session.reset`).
    """

    reason: str
    common: str | None
    common_seq: int | None
    oldest: int
    folded: int
    state: Any
    live: Any


@dataclass(frozen=True, slots=True)
class Attached:
    """At every attach: what the session is beside its events."""

    state: Any
    live: Any
    turns: Sequence[Any]
    replica: str
    was_created: bool


@dataclass(frozen=True, slots=True)
class Signal:
    name: str
    data: Any
    author: str
    device: str | None


@dataclass(frozen=True, slots=True)
class Presence:
    """Member entries that joined, left, or were updated. The first after attaching lists all as joined."""

    joined: Sequence[Any]
    left: Sequence[Any]
    updated: Sequence[Any]


@dataclass(frozen=True, slots=True)
class HistoryPage:
    """Durable events, oldest first. `before`: the cursor to ask with for the page before this one, None at the beginning."""

    events: Sequence[Event]
    before: str | None


Item = Event | SessionReset


def item_of(frame: frames.Event | frames.ResetFrame) -> Item:
    if isinstance(frame, frames.Event):
        return frame
    return SessionReset(frame.reason, frame.common, frame.common_seq, frame.oldest, frame.folded, _value(frame.state), _value(frame.live))


def attached_of(frame: frames.CreatedFrame | frames.RestoredFrame) -> Attached:
    return Attached(_value(frame.state), _value(frame.live), frame.turns, frame.replica, isinstance(frame, frames.CreatedFrame))


def signal_of(frame: frames.SignalFrame) -> Signal:
    return Signal(frame.name, _value(frame.data), frame.from_.author, frame.from_.device)


def presence_of(frame: frames.PresenceFrame) -> Presence:
    return Presence(*([_value(entry) for entry in entries] for entries in (frame.joined, frame.left, frame.updated)))


def _value(raw: msgspec.Raw) -> Any:
    try:
        return msgspec.json.decode(raw)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return Undecodable(bytes(raw))


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
