"""What the frames of a client ask for, in the terms of the hub and the log.

Owns the checks of a frame against a credential and the limits. Must not know how a frame arrived: WebSocket and HTTP share it.
"""

from typing import Final

from msgspec import UNSET, Raw

from anypod.auth import Principal
from anypod.core import frames
from anypod.core.cursor import Cursor
from anypod.core.errors import AnypodError
from anypod.core.event import NO_DETAILS, Details, Draft, Receipt, as_json, draft, position
from anypod.core.identity import SessionKey
from anypod.core.notices import SignalNotice, encode_notice
from anypod.hub.ask import Ask
from anypod.hub.hub import Hub

SIGNAL_BYTES_MAX: Final = 8_192
SIGNAL_NAME_CHARS_MAX: Final = 64
HISTORY_LIMIT_MAX: Final = 200


def ask_of(key: SessionKey, frame: frames.Init) -> Ask:
    """Raises AnypodError `malformed` for another version of the protocol."""
    if frame.protocol != frames.PROTOCOL:
        raise AnypodError("malformed", f"this replica speaks protocol {frames.PROTOCOL}")
    return Ask(
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


def draft_of(principal: Principal, frame: frames.Publish, payload: bytes | None, *, ts_ms: int, bytes_max: int) -> Draft:
    """The event that a publish frame asks for, checked against the credential. Raises AnypodError."""
    has_turn = frame.turn is not None
    if not principal.may_publish(frame.kind, has_turn=has_turn) or (frame.attempt is not None and not principal.may("turn")):
        raise AnypodError("not_allowed", "the credential may not publish an event of this kind")
    if payload is None and frame.data is UNSET:
        raise AnypodError("malformed", "data is missing")
    data = payload if payload is not None else bytes(frame.data)  # type: ignore[arg-type]
    if len(data) > bytes_max:
        raise AnypodError("too_large", f"data is at most {bytes_max} bytes")
    details = NO_DETAILS
    if has_turn or frame.part is not None or frame.replaces is not None:
        details = Details(frame.turn, frame.fence, frame.attempt, frame.part, frame.replaces)
    return draft(frame.id, frame.kind, data, author=principal.author, ts_ms=ts_ms, details=details, is_binary=payload is not None)


def published_frame(receipt: Receipt, ref: str | int | None = None) -> bytes:
    event_id, seq, cursor, is_duplicate = receipt
    if ref is not None:
        return frames.encode(frames.Published(ref=ref, id=event_id, seq=seq, cursor=cursor, duplicate=is_duplicate))
    # Neither an id nor a cursor holds anything that JSON would escape.
    duplicate = "true" if is_duplicate else "false"
    return f'{{"type":"published","id":"{event_id}","seq":{seq},"cursor":"{cursor}","duplicate":{duplicate}}}'.encode()


def signal_notice(name: str, told: bytes, origin: frames.Origin, to: str | None) -> bytes:
    """Raises AnypodError `too_large`."""
    if len(told) > SIGNAL_BYTES_MAX or len(name) > SIGNAL_NAME_CHARS_MAX:
        raise AnypodError("too_large", f"a signal is at most {SIGNAL_BYTES_MAX} bytes, its name {SIGNAL_NAME_CHARS_MAX}")
    frame = frames.encode(frames.Signal(name=name, data=Raw(told), from_=origin, to=to))
    return encode_notice(SignalNotice(frame=Raw(frame), to=to))


async def history_frame(hub: Hub, key: SessionKey, before: str | None, limit: int) -> frames.History:
    """A backward page of durable events. Raises AnypodError `malformed`."""
    if not 0 < limit <= HISTORY_LIMIT_MAX:
        raise AnypodError("malformed", f"limit must be 1 to {HISTORY_LIMIT_MAX}")
    cursor = Cursor.parse(before) if before is not None else None
    if before is not None and cursor is None:
        raise AnypodError("malformed", "before must be a cursor")
    page = await hub.store.history(key, cursor.seq if cursor else None, limit=limit)
    oldest = position(page.frames[0]).cursor if page.frames and page.has_more else None
    return frames.History(events=[Raw(as_json(frame)) for frame in page.frames], before=oldest)
