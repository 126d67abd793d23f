"""The lines that a replica writes about itself: one line a record, for a machine (json) or a person (text).

Owns their form, and that no client can forge or read one: what comes from a client has its control characters escaped,
what looks like a credential is masked, and a line has an end. Must not know what is worth writing. Payloads are never passed
to a logger; the masks are the second belt.
"""

import json
import logging
import re
import sys
from datetime import UTC, datetime
from typing import Final, Literal, TextIO

LINE_CHARS_MAX: Final = 8_192  # collectors cut or refuse longer ones; a traceback of forty calls fits
MASK: Final = "***"

# A JWT; the user and password of a URL; a ticket where it is shown.
_CREDENTIAL: Final = re.compile(r"eyJ[\w-]+\.[\w-]*\.[\w-]*|(?<=://)[^\s/@]*:[^\s/@]+(?=@)|(?<=\bticket[. =])[0-9a-f]{40}", re.IGNORECASE)
_STANDARD: Final = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName", "color_message"}


def configure_logging(level: str, form: Literal["json", "text"], *, stream: TextIO | None = None) -> None:
    """From now on every logger of this process writes in this form, those of libraries too."""
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(_JsonLine() if form == "json" else _TextLine())
    logging.basicConfig(level=level, handlers=[handler], force=True)
    # Below a warning the server tells of every WebSocket with its query, and for DEBUG of every header and payload.
    logging.getLogger("uvicorn").setLevel(max(logging.WARNING, logging.getLevelNamesMapping()[level]))


class _JsonLine(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        line = {"time": _time(record), "level": record.levelname, "logger": record.name, "message": _safe(record.getMessage())}
        line |= {name: _safe(str(value)) for name, value in _extras(record).items()}
        if record.exc_info:
            line["exception"] = _safe(self.formatException(record.exc_info))
        return json.dumps(line)  # ASCII alone: every control character is escaped, whatever alphabet it comes from


class _TextLine(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        extras = "".join(f" {name}={value}" for name, value in _extras(record).items())
        exception = f"\n{self.formatException(record.exc_info)}" if record.exc_info else ""
        return _printable(f"{_time(record)} {record.levelname:<7} {record.name}: {_safe(record.getMessage() + extras + exception)}")


def _time(record: logging.LogRecord) -> str:
    return datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")


def _extras(record: logging.LogRecord) -> dict[str, object]:
    """What the caller gave as `extra`."""
    return {name: value for name, value in vars(record).items() if name not in _STANDARD}


def _safe(text: str) -> str:
    # Masked before it is cut: half a credential would no longer look like one.
    masked = _CREDENTIAL.sub(MASK, text)
    return masked if len(masked) <= LINE_CHARS_MAX else masked[:LINE_CHARS_MAX] + "…"


def _printable(text: str) -> str:
    return text if text.isprintable() else "".join(letter if letter.isprintable() else ascii(letter)[1:-1] for letter in text)
