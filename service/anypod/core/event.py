"""An event before and after the log has it: the draft that is appended, and the frame that every subscriber gets.

Owns which kinds are deltas, what a draft must look like, its bytes, and where seq and cursor stand in a frame.
Must not know how a log stores it. The append completes a draft's `body` to the frame:

    {"type":"event","seq":57,"cursor":"e-1abcdef-57-1234567890",["replaces":{…},]<body>

A binary event is a 4-byte big-endian length, a header which is the frame without `data`, and the payload.
"""

from base64 import b64encode
from dataclasses import dataclass
from typing import Final, NamedTuple

import msgspec
from xxhash import xxh3_64_digest

from anypod.core.errors import AnypodError
from anypod.core.identity import is_name
from anypod.core.json_value import compact

DELTA_KINDS: Final = frozenset({"token", "reasoning"})
WORKER_KINDS: Final = frozenset({"token", "reasoning", "tool_request", "turn_queued", "turn_started", "turn_suspended", "turn_resumed"})
TURN_FINISHED: Final = "turn_finished"
_LF: Final = 10  # as numbers: to look for bytes within bytes raises and drops an exception each time
_CR: Final = 13
FRAME_START: Final = b'{"type":"event","seq":'
_CURSOR_START: Final = b',"cursor":"'
_SEQ_AT: Final = len(FRAME_START)
_CURSOR_AFTER: Final = len(_CURSOR_START)


class Draft(msgspec.Struct, frozen=True, gc=False):
    """One event to append. `body` begins at `"id":` and ends with the closing brace.

    `digest` (8 bytes, XXH3) stands for everything that a repeated id must have in common: two bodies under one id are told apart, not
    kept from an attacker, whose own id it would be. `part` and `replaces` are names of parts, scoped by `turn`.
    `is_plain`: nothing but id, kind, author and JSON data, so that there is nothing to check but its id.
    `is_own`: it may end no part that another `author` (JSON) has opened. `ends_turn`: with it end all parts of its turn.
    """

    id: str
    digest: bytes
    body: bytes
    is_delta: bool = False
    is_plain: bool = False
    payload: bytes | None = None
    turn: str | None = None
    fence: int | None = None
    part: str | None = None
    replaces: str | None = None
    author: bytes = b""
    is_own: bool = False
    ends_turn: bool = False

    @property
    def size(self) -> int:
        """Bytes, as the log keeps it."""
        return len(self.body) if self.payload is None else len(self.body) + len(self.payload)


@dataclass(frozen=True, slots=True)
class Details:
    """The fields of an event beside id, kind, author and data. `is_own`: as of a draft."""

    turn: str | None = None
    fence: int | None = None
    attempt: int | None = None
    part: str | None = None
    replaces: str | None = None
    is_own: bool = False


NO_DETAILS: Final = Details()


class Receipt(msgspec.Struct, frozen=True, gc=False):
    """The log has the event. `is_duplicate`: it had it before."""

    id: str
    seq: int
    cursor: str
    is_duplicate: bool


def author_json(subject: str) -> bytes:
    """The author as it stands in every event; made once for a credential."""
    return msgspec.json.encode(subject)


class EventTemplate:
    """What all events of one kind by one author have in common, checked and encoded once. `author` comes from `author_json`.

    Raises AnypodError `malformed`, as `draft` does.
    """

    __slots__ = ("_author", "_digested", "_ends_turn", "_is_delta", "_kind", "_middle", "_plain")

    def __init__(self, kind: str, author: bytes) -> None:
        if not is_name(kind):
            raise AnypodError("malformed", "kind must be 1 to 64 of A-Z a-z 0-9 _ . : -")
        self._kind = kind
        self._author = author
        self._ends_turn = kind == TURN_FINISHED
        self._is_delta = kind in DELTA_KINDS
        self._middle = b'","kind":"%b","author":%b,"ts":' % (kind.encode(), author)
        self._digested = b"%b\n%b\n" % (kind.encode(), author)
        self._plain = self._digested + b"\n\n"  # no details

    def draft(self, event_id: str, data: bytes, ts_ms: int, details: Details = NO_DETAILS) -> Draft:
        """Check and encode an event whose `data` is JSON text: a value within the bounds of `json_value`, which is not checked again."""
        text = compact(data)
        if text is not data and (_LF in data or _CR in data):
            data = text  # what the digest is made of is as replicas of 0.1 make it: a repeated publish may reach either
        if details is NO_DETAILS and not self._is_delta:  # a chat's message: nearly all that clients send
            if not is_name(event_id):
                raise _bad_id()
            body = b'"id":"%b%b%d,"data":%b}' % (event_id.encode(), self._middle, ts_ms, text)
            return Draft(event_id, xxh3_64_digest(self._plain + data), body, False, True)
        self._check(event_id, details)
        optional = _optional(details)
        body = b'"id":"%b%b%d%b,"data":%b}' % (event_id.encode(), self._middle, ts_ms, optional, text)
        digest = self._digest(details, optional, data)
        return self._draft(event_id, digest, body, None, details)

    def binary(self, event_id: str, payload: bytes, ts_ms: int, details: Details = NO_DETAILS) -> Draft:
        """The same for an event whose data is bytes."""
        self._check(event_id, details)
        optional = _optional(details)
        body = b'"id":"%b%b%d%b}' % (event_id.encode(), self._middle, ts_ms, optional)
        digest = self._digest(details, optional, payload)
        return self._draft(event_id, digest, body, payload, details)

    def _draft(self, event_id: str, digest: bytes, body: bytes, payload: bytes | None, details: Details) -> Draft:
        is_delta, ends_turn = self._is_delta and payload is None, self._ends_turn and details.turn is not None
        scope = (details.turn, details.fence, details.part, details.replaces)
        return Draft(event_id, digest, body, is_delta, False, payload, *scope, self._author, details.is_own, ends_turn)

    def _digest(self, details: Details, optional: bytes, data: bytes) -> bytes:
        replaces = details.replaces.encode() if details.replaces else b""
        return xxh3_64_digest(b"%b%b\n%b\n%b" % (self._digested, optional, replaces, data))

    def _check(self, event_id: str, details: Details) -> None:
        if not is_name(event_id):
            raise _bad_id()
        _check_details(details)
        if self._is_delta and details.part is None:
            raise AnypodError("malformed", f"an event of kind {self._kind} needs a part")
        if self._is_delta and details.replaces is not None:
            raise AnypodError("malformed", "a delta cannot replace a part; the event that ends the part does")


