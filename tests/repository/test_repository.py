"""The repository obeys its own rules, and each rule is able to find what it is for."""

import re
from pathlib import Path

import pytest
from tests.repository.rules import RULES, TOP_LEVEL, is_text, top_level

ROOT = Path(__file__).parents[2]
IGNORED = frozenset({"__pycache__", ".git", ".venv", ".anypod", "dist", "build"})

# For each rule a text that breaks it, where it would stand, and a text that does not.
PLANTED = {
    "deep nesting": (
        "service/anypod/a.py",
        "def walk():\n if a:\n  for b in c:\n   with d:\n    if e:\n     f()\n",
        "def walk():\n if a:\n  for b in c:\n   with d:\n    f()\n if g:\n  h()\n elif i:\n  for j in k:\n   with l:\n    f()\n",
    ),
    "vague names": ("service/anypod/a.py", "class SessionManager: ...\n", "class Session: ...\n"),
    "wrong words": ("service/anypod/a.py", "log = logging.getLogger(__name__)\n", "logger = logging.getLogger(__name__)\n"),
    "environment": ("service/anypod/a.py", "import os\nurl = os.environ['URL']\n", "import os\nos.getpid()\n"),
    "time": ("service/anypod/a.py", "from time import monotonic\n", "from anypod.clock import Clock\n"),
    "chance": ("service/anypod/a.py", "import random\ndelay = random.random()\n", "from random import Random\nrng = Random(seed)\n"),
    "silent roots": (
        "service/anypod/a.py",
        "try:\n    f()\nexcept Exception:\n    pass\n",
        "try:\n    f()\nexcept Exception:\n    logger.exception('f')\n",
    ),
    "bare noqa": ("service/anypod/a.py", "f()  # no" + "qa: S603\n", "f()  # no" + "qa: S603 - the command is ours\n"),
    "missing purpose": ("service/anypod/a.py", "x = 1\n", '"""Owns x."""\nx = 1\n'),
    "doubles": ("tests/test_a.py", "def test_a(monkeypatch): ...\n", "def test_a(tmp_path): ...\n"),
    "terse test names": ("tests/test_a.py", "def test_resume_2(): ...\n", "def test_a_cursor_resumes(): ...\n"),
    "machine paths": ("Makefile", "PYTHON := /" + "home/me/bin/python\n", "PYTHON := $(HOME)/bin/python /v1/home/x\n"),
    "registry hosts": ("README.md", "See https://py" + "pi.org/project/anypod\n", "See the package anypod.\n"),
}


def texts() -> list[tuple[str, str]]:
    files = (path for path in sorted(ROOT.rglob("*")) if path.is_file() and not IGNORED & set(path.relative_to(ROOT).parts))
    kept = ((path.relative_to(ROOT), path) for path in files)
    return [(relative.as_posix(), path.read_text()) for relative, path in kept if is_text(relative) and not is_cache(relative)]


def is_cache(relative: Path) -> bool:
    """Dot-folders at the top are tools' own, but for those of CI."""
    is_hidden = len(relative.parts) > 1 and relative.parts[0].startswith(".")
    return is_hidden and relative.parts[0] not in {".ci", ".github"}


@pytest.mark.parametrize("name", RULES)
def test_the_repository_obeys_its_rule_on(name: str) -> None:
    findings = [finding for path, text in texts() for finding in RULES[name].findings(path, text)]
    assert not findings, "\n" + "\n".join(findings)


@pytest.mark.parametrize("name", RULES)
def test_the_rule_finds_a_planted_example_of(name: str) -> None:
    path, broken, kept = PLANTED[name]
    assert RULES[name].findings(path, broken)
    assert not RULES[name].findings(path, kept)


def test_the_top_level_is_as_it_was_agreed() -> None:
    names = {path.name for path in ROOT.iterdir()}
    assert not top_level(names), top_level(names)
    assert TOP_LEVEL - {"helm", "infra", "loadtests"} <= names


def test_a_stray_file_at_the_top_is_found() -> None:
    assert top_level({"README.md", "notes.txt", ".gitignore"}) == [top_level({"notes.txt"})[0]]


def targets(makefile: str) -> dict[str, str]:
    """Target to what is said about it."""
    return dict(re.findall(r"^([a-z-]+):[^#\n]*(?:## (.*))?$", makefile, re.MULTILINE))


def test_ci_runs_exactly_the_test_command_of_the_readme() -> None:
    commands = [line for line in (ROOT / ".ci/run").read_text().splitlines() if line.startswith("exec ")]
    assert commands == ["exec make test"]
    assert re.search(r"^make test\b", (ROOT / "README.md").read_text(), re.MULTILINE)


def test_every_make_target_that_a_document_names_exists_and_explains_itself() -> None:
    known = targets((ROOT / "Makefile").read_text())
    assert not [name for name, meaning in known.items() if not meaning], "every target has a `## line` for `make help`"
    for path in [*ROOT.glob("*.md"), *(ROOT / "service/docs").rglob("*.md")]:
        named = set(re.findall(r"(?:^|`)make ([a-z-]+)", path.read_text(), re.MULTILINE))
        assert named <= known.keys(), f"{path.name} names make targets that do not exist: {named - known.keys()}"


def test_the_readme_is_short_enough_to_be_read() -> None:
    assert (ROOT / "README.md").read_text().count("\n") <= 150
