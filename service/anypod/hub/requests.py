"""What the frames of a client ask for, in the terms of the hub and the log.

Owns the checks of a frame against a credential and the limits. Must not know how a frame arrived: WebSocket and HTTP share it.
"""

from typing import Final

from msgspec import UNSET, Raw

from anypod.auth import Principal
from anypod.core import frames
from anypod.core.cursor import Cursor
from anypod.core.errors import AnypodError
from anypod.core.event import NO_DETAILS, Details, Draft, EventTemplate, Receipt, as_json, position
from anypod.core.identity import NAME_CHARS_MAX, SUBJECT_CHARS_MAX, SessionKey
from anypod.core.json_value import checked, value_of
from anypod.core.notices import SignalNotice, encode_notice
from anypod.core.traceparent import is_traceparent
from anypod.hub.attach_request import AttachRequest
from anypod.hub.hub import Hub

SIGNAL_BYTES_MAX: Final = 8_192
SIGNAL_NAME_CHARS_MAX: Final = 64
ADDRESS_CHARS_MAX: Final = SUBJECT_CHARS_MAX + 1 + NAME_CHARS_MAX  # author/device
HISTORY_LIMIT_MAX: Final = 200
FORMS_MAX: Final = 16  # kinds that a builder remembers; clients that use more are rare, and pay for it


def attach_request_of(key: SessionKey, frame: frames.InitFrame) -> AttachRequest:
    """Raises AnypodError `malformed` for another version of the protocol."""
    if frame.protocol != frames.PROTOCOL:
        raise AnypodError("malformed", f"this replica speaks protocol {frames.PROTOCOL}")
    return AttachRequest(
        key=key,
        after=frame.after,
        resume=frame.resume,
        fold=frame.fold,
        class_name=frame.class_,
        device=frame.device,
        features=frame.features,
        history=frame.history,
        ref=frame.ref,
    )


class DraftBuilder:
    """What one credential may write. What the events of a kind have in common is checked and encoded at the first one."""

    __slots__ = ("_bytes_max", "_forms", "_principal", "_turn_forms")

    def __init__(self, principal: Principal, bytes_max: int) -> None:
        self._principal = principal
        self._bytes_max = bytes_max
        self._forms: dict[str, EventTemplate] = {}
        self._turn_forms: dict[str, EventTemplate] = {}

    def draft(self, frame: frames.PublishFrame, payload: bytes | None, ts_ms: int) -> Draft:
        """The event that a publish frame asks for, checked against the credential. Raises AnypodError."""
        has_turn = frame.turn is not None
        forms = self._turn_forms if has_turn else self._forms
        form = forms.get(frame.kind) or self._form(frame.kind, has_turn)
        if frame.attempt is not None and not self._principal.may("turn"):
            raise _not_allowed()
        if frame.intent is not None or frame.on_busy is not None or frame.traceparent is not None:
            _check_for_turns(frame)
        if payload is None and frame.data is UNSET:
            raise AnypodError("malformed", "data is missing")
        data = payload if payload is not None else bytes(frame.data)  # type: ignore[arg-type]
        if len(data) > self._bytes_max:
            raise AnypodError("too_large", f"data is at most {self._bytes_max} bytes")
        if payload is None:
            value_of(data)
        details = NO_DETAILS
        if has_turn or frame.part is not None or frame.replaces is not None:
            is_own = frame.replaces is not None and not self._principal.may("turn")
            details = Details(frame.turn, frame.fence, frame.attempt, frame.part, frame.replaces, is_own)
        return form.draft(frame.id, data, ts_ms, details) if payload is None else form.binary(frame.id, data, ts_ms, details)

    def _form(self, kind: str, has_turn: bool) -> EventTemplate:
        if not self._principal.may_publish(kind, has_turn=has_turn):
            raise _not_allowed()
        forms = self._turn_forms if has_turn else self._forms
        if len(forms) >= FORMS_MAX:
            forms.clear()
        form = forms[kind] = EventTemplate(kind, self._principal.author)
        return form


def _check_for_turns(frame: frames.PublishFrame) -> None:
    """Raises AnypodError for what would be dropped in silence. A trace is named, and nothing of it is kept until replicas trace."""
    if frame.intent is not None or frame.on_busy is not None:
        raise AnypodError("not_supported", "turns are not served yet: intent and on_busy would have no effect")
    if frame.traceparent is not None and not is_traceparent(frame.traceparent):
        raise AnypodError("malformed", "traceparent is not of W3C Trace Context")


def _not_allowed() -> AnypodError:
    return AnypodError("not_allowed", "the credential may not publish an event of this kind")


def published_frame(receipt: Receipt, ref: str | int | None = None) -> bytes:
    if ref is not None:
        return frames.encode(
            frames.PublishedFrame(ref=ref, id=receipt.id, seq=receipt.seq, cursor=receipt.cursor, duplicate=receipt.is_duplicate)
        )
    # Neither an id nor a cursor holds anything that JSON would escape.
    duplicate = "true" if receipt.is_duplicate else "false"
    return f'{{"type":"published","id":"{receipt.id}","seq":{receipt.seq},"cursor":"{receipt.cursor}","duplicate":{duplicate}}}'.encode()


def signal_notice(name: str, told: bytes, origin: frames.Origin, to: str | None) -> bytes:
    """Raises AnypodError `too_large`, and `malformed` for an impossible addressee or a value out of bounds."""
    if to is not None and len(to) > ADDRESS_CHARS_MAX:
        raise AnypodError("malformed", f"to is at most {ADDRESS_CHARS_MAX} characters: an author, author/device, or a device of yours")
    if len(told) > SIGNAL_BYTES_MAX or len(name) > SIGNAL_NAME_CHARS_MAX:
        raise AnypodError("too_large", f"a signal is at most {SIGNAL_BYTES_MAX} bytes, its name {SIGNAL_NAME_CHARS_MAX}")
    frame = frames.encode(frames.SignalFrame(name=name, data=Raw(checked(told)), from_=origin, to=to))
    return encode_notice(SignalNotice(frame=Raw(frame), to=to, sender=origin.author))


async def history_frame(hub: Hub, key: SessionKey, before: str | None, limit: int) -> frames.HistoryFrame:
    """A backward page of durable events. Raises AnypodError `malformed`."""
    if not 0 < limit <= HISTORY_LIMIT_MAX:
        raise AnypodError("malformed", f"limit must be 1 to {HISTORY_LIMIT_MAX}")
    cursor = Cursor.parse(before) if before is not None else None
    if before is not None and cursor is None:
        raise AnypodError("malformed", "before must be a cursor")
    page = await hub.store.history(key, cursor.seq if cursor else None, limit=limit)
    oldest = position(page.frames[0]).cursor if page.frames and page.has_more else None
    return frames.HistoryFrame(events=[Raw(as_json(frame)) for frame in page.frames], before=oldest)
