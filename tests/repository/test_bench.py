"""The short benchmark ends every run of all tests: it fails over what is worse than half of a bar, twice, and over no hiccup.

It measures alone, after the tests: `make test` starts it. Here is what it fails over, with planted figures.
"""

import re
import subprocess
import sys
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from loadtests.bench.__main__ import is_failure
from loadtests.bench.against import compare
from loadtests.bench.bench import Absent, Bench, Row, Sides
from loadtests.bench.connection import LoadError
from loadtests.bench.cores import Cores
from loadtests.bench.judge import AGAIN_REPETITIONS, Judge
from loadtests.bench.outcome import Check, Outcome, Sample
from loadtests.bench.process import ProcessError
from loadtests.bench.rows import ROWS
from loadtests.bench.scale import SHORT
from loadtests.bench.source import check_out

ROOT = Path(__file__).parents[2]
BENCH = Bench(Cores(0, 0), SHORT, Path(), Path(), None)
SHORT_JUDGE, FULL_JUDGE = Judge(is_short=True), Judge(is_short=False)
RATIO = Check("ratio", "delivered", "events/s", "ours/theirs at least", 2.0, 4.0)
MEMORY = Check("memory", "a subscriber", "KiB", "ours at most", 6.0, 3.0)
TIME = Check("time", "p99", "ms", "ours at most", 6.0, 3.0)
GOOD, BAD = {RATIO: 300.0, MEMORY: 5.0, TIME: 5.0}, {RATIO: 99.0, MEMORY: 13.0, TIME: 13.0}  # the reference has 100


class Planted:
    """A row whose figures are given one by one; None cannot be measured. The last one stays."""

    def __init__(self, check: Check, figures: Sequence[float | None], theirs: float | Absent = 100.0) -> None:
        self._figures = list(figures)
        self._theirs = theirs
        self.measured = 0
        self.row = Row(check.name, "a planted row", "reference", (check,), self._open)

    @asynccontextmanager
    async def _open(self, bench: Bench) -> AsyncIterator[Sides]:
        yield Sides(self._measure_ours, self._theirs if isinstance(self._theirs, Absent) else self._measure_theirs)

    async def _measure_ours(self) -> Sequence[Sample]:
        figure = self._figures[min(self.measured, len(self._figures) - 1)]
        self.measured += 1
        if figure is None:
            raise LoadError("nobody answered")
        return [Sample(figure)]

    async def _measure_theirs(self) -> Sequence[Sample]:
        assert not isinstance(self._theirs, Absent)
        return [Sample(self._theirs)]


def one_after_the_other(*planted: Planted) -> Row:
    """A row that is another one each time that it is opened."""
    opened = iter(planted)

    def open_next(bench: Bench) -> AbstractAsyncContextManager[Sides]:
        return next(opened).row.open(bench)

    return replace(planted[0].row, open=open_next)


async def judged(judge: Judge, planted: Planted) -> tuple[bool, Sequence[Outcome]]:
    outcomes = await judge.measured(planted.row, BENCH, lambda line: None)
    return is_failure(outcomes, judge), outcomes


@pytest.mark.parametrize("check", [RATIO, MEMORY])
async def test_what_is_below_half_of_its_bar_again_and_again_fails(check: Check) -> None:
    planted = Planted(check, [BAD[check]])
    is_bad, _ = await judged(SHORT_JUDGE, planted)
    assert is_bad
    assert planted.measured == SHORT.repetitions + AGAIN_REPETITIONS


@pytest.mark.parametrize("check", [RATIO, MEMORY])
async def test_a_hiccup_is_looked_at_again_and_fails_nothing(check: Check) -> None:
    planted = Planted(check, [BAD[check], GOOD[check], BAD[check], GOOD[check]])
    is_bad, (outcome,) = await judged(SHORT_JUDGE, planted)
    assert not is_bad
    assert len(outcome.ours) == AGAIN_REPETITIONS, "the second look is what counts"


async def test_what_is_good_is_measured_once() -> None:
    planted = Planted(RATIO, [GOOD[RATIO]])
    assert not (await judged(SHORT_JUDGE, planted))[0]
    assert planted.measured == SHORT.repetitions


async def test_a_time_is_of_its_machine_and_only_the_full_run_fails_over_it() -> None:
    assert not (await judged(SHORT_JUDGE, Planted(TIME, [BAD[TIME]])))[0]
    assert (await judged(FULL_JUDGE, Planted(TIME, [BAD[TIME]])))[0]


async def test_the_full_run_judges_what_it_has_measured_and_looks_no_second_time() -> None:
    planted = Planted(RATIO, [BAD[RATIO], GOOD[RATIO]])
    assert (await judged(FULL_JUDGE, planted))[0]
    assert planted.measured == SHORT.repetitions


