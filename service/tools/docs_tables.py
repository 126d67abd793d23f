"""The tables and diagrams of the documents that are made from the code. `python -m service.tools.docs_tables` writes them into the files.

Owns their form and the marks that they stand between. Must not know what a row means: each comes from the one place that defines it.
"""

import re
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from enum import Enum
from pathlib import Path
from typing import Final, get_args

import msgspec
from fastapi import FastAPI
from starlette.routing import WebSocketRoute

from anypod.core import frames
from anypod.core.errors import CLOSE_GONE, CLOSE_LEAVING, CLOSE_OVERLOADED, CLOSE_RETRIED, CODES
from anypod.hub.session import SESSION_TRANSITIONS, SUBSCRIBER_TRANSITIONS
from anypod.redis_store import model_rows
from anypod.replica import Replica
from anypod.settings import Settings, setting_rows
from anypod.telemetry import metric_rows

DOCS: Final = Path(__file__).parents[1] / "docs"
REFERENCE: Final = DOCS / "reference.md"
DOCUMENTS: Final = (REFERENCE, DOCS / "architecture.md")
CLOSE_LOST: Final = 1006  # never sent: what a client sees when there was no close frame

# What a close code means that no error of the table stands behind.
CLOSE_MEANINGS: Final = {
    CLOSE_GONE: "The client, or the page it lived in, is gone.",
    CLOSE_LOST: "The connection broke without a close frame.",
    CLOSE_LEAVING: "The replica is leaving.",
    CLOSE_OVERLOADED: "The replica takes no more work; the reason holds `retry_after_ms=N`.",
}

_BLOCK: Final = re.compile(r"<!-- table: ([a-z -]+) -->\n(.*?)<!-- end -->", re.DOTALL)


def table(titles: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [titles, ["---"] * len(titles), *rows]
    return "".join(f"| {' | '.join(map(escaped, line))} |\n" for line in lines)


def escaped(cell: str) -> str:
    return cell.replace("|", r"\|")


def code(text: str) -> str:
    return f"`{text}`" if text else ""


def settings_table() -> str:
    rows = setting_rows(Settings(dev=True, host="127.0.0.1"))
    titles = ("variable", "default", "unit", "meaning")
    return table(titles, [(", ".join(map(code, row.variables)), code(row.default), row.unit, row.meaning) for row in rows])


def errors_table() -> str:
    titles = ("code", "HTTP", "WebSocket close", "retry", "meaning")
    return table(
        titles,
        [
            (code(name), str(row.status), str(row.close or "—"), "yes" if row.is_retryable else "no", row.title)
            for name, row in CODES.items()
        ],
    )


def closes_table() -> str:
    meanings = dict(CLOSE_MEANINGS)
    names: dict[int, list[str]] = {}
    for name, row in CODES.items():
        if row.close is not None:
            names.setdefault(row.close, []).append(name)
            meanings.setdefault(row.close, row.title)
    return table(
        ("close code", "errors", "the client", "meaning"),
        [
            (str(number), ", ".join(map(code, names.get(number, []))), "retries" if number in CLOSE_RETRIED else answer(number), meaning)
            for number, meaning in sorted(meanings.items())
        ],
    )


def answer(close: int) -> str:
    return "asks once for a fresh credential" if close == CODES["not_authenticated"].close else "stops"


def frames_table(union: object) -> str:
    return table(("type", "fields"), [(code(tag(frame)), fields(frame)) for frame in get_args(union)])


def tag(frame: type[msgspec.Struct]) -> str:
    return str(frame.__struct_config__.tag)


def fields(frame: type[msgspec.Struct]) -> str:
    """Those that may be missing end with a question mark. `ref` is in all of them, and so in none of the rows."""
    return ", ".join(
        code(item.encode_name + ("" if item.required else "?")) for item in msgspec.structs.fields(frame) if item.name != "ref"
    )


def metrics_table() -> str:
    titles = ("metric", "type", "label", "meaning")
    return table(titles, [(code(row.name), row.type, code(row.label or ""), row.meaning) for row in metric_rows()])


def routes_table() -> str:
    replica = Replica(Settings(dev=True, store="memory", host="127.0.0.1"))
    rows = [(port, *route) for port, app in (("public", replica.app), ("admin", replica.admin_app)) for route in routes(app)]
    return table(("port", "method", "path", "does"), rows)


def routes(app: FastAPI) -> list[tuple[str, str, str]]:
    """Method, path, and the first line of what the code says of it."""
    described = [
        (method.upper(), code(path), str(operation.get("description", "")).partition("\n")[0])
        for path, operations in app.openapi()["paths"].items()
        for method, operation in operations.items()
    ]
    upgrades = [("GET", code(route.path), "The WebSocket.") for route in app.router.routes if isinstance(route, WebSocketRoute)]
    return sorted(described + upgrades, key=lambda row: (row[1], row[0]))


def memory_table() -> str:
    return table(("what", "takes", "unit", "which is"), [(row.what, f"{row.figure:,}", row.unit, row.meaning) for row in model_rows()])


def diagram(transitions: Mapping[Enum, Mapping[Enum, str]]) -> str:
    """A state diagram (Mermaid) of a transition table; the first phase is where it begins."""
    first = next(iter(transitions))
    arrows = [f"{before.name} --> {after.name}: {when}" for before, row in transitions.items() for after, when in row.items()]
    ends = [f"{phase.name} --> [*]" for phase, row in transitions.items() if not row]
    lines = ["stateDiagram-v2", f"[*] --> {first.name}", *arrows, *ends]
    return "```mermaid\n" + "\n    ".join(lines) + "\n```\n"


TABLES: Final[Mapping[str, Callable[[], str]]] = {
    "settings": settings_table,
    "error codes": errors_table,
    "close codes": closes_table,
    "client frames": lambda: frames_table(frames.ClientFrame),
    "server frames": lambda: frames_table(frames.ServerFrame),
    "metrics": metrics_table,
    "routes": routes_table,
    "memory": memory_table,
    "session phases": lambda: diagram(SESSION_TRANSITIONS),
    "subscriber phases": lambda: diagram(SUBSCRIBER_TRANSITIONS),
}


def tables_in(text: str) -> dict[str, str]:
    return {match[1]: match[2] for match in _BLOCK.finditer(text)}


def with_tables(text: str) -> str:
    """The text with every table as the code has it now."""
    return _BLOCK.sub(lambda match: f"<!-- table: {match[1]} -->\n{TABLES[match[1]]()}<!-- end -->", text)


if __name__ == "__main__":
    for document in DOCUMENTS:
        document.write_text(with_tables(document.read_text()))
        sys.stdout.write(f"{document.name} is up to date.\n")
