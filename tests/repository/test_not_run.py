"""A run of all tests ends with what did not run; CI fails over what could have run."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import get_args

import pytest
from loadtests.bench.bench import NO_CENTRIFUGO
from tests.repository.not_run import RECORD, TOOLS, NotRun, Tool, elsewhere, listed, missing, of_bench, recorded, wrong

ROOT = Path(__file__).parents[2]
SKIPPING = """
import pytest
from tests.repository.not_run import missing

@pytest.mark.skipif(True, reason=missing("helm", "get it"))
def test_one(): ...

def test_two():
    pytest.skip("it is Monday")
"""


def test_every_tool_has_a_check() -> None:
    assert TOOLS.keys() == set(get_args(Tool))
    assert all(isinstance(is_there(), bool) for is_there in TOOLS.values())


@pytest.mark.parametrize(
    ("why", "is_there", "fails"),
    [
        (missing("helm", "get it"), False, False),
        (missing("helm", "get it"), True, True),
        ("missing quantum computer: buy one", False, True),
        (elsewhere("make test-cluster", "it takes half an hour"), False, False),
        ("I was tired", False, True),
    ],
)
def test_ci_fails_over_what_did_not_run_although_it_could(why: str, is_there: bool, fails: bool) -> None:
    assert bool(wrong([NotRun("a test", why)], {"helm": lambda: is_there})) is fails
    assert bool(wrong([NotRun("a test", f"Skipped: {why}")], {"helm": lambda: is_there})) is fails


def test_the_list_tells_each_reason_once_with_the_first_tests() -> None:
    found = [NotRun(f"test {number}", "Skipped: " + missing("helm", "get it")) for number in range(5)]
    assert listed(found).splitlines() == ["5 did not run:", "     5 missing helm: get it", "         test 0, test 1, test 2 and 2 more"]
    assert listed([]) == "Everything ran."


@pytest.mark.parametrize("workers", ["0", "2"])
def test_skipped_tests_are_recorded_and_ci_fails_over_those_without_a_good_reason(workers: str, tmp_path: Path) -> None:
    record, suite = tmp_path / "not-run.jsonl", tmp_path / "test_planted.py"
    environment = {**os.environ, RECORD: str(record)}
    suite.write_text(SKIPPING)
    options = ("-c", str(ROOT / "pyproject.toml"), "--rootdir", str(ROOT), "-p", "tests.conftest", "-p", "no:cacheprovider")
    command = (sys.executable, "-m", "pytest", "-q", "-n", workers, *options, str(suite))
    ran = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stdout
    found = recorded(record)
    assert sorted(one.why.removeprefix("Skipped: ") for one in found) == ["it is Monday", "missing helm: get it"]
    for ci, code in (("true", 1), ("", 0)):
        listing = (sys.executable, "-m", "tests.repository.not_run")
        told = subprocess.run(listing, cwd=ROOT, env={**environment, "CI": ci}, capture_output=True, text=True, check=False)
        assert "1 it is Monday" in told.stdout
        assert told.returncode == code, told.stdout
    assert "FAILED" not in told.stdout


def test_rows_of_the_benchmark_without_a_reference_are_on_the_list(tmp_path: Path) -> None:
    results = {
        "runs": [[{"name": "resume-0", "failures": [NO_CENTRIFUGO]}, {"name": "accept-cpu", "failures": []}]],
        "not_measured": {"tracing": "the product has no tracing yet"},
    }
    (tmp_path / "short.json").write_text(json.dumps(results))
    rows = list(of_bench(tmp_path / "short.json"))
    assert [one.what for one in rows] == ["benchmark: resume-0", "benchmark: tracing"]
    assert not wrong(rows, {"centrifugo": lambda: False})
    assert len(wrong(rows, {"centrifugo": lambda: True})) == 1


def test_every_skip_in_the_tests_has_a_reason_that_a_program_can_check() -> None:
    calls = r"pytest\.skip\(\s*(?!missing\(|elsewhere\()"
    marks = r"skipif\((?!.*reason=(?:missing\(|elsewhere\(|MISSING))|importorskip|mark\.skip\b"
    skips = re.compile(f"{calls}|{marks}")
    found = [
        f"{path.relative_to(ROOT)}:{number}"
        for path in sorted((ROOT / "tests").rglob("*.py"))
        if path != Path(__file__)
        for number, line in enumerate(path.read_text().splitlines(), 1)
        if skips.search(line)
    ]
    assert not found