@pytest.mark.parametrize(("figures", "fails"), [([None], True), ([None, GOOD[RATIO]], False)])
async def test_what_cannot_be_measured_is_tried_again_and_then_fails(figures: Iterable[float | None], fails: bool) -> None:
    assert (await judged(SHORT_JUDGE, Planted(RATIO, list(figures))))[0] is fails


async def test_a_reference_that_is_not_there_fails_nothing_and_is_said() -> None:
    is_bad, (outcome,) = await judged(SHORT_JUDGE, Planted(RATIO, [1.0], theirs=Absent("it is not here")))
    assert not is_bad
    assert outcome.failures == ["it is not here"]


def test_a_short_run_leaves_out_what_could_not_fail_it() -> None:
    short = {name for name, row in ROWS.items() if SHORT_JUDGE.is_judged(row)}
    assert set(ROWS) - short == {"heartbeats", "crossing"}
    assert all(map(FULL_JUDGE.is_judged, ROWS.values()))


def test_something_is_judged_on_a_machine_that_has_nothing_to_compare_with() -> None:
    own = {check.name for row in ROWS.values() if row.reference != "Centrifugo" for check in row.checks if check.is_portable}
    assert own == {"accept-cpu", "append-1", "append-16", "sse-rate"}


@pytest.mark.parametrize(("given", "is_run"), [([], True), (["TESTS=tests/unit"], False)])
def test_a_run_of_all_tests_ends_with_the_short_benchmark_and_a_run_of_some_does_not(given: list[str], is_run: bool) -> None:
    printed = subprocess.run(
        ["make", "--no-print-directory", "--dry-run", "test", *given], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout
    lines = printed.strip().splitlines()
    assert bool(re.search(r"-m loadtests\.bench --short", printed)) is is_run, printed
    assert bool(re.search(r"-m tests\.repository\.not_run", lines[-1])) is is_run, "it ends with the list of what did not run"


def test_a_reference_that_was_named_and_is_not_there_is_told_in_one_line(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "loadtests.bench", "--short", "--centrifugo", str(tmp_path / "nothing")]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert ended.returncode == 2
    assert ended.stderr.splitlines()[-1].endswith(f"there is no program {tmp_path / 'nothing'}")


@pytest.mark.parametrize(("check", "here", "there"), [(RATIO, 96.0, 100.0), (MEMORY, 5.0, 4.8), (TIME, 5.0, 4.8)])
async def test_a_row_that_has_lost_more_than_three_percent_against_another_revision_is_called_lost(
    check: Check, here: float, there: float
) -> None:
    pairs = 3
    ours, theirs = Planted(check, [here]), Planted(check, [there])
    row = one_after_the_other(ours, theirs, theirs, ours)
    bench = replace(BENCH, scale=replace(SHORT, repetitions=pairs))
    (lost,) = await compare(row, bench, bench, runs=1, say=lambda line: None)
    (won,) = await compare(row, bench, bench, runs=1, say=lambda line: None)
    assert lost.is_lost
    assert not won.is_lost
    assert len(lost.gains) == len(won.gains) == pairs


async def test_the_two_revisions_are_measured_in_turns_and_each_begins_as_often_as_the_other() -> None:
    order: list[str] = []

    class Noting(Planted):
        async def _measure_ours(self) -> Sequence[Sample]:
            order.append(self.row.title)
            return await super()._measure_ours()

    sides = [Noting(RATIO, [1.0]) for _ in range(2)]
    for side, name in zip(sides, "ab", strict=True):
        side.row = replace(side.row, title=name)
    row = one_after_the_other(*sides)
    bench = replace(BENCH, scale=replace(SHORT, repetitions=4))
    await compare(row, bench, bench, runs=1, say=lambda line: None)
    assert "".join(order) == "abbaabba"


async def test_a_row_that_one_revision_cannot_run_is_not_called_kept() -> None:
    row = one_after_the_other(Planted(RATIO, [1.0]), Planted(RATIO, [None]))
    (found,) = await compare(row, BENCH, BENCH, runs=1, say=lambda line: None)
    assert found.is_lost
    assert "NOT MEASURED: nobody answered" in str(found)


def test_another_revision_runs_its_own_code(tmp_path: Path) -> None:
    with pytest.raises(ProcessError, match="no revision"):
        check_out("never", ROOT, tmp_path / "never")
    there = check_out("HEAD", ROOT, tmp_path / "there")
    assert there.python("-c", "import anypod, loadtests; print(anypod.__file__)").startswith(str(tmp_path))
    assert "redis_url" in there.settings