def _bad_id() -> AnypodError:
    return AnypodError("malformed", "id must be 1 to 64 of A-Z a-z 0-9 _ . : -")


def draft(
    event_id: str, kind: str, data: bytes, *, author: bytes, ts_ms: int, details: Details = NO_DETAILS, is_binary: bool = False
) -> Draft:
    """One event of a form that is not needed again. `data` is JSON text, or the payload when `is_binary`.

    Raises AnypodError `malformed`.
    """
    form = EventTemplate(kind, author)
    return form.binary(event_id, data, ts_ms, details) if is_binary else form.draft(event_id, data, ts_ms, details)


def _check_details(details: Details) -> None:
    for name, value in (("turn", details.turn), ("part", details.part), ("replaces", details.replaces)):
        if value is not None and not is_name(value):
            raise AnypodError("malformed", f"{name} must be 1 to 64 of A-Z a-z 0-9 _ . : -")
    for name, number in (("fence", details.fence), ("attempt", details.attempt)):
        if number is not None and not 0 < number < 1 << 53:
            raise AnypodError("malformed", f"{name} must be a positive integer")


def _optional(details: Details) -> bytes:
    if details is NO_DETAILS:
        return b""
    turn = b',"turn":"%b"' % details.turn.encode() if details.turn else b""
    attempt = b',"attempt":%d' % details.attempt if details.attempt else b""
    part = b',"part":"%b"' % details.part.encode() if details.part else b""
    return turn + attempt + part


def complete(item: Draft, seq: int, cursor: str, replaced: tuple[int, int] | None = None) -> bytes:
    """The frame that every subscriber gets. The append script does the same in Redis; `replaced` is the first and last seq of the part."""
    head = b'%b%d%b%b",' % (FRAME_START, seq, _CURSOR_START, cursor.encode())
    if replaced is not None:
        assert item.replaces is not None
        first, last = replaced
        head += b'"replaces":{"part":"%b","first_seq":%d,"last_seq":%d},' % (item.replaces.encode(), first, last)
    header = head + item.body
    return header if item.payload is None else len(header).to_bytes(4, "big") + header + item.payload


class EventPosition(NamedTuple):
    """Where a frame stands in the log, read off its bytes."""

    seq: int
    cursor: str


def is_binary(frame: bytes) -> bool:
    return frame[0] == 0  # the first byte of a length; text frames begin with a brace


def is_frame_start(payload: bytes) -> bool:
    """Whether it begins as an event's frame does, whatever follows."""
    return payload.startswith((FRAME_START, b"\0"))


def position(frame: bytes) -> EventPosition:
    """Seq and cursor of a frame that `complete` made, without parsing the rest of it.

    Raises ValueError or IndexError when they do not stand where they stand in a frame.
    """
    start = _SEQ_AT + _offset(frame)
    comma = frame.index(b",", start)
    cursor_at = comma + len(_CURSOR_START)
    return EventPosition(int(frame[start:comma]), frame[cursor_at : frame.index(b'"', cursor_at)].decode())


def _offset(frame: bytes) -> int:
    """Where its JSON begins. The length of a binary frame's header is looked at, because transports cut the frame by it."""
    if frame[0] != 0:
        return 0
    if not len(FRAME_START) < int.from_bytes(frame[:4], "big") <= len(frame) - 4:
        raise ValueError("a binary frame that is shorter than its header")
    return 4


def history_of(cursor: str) -> bytes:
    """Epoch and term, as they stand at the beginning of every cursor of one history."""
    epoch, term, _ = cursor.split("-", 2)
    return f"{epoch}-{term}-".encode()


def seq_in_history(frame: bytes, history: bytes) -> int | None:
    """The seq of a frame, None when it is of another history. Raises as `position` does."""
    start = _SEQ_AT + (_offset(frame) if frame[0] == 0 else 0)
    comma = frame.index(b",", start)
    return int(frame[start:comma]) if frame.startswith(history, comma + _CURSOR_AFTER) else None


def split_binary(frame: bytes, *, header_bytes_max: int = 1 << 16) -> tuple[bytes, bytes]:
    """Header and payload of a binary frame. Raises AnypodError `malformed`."""
    length = int.from_bytes(frame[:4], "big")
    if len(frame) < 4 or length > min(len(frame) - 4, header_bytes_max):
        raise AnypodError("malformed", "a binary frame is a 4-byte big-endian length, a JSON header of that length, and the payload")
    return frame[4 : 4 + length], frame[4 + length :]


def as_json(frame: bytes) -> bytes:
    """The frame for transports that carry text alone: a binary event tells its payload as `data_base64`."""
    if not is_binary(frame):
        return frame
    header, payload = split_binary(frame)
    return header[:-1] + b',"data_base64":"%b"}' % b64encode(payload)
