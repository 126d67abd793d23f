"""The code map and the how-tos name only what there is."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "service/docs"
PRODUCT = ROOT / "service/anypod"
HOW_TOS = sorted((DOCS / "howto").glob("*.md"))
LINES_MAX = 25  # of a how-to


def named(text: str) -> list[tuple[str, str]]:
    """Files and folders in backticks, each with the name to look for in it, or with nothing."""
    return re.findall(r"`((?:[\w.-]+/)*[\w-]+(?:/[\w-]+|\.(?:py|lua|md|json|yaml|tpl|toml)))(?::(\w+))?`", text)


def is_there(path: str, name: str) -> bool:
    found = next((base / path for base in (PRODUCT, ROOT) if (base / path).exists()), None)
    return found is not None and (not name or re.search(rf"\b(def|class|local function) {name}\b", found.read_text()) is not None)


@pytest.mark.parametrize("document", [DOCS / "code-map.md", *HOW_TOS], ids=lambda path: path.name)
def test_every_file_that_the_code_map_or_a_how_to_names_is_there(document: Path) -> None:
    found = named(document.read_text())
    assert found
    assert not [f"{path}:{name}" for path, name in found if not is_there(path, name)]


def test_a_file_or_a_name_that_is_not_there_is_found() -> None:
    text = "`core/cursor.py:judge`, `core/cursor.py:guess`, `core/course.py`, `tests/unit`, `x.py` and `a word`"
    assert named(text)[:2] == [("core/cursor.py", "judge"), ("core/cursor.py", "guess")]
    assert [is_there(*one) for one in named(text)] == [True, False, False, True, False]


def test_the_five_questions_and_the_three_walks_are_answered() -> None:
    text = (DOCS / "code-map.md").read_text()
    assert re.findall(r"^## (.*)$", text, re.MULTILINE) == ["Five questions", "An event", "A cursor", "An interval"]
    answers = re.findall(r"^\| Where .*\? \| (.*) \|$", text, re.MULTILINE)
    assert len(answers) == 5
    assert all(named(answer) for answer in answers)


@pytest.mark.parametrize("document", HOW_TOS, ids=lambda path: path.name)
def test_a_how_to_is_read_at_a_glance(document: Path) -> None:
    assert document.read_text().count("\n") <= LINES_MAX
