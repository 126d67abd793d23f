"""The one table of error codes: what each means on every transport.

Owns codes, their HTTP status, their WebSocket close code and whether a client may try again.
Must not know where they are raised.
"""

from dataclasses import dataclass
from typing import Final, Literal

Code = Literal[
    "malformed",
    "not_authenticated",
    "not_allowed",
    "no_such_session",
    "no_such_turn",
    "not_found",
    "method_not_allowed",
    "not_supported",
    "conflict",
    "stale",
    "closed",
    "fenced",
    "already_finished",
    "already_answered",
    "cursor_gone",
    "too_large",
    "too_many_frames",
    "rate_limited",
    "quota_exceeded",
    "storage_full",
    "unavailable",
    "overloaded",
    "draining",
    "heartbeat_missed",
    "replaced",
    "slow_consumer",
    "outbox_full",
    "internal",
]


@dataclass(frozen=True, slots=True)
class ErrorRow:
    """One code. `close` is the WebSocket close code when it ends a connection; None: only ever an `error` frame."""

    status: int
    close: int | None
    is_retryable: bool
    title: str


CODES: Final[dict[Code, ErrorRow]] = {
    "malformed": ErrorRow(400, 4400, False, "The request or frame does not follow the protocol."),
    "not_authenticated": ErrorRow(401, 4401, False, "The credential is missing, expired or not valid."),
    "not_allowed": ErrorRow(403, 4403, False, "The credential does not permit this."),
    "no_such_session": ErrorRow(404, 4404, False, "There is no such session for this credential."),
    "no_such_turn": ErrorRow(404, None, False, "There is no such turn in this session."),
    "not_found": ErrorRow(404, None, False, "There is nothing at this path."),
    "method_not_allowed": ErrorRow(405, None, False, "This path does not take that method."),
    "not_supported": ErrorRow(501, None, False, "The contract has this, but this version does not serve it yet; nothing was done."),
    "conflict": ErrorRow(409, None, False, "The same id was published before with another body."),
    "stale": ErrorRow(412, None, False, "The log has moved on since the expected cursor."),
    "closed": ErrorRow(409, None, False, "The session is closed: it can be read, not written."),
    "fenced": ErrorRow(409, None, False, "Another attempt has taken this turn over."),
    "already_finished": ErrorRow(409, None, False, "The turn has already ended."),
    "already_answered": ErrorRow(409, None, False, "The tool call has already been answered."),
    "cursor_gone": ErrorRow(410, None, False, "The cursor cannot be honoured; see the reset beside this code."),
    "too_large": ErrorRow(413, 4413, False, "The frame or event is larger than the limit."),
    "too_many_frames": ErrorRow(429, 4429, True, "Too many frames a second on this connection."),
    "rate_limited": ErrorRow(429, None, True, "Too many requests a second for this credential."),
    "quota_exceeded": ErrorRow(403, 4403, False, "A storage quota is used up."),
    "storage_full": ErrorRow(507, None, True, "The store has no memory left for events."),
    "unavailable": ErrorRow(503, 1013, True, "The store cannot be reached; nothing was accepted."),
    "overloaded": ErrorRow(503, 1013, True, "The replica takes no more work right now."),
    "draining": ErrorRow(503, 1012, True, "The replica is leaving; another one serves the session."),
    "heartbeat_missed": ErrorRow(408, 4408, True, "Nothing was heard from the client for too long."),
    "replaced": ErrorRow(409, 4409, False, "The same device has attached again."),
    "slow_consumer": ErrorRow(408, 4410, True, "The client reads too slowly; resume from the cursor."),
    "outbox_full": ErrorRow(429, None, True, "The client holds too much that is not sent yet; nothing was accepted."),
    "internal": ErrorRow(500, 1011, True, "The replica failed to handle this; the cause is in its log."),
}

CLOSE_GONE: Final = 1001
CLOSE_LEAVING: Final = 1012
CLOSE_OVERLOADED: Final = 1013

# What a client does on a close code: everything else stops it (protocol.md, "Close codes").
CLOSE_RETRIED: Final = frozenset({1001, 1006, 1011, 1012, 1013, 4408, 4410, 4429})


class AnypodError(Exception):
    """Something that the caller is told. `message` is for a person, `code` for a program; neither holds a payload or a secret."""

    def __init__(self, code: Code, message: str = "", *, retry_after_ms: int | None = None, reset: bytes | None = None) -> None:
        super().__init__(code, message or CODES[code].title)
        self.code: Final = code
        self.message: Final = message or CODES[code].title
        self.retry_after_ms: Final = retry_after_ms
        self.reset: Final = reset  # with cursor_gone: the session.reset frame

    @property
    def row(self) -> ErrorRow:
        return CODES[self.code]


def unavailable(message: str = "", *, retry_after_ms: int = 1_000) -> AnypodError:
    """What may pass by itself, and so comes with a hint."""
    return AnypodError("unavailable", message, retry_after_ms=retry_after_ms)


def close_reason(error: AnypodError) -> str:
    """What a close frame says beside its code."""
    return f"retry_after_ms={error.retry_after_ms}" if error.retry_after_ms is not None else error.message
