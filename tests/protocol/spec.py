"""The contract itself, `service/spec/protocol.md`, read as a table of what there is to prove.

Owns the reading of its tables and lists. Must not know cases, nor the code that keeps the contract.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

PROTOCOL: Final = Path(__file__).parents[2] / "service/spec/protocol.md"

_CODE: Final = re.compile(r"`([^`]*)`")
_NAME: Final = re.compile(r"\w+")
_STATUS_AND_CODE: Final = re.compile(r"\b[45]\d\d `(\w+)`|code=(\w+)")


@dataclass(frozen=True, slots=True)
class Contract:
    """`client` and `server`: the fields of each frame, by its type. `routes`: `METHOD /path`; kinds of one path have names of their own."""

    routes: frozenset[str]
    client: dict[str, frozenset[str]]
    server: dict[str, frozenset[str]]
    closes: frozenset[int]
    retried: frozenset[int]
    errors: frozenset[str]
    resets: frozenset[str]


def read_contract() -> Contract:
    text = PROTOCOL.read_text()
    client, server = text.partition("Client to server:")[2].partition("Server to client:")[::2]
    closes, retried = text.partition("Close codes:")[2].partition("A client retries")[::2]
    reasons = re.search(r"`reason: ([^,]*),", server)
    assert reasons is not None
    return Contract(
        routes=frozenset(_routes(text.partition("## HTTP")[2])),
        client=_frames(client),
        server=_frames(server),
        closes=_numbers(closes),
        retried=_numbers(retried.partition(";")[0]),
        errors=frozenset(one or other for one, other in _STATUS_AND_CODE.findall(text)),
        resets=frozenset(_NAME.findall(reasons[1])),
    )


def _rows(text: str) -> Iterator[tuple[str, str]]:
    """The first two cells of the rows of the first table, without its head."""
    lines = text[text.index("|---") :].splitlines()[1:]
    for line in lines:
        if not line.startswith("|"):
            return
        cells = re.split(r"(?<!\\)\|", line)
        yield cells[1].strip(), cells[2].strip().replace("\\|", "|")


def _routes(text: str) -> Iterator[str]:
    path, method = "", ""
    for cell, _ in _rows(text):
        if cell.startswith("…"):
            yield f"{method} {path}{'?wait' if 'wait=' in cell else ' as a stream'}"
            continue
        methods: list[str] = []
        for code in _CODE.findall(cell):
            words = code.split()
            methods = [*methods, words[0]] if words[0].isupper() else methods
            if not words[-1].startswith("/"):
                continue
            method = methods[-1]
            for path in _paths(words[-1].partition("?")[0]):
                yield from (f"{one} {path}" for one in methods)


def _paths(path: str) -> Iterator[str]:
    """`/a[/{b}]` is two paths, `/a/{b,c}` as well."""
    if "[" in path:
        start, _, rest = path.partition("[")
        yield from (start, start + rest.rstrip("]"))
    elif choice := re.search(r"\{(\w+(?:,\w+)+)\}", path):
        yield from (path.replace(choice[0], one) for one in choice[1].split(","))
    else:
        yield path


def _frames(text: str) -> dict[str, frozenset[str]]:
    found: dict[str, frozenset[str]] = {}
    for cell, told in _rows(text):
        types = _CODE.findall(cell)
        has_own = len(types) > 1 and " / — " in told
        for index, kind in enumerate(types):
            found[kind] = _fields(told.split(" / ")[index] if has_own else told)
    return found


def _fields(told: str) -> frozenset[str]:
    """The names up to where the table explains them. What stands in brackets is of the value."""
    named = re.split(r" — |^—|; reserved", told)[0]
    lists = [re.sub(r"[\[{(][^\[\](){}]*[\])}]", "", re.sub(r"\{[^{}]*\}", "", code)) for code in _CODE.findall(named)]
    return frozenset(found[0] for code in lists for part in code.split(",") if (found := _NAME.match(part.strip())))


def _numbers(text: str) -> frozenset[int]:
    return frozenset(map(int, re.findall(r"\b(?:1|4)\d{3}\b", text)))
