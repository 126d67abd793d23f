"""What a client asks for when it comes to a session.

Owns the question and what follows from it alone. Must not know the answer: that takes the log.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

from anypod.core.cursor import After, Cursor, Reset, parse_after
from anypod.core.identity import SessionKey, Subject
from anypod.store import Missing

NO_EVENTS: Final = "no_events"  # the feature of a client that only publishes: it gets its answers and heartbeats, nothing else


class AttachRequest(NamedTuple):
    """What a client asks for when it attaches (protocol.md, `session.init`)."""

    key: SessionKey
    after: str | None = None
    resume: bool = False
    fold: bool | None = None
    class_name: str | None = None
    device: str | None = None
    features: Sequence[str] = ()
    history: int | None = None
    ref: str | int | None = None
    may_create: bool = True


@dataclass(frozen=True, slots=True)
class InitialState:
    """What a new session begins with; JSON objects."""

    class_name: str | None = None
    state: bytes = b"{}"
    live: bytes = b"{}"
    metadata: bytes = b"{}"


NO_STATE = InitialState()


def after_of(request: AttachRequest) -> After:
    return parse_after(request.after) if request.after is not None else "start"


def folds(request: AttachRequest) -> bool:
    return request.fold if request.fold is not None else request.after is None


def reset_for_missing(request: AttachRequest, missing: Missing, subject: Subject) -> Reset | None:
    """What a client that comes back has lost with a session that is not there; None when it does not come back.

    That it was deleted is told to its owner alone: to others it was never there.
    """
    after = after_of(request)
    has_history = isinstance(after, Cursor)
    if not request.resume and not has_history and after != "unknown":
        return None
    if missing.was_deleted and missing.owner == subject:
        return Reset("deleted")
    return Reset("expired" if has_history else "unknown")
