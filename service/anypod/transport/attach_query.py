"""What a session's address says: its id, and the fields of session.init in the query.

Owns their parsing. Must not know which transport was addressed.
"""

import re
from collections.abc import Mapping
from typing import Final

from anypod.core.errors import AnypodError
from anypod.core.identity import SessionKey, is_name
from anypod.hub.attach_request import AttachRequest

_COUNT: Final = re.compile(r"[0-9]{1,9}")  # whether it is too many, the hub says


def session_key(tenant: str, session_id: str) -> SessionKey:
    """Raises AnypodError `malformed`."""
    if not is_name(session_id):
        raise AnypodError("malformed", "a session id is 1 to 64 of A-Z a-z 0-9 _ . : -")
    return SessionKey(tenant, session_id)  # type: ignore[arg-type]


def has_attach_fields(query: Mapping[str, str]) -> bool:
    """Does an upgrade's query stand for session.init? Otherwise the frame itself comes."""
    return "after" in query or "resume" in query


def attach_request_of_query(key: SessionKey, query: Mapping[str, str], *, last_event_id: str | None = None) -> AttachRequest:
    """The fields of session.init. Raises AnypodError `malformed`.

    What a browser's EventSource says of itself, `last_event_id`, is newer than the `after` of its address.
    """
    history = query.get("history")
    if history is not None and _COUNT.fullmatch(history) is None:
        raise AnypodError("malformed", "history must be a number")
    return AttachRequest(
        key=key,
        after=last_event_id or query.get("after"),
        resume=flag(query, "resume") if "resume" in query else False,
        fold=flag(query, "fold") if "fold" in query else None,
        class_name=query.get("class"),
        device=query.get("device"),
        features=tuple(filter(None, query["features"].split(","))) if "features" in query else (),
        history=int(history) if history is not None else None,
    )


def flag(query: Mapping[str, str], name: str) -> bool:
    """Of a field that is there. Raises AnypodError `malformed` for anything but true and false."""
    value = query[name].lower()
    if value not in ("true", "false", "1", "0"):
        raise AnypodError("malformed", f"{name} must be true or false")
    return value in ("true", "1")
