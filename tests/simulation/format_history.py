"""A history as a person reads it: one line a record.

Owns the form of a line. Must not know what a record means.
"""

from collections.abc import Iterable
from typing import Any, Final

from tests.simulation.history import Record

VALUE_CHARS_MAX: Final = 200  # of one field: what an event is about stands at its beginning


def story(records: Iterable[Record], *, session: str | None = None, client: str | None = None) -> str:
    """One line a record; of one session and of one client only, when named. What names neither concerns everybody."""
    lines = (
        _line(index, record)
        for index, record in enumerate(records)
        if session in (None, getattr(record, "session", session)) and client in (None, getattr(record, "client", None) or client)
    )
    return "\n".join(lines)


def _line(index: int, record: Record) -> str:
    fields = record._asdict()
    at = fields.pop("at")
    shown = " ".join(f"{name}={_shown(value)}" for name, value in fields.items() if value not in (None, ()))
    return f"{index:5d} {at:9.3f} {type(record).__name__:<12} {shown}"


def _shown(value: Any) -> str:
    if isinstance(value, tuple):
        return f"({len(value)})[" + " ".join(_shown(item) for item in value[-3:]) + "]"
    text = value.decode(errors="replace") if isinstance(value, bytes) else str(value)
    text = text.removeprefix('{"type":"event",')
    return text if len(text) <= VALUE_CHARS_MAX else f"{text[:VALUE_CHARS_MAX]}…"
