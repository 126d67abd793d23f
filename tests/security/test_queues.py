"""Nothing in the code grows without a bound that `service/docs/security.md` names."""

import ast
import re
from pathlib import Path
from typing import Final

import pytest
from tests.security.queues import growing_places, places_in

ROOT: Final = Path(__file__).parents[2]
PACKAGE: Final = ROOT / "service/anypod"
SECURITY: Final = ROOT / "service/docs/security.md"

PLANTED: Final = {
    "a deque that a method fills": ("self.q = deque()", "self.q.append(1)"),
    "a dict": ("self.q: dict[str, int] = {}", "self.q[key] = 1"),
    "a dict that there may be": ("self.q: dict[str, int] | None = None", "self.q.setdefault(key, 1)"),
    "a dict in an assignment of two": ("self.q = OrderedDict()", "n, self.q[key] = 1, 2"),
    "a dict of sets": ("self.q = {}", "self.q.setdefault(key, set()).add(1)"),
    "a list that is added to": ("self.q = []", "self.q += [1]"),
    "a set": ("self.q: Final[set[int]] = set()", "self.q.add(1)"),
    "a queue": ("self.q = asyncio.Queue()", "self.q.put_nowait(1)"),
    "a local name": ("self.q = []", "q = self.q\n        q.append(1)"),
    "a local name for one of two": ("self.q = []", "q = self.q if key else other\n        q.append(1)"),
    "bytes that are replaced": ('self.q = b""', "self.q = self.q + key"),
    "bytes that are added to": ("self.q = bytearray()", "self.q += key"),
    "somebody else's": ("self.q = []", "other.q.append(1)"),
}
HARMLESS: Final = {
    "a number": ("self.q = 0", "self.q += 1"),
    "a list that is only replaced": ("self.q = []", "self.q = [1]"),
    "bytes that are emptied": ('self.q = b""', 'self.q = b""'),
    "an object of ours": ("self.q = Presence()", "other.q.update(1)"),
    "an object of the same name as a list": ("self.q = []", "other.q.update(1)"),
    "bytes of the same name that somebody else replaces": ('self.q = b""', "other.q = key"),
    "what a constructor fills": ("self.q = []\n        self.q.append(1)", "pass"),
}


def rows(text: str) -> dict[str, tuple[str, str]]:
    """Place to its bound and what happens beyond it."""
    table = text.partition("<!-- queues -->")[2].partition("<!-- end -->")[0]
    cells = [[cell.strip() for cell in line.strip("| \n").split(" | ")] for line in table.splitlines() if line.startswith("| `")]
    return {place: (bound, beyond) for names, bound, beyond in cells for place in re.findall(r"`([\w.]+)`", names)}


def planted(made: str, grown: str) -> set[str]:
    code = f"class Planted:\n    def __init__(self):\n        {made}\n\n    def method(self, key, other):\n        {grown}\n"
    return places_in({"module": ast.parse(code)})


def test_the_security_document_lists_exactly_what_grows() -> None:
    grows, told = growing_places(PACKAGE), rows(SECURITY.read_text()).keys()
    assert not grows - told, f"these grow: bound them, and add a row to {SECURITY.name}: {sorted(grows - told)}"
    assert not told - grows, f"these are listed in {SECURITY.name} and do not grow: {sorted(told - grows)}"


def test_every_row_tells_a_bound_and_what_happens_beyond_it() -> None:
    told = rows(SECURITY.read_text())
    assert len(told) > 50
    assert not [place for place, cells in told.items() if not all(cells)]


@pytest.mark.parametrize("name", PLANTED)
def test_what_grows_is_found(name: str) -> None:
    assert planted(*PLANTED[name]) == {"module.Planted.q"}


@pytest.mark.parametrize("name", HARMLESS)
def test_what_does_not_grow_is_passed_over(name: str) -> None:
    assert planted(*HARMLESS[name]) == set()


def test_a_function_that_remembers_is_found() -> None:
    code = "@lru_cache(9)\ndef f(): ...\n\n@cache\ndef g(): ...\n\n@functools.cache\ndef h(): ...\n\ndef i(): ...\n"
    assert places_in({"m": ast.parse(code)}) == {"m.f", "m.g", "m.h"}


def test_a_queue_that_the_document_lacks_is_found() -> None:
    text = SECURITY.read_text()
    without = text.replace("| `core.merge.Merge._held` |", "| nothing |")
    assert rows(text).keys() - rows(without).keys() == {"core.merge.Merge._held"} <= growing_places(PACKAGE)
