"""What a run of the benchmark says of its figures: no bad figure passes, and nothing that could not be measured is hidden."""

import json
from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from xml.etree.ElementTree import fromstring

import pytest
from loadtests.bench.__main__ import is_failure
from loadtests.bench.bench import Absent, Bench, Measure, Row, Sides
from loadtests.bench.chart import advantage, chart
from loadtests.bench.connection import LoadError
from loadtests.bench.cores import Cores
from loadtests.bench.judge import Judge
from loadtests.bench.outcome import Check, Goal, Outcome, Sample, Verdict
from loadtests.bench.report import as_json, as_markdown, lines_of
from loadtests.bench.run import measure
from loadtests.bench.scale import FULL
from loadtests.bench.series import read_series, series_of

RATE = Check("rate", "delivered", "events/s", "ours/theirs at least", 1.5, 2.6)
BENCH = Bench(Cores(0, 0), FULL, Path(), Path(), None)


def outcome(goal: Goal, ours: Sequence[float], theirs: Sequence[float] = (), *, bar: float, stretch: float) -> Outcome:
    check = Check("planted", "a figure", "units", goal, bar, stretch)
    return Outcome(check, "reference", [Sample(value) for value in ours], [Sample(value) for value in theirs])


def always(value: float) -> Measure:
    async def measured() -> Sequence[Sample]:
        return [Sample(value)]

    return measured


def row(sides: Sides, order: list[str] | None = None) -> Row:
    def noted(name: str, side: Measure) -> Measure:
        async def measured() -> Sequence[Sample]:
            if order is not None:
                order.append(name)
            return await side()

        return measured

    @asynccontextmanager
    async def opened(bench: Bench) -> AsyncIterator[Sides]:
        theirs = sides.theirs
        yield Sides(noted("ours", sides.ours), theirs if theirs is None or isinstance(theirs, Absent) else noted("theirs", theirs))

    return Row("planted", "a planted row", "reference", (RATE,), opened)


def silent(line: str) -> None:
    """Nobody listens."""


@pytest.mark.parametrize(
    ("goal", "ours", "theirs", "bounds", "verdict"),
    [
        ("ours/theirs at least", [300.0], [100.0], (1.5, 2.6), Verdict.STRETCH),
        ("ours/theirs at least", [160.0], [100.0], (1.5, 2.6), Verdict.MET),
        ("ours/theirs at least", [100.0], [100.0], (1.5, 2.6), Verdict.MISSED),
        ("ours/theirs at least", [74.0], [100.0], (1.5, 2.6), Verdict.BELOW_HALF),
        ("theirs/ours at least", [10.0], [40.0], (2.5, 4.0), Verdict.STRETCH),
        ("theirs/ours at least", [10.0], [12.0], (2.5, 4.0), Verdict.BELOW_HALF),
        ("ours/theirs at most", [0.4], [1.0], (0.5, 0.2), Verdict.MET),
        ("ours/theirs at most", [0.9], [1.0], (0.5, 0.2), Verdict.MISSED),
        ("ours/theirs at most", [1.1], [1.0], (0.5, 0.2), Verdict.BELOW_HALF),
        ("ours at most", [5.0], [], (6.0, 3.0), Verdict.MET),
        ("ours at most", [12.1], [], (6.0, 3.0), Verdict.BELOW_HALF),
        ("ours/theirs at least", [300.0], [], (1.5, 2.6), Verdict.UNKNOWN),
        ("ours at most", [], [5.0], (6.0, 3.0), Verdict.UNKNOWN),
    ],
)
def test_a_figure_is_judged_by_its_bar_and_half_of_it(
    goal: Goal, ours: Sequence[float], theirs: Sequence[float], bounds: tuple[float, float], verdict: Verdict
) -> None:
    bar, stretch = bounds
    assert outcome(goal, ours, theirs, bar=bar, stretch=stretch).verdict is verdict


def test_the_median_decides_so_that_one_hiccup_does_not() -> None:
    assert outcome("ours/theirs at least", [160, 10, 170], [100, 100, 5], bar=1.5, stretch=2.6).verdict is Verdict.MET


async def test_a_planted_slow_row_fails_the_run() -> None:
    outcomes = await measure(row(Sides(always(70.0), always(100.0))), BENCH, silent)
    assert outcomes[0].verdict is Verdict.BELOW_HALF
    assert is_failure(outcomes)


async def test_a_row_that_misses_its_bar_by_less_than_half_is_said_but_fails_nothing() -> None:
    outcomes = await measure(row(Sides(always(120.0), always(100.0))), BENCH, silent)
    assert "MISSED" in "\n".join(lines_of(outcomes[0]))
    assert not is_failure(outcomes)


async def test_both_sides_are_measured_in_turns() -> None:
    order: list[str] = []
    await measure(row(Sides(always(1.0), always(1.0)), order), BENCH, silent)
    assert order == ["ours", "theirs"] * FULL.repetitions


async def test_a_missing_reference_is_reported_and_the_row_not_judged() -> None:
    outcomes = await measure(row(Sides(always(1.0), Absent("there is no Centrifugo"))), BENCH, silent)
    text = "\n".join(lines_of(outcomes[0]))
    assert "NOT JUDGED" in text
    assert "there is no Centrifugo" in text
    assert as_json([outcomes], {}, {}, {})["runs"][0][0]["failures"] == ["there is no Centrifugo"]
    assert not is_failure(outcomes)


async def test_our_own_side_that_cannot_be_measured_fails_the_run_and_the_reference_is_measured_nevertheless() -> None:
    async def refused() -> Sequence[Sample]:
        raise LoadError("nothing was acknowledged")

    outcomes = await measure(row(Sides(refused, always(1.0))), BENCH, silent)
    assert is_failure(outcomes)
    assert len(outcomes[0].theirs) == FULL.repetitions
    assert outcomes[0].failures == ["anypod could not be measured: nothing was acknowledged"]


async def test_a_row_that_cannot_be_set_up_fails_the_run_and_says_why() -> None:
    def opened(bench: Bench) -> AbstractAsyncContextManager[Sides]:
        raise OSError("no such program")

    outcomes = await measure(Row("planted", "a planted row", "reference", (RATE,), opened), BENCH, silent)
    assert is_failure(outcomes)
    assert outcomes[0].failures == ["could not be set up: no such program"]


def test_a_busy_client_and_a_disturbed_server_are_said() -> None:
    found = Outcome(RATE, "reference", [Sample(1.0, client=0.7, store=0.27, others=0.3)], [Sample(1.0, client=0.5, store=0.2, others=0.0)])
    assert found.remarks == [
        "anypod: the client's core was 97% busy, so the server may be able to do more",
        "anypod: other work took 30% of the server's core",
    ]


def test_the_json_holds_every_sample() -> None:
    found = outcome("ours/theirs at least", [1.0, 2.0], [3.0], bar=1.5, stretch=2.6)
    written = json.loads(json.dumps(as_json([[found], [found]], {"cores": "2"}, {"tracing": "not there"}, {"revision": "abc"})))
    assert [sample["value"] for sample in written["runs"][1][0]["ours"]] == [1.0, 2.0]
    assert written["not_measured"] == {"tracing": "not there"}
    assert written["made"] == {"revision": "abc"}
    assert read_series(written) == series_of([[found], [found]])


def test_the_table_of_the_documents_has_a_line_for_every_check() -> None:
    judged = outcome("ours/theirs at least", [1.0, 3.0, 2.0], [1.0], bar=1.5, stretch=2.6)
    unknown = outcome("ours/theirs at least", [], [], bar=1.5, stretch=2.6)
    _, _, *lines = as_markdown(series_of([[judged, unknown]])).splitlines()
    assert lines == [
        "| planted: a figure | 2 units (1 to 3) | reference: 1 units (1 to 1) | 2 (2 to 2) | ≥ 1.5 | 2.6 | 1 of 1 | met |",
        "| planted: a figure | not measured |  |  | ≥ 1.5 | 2.6 | 0 of 1 | unknown |",
    ]


def test_the_figure_of_several_runs_is_their_median_with_the_range_beside_it() -> None:
    runs = [[outcome("ours/theirs at least", [value], [1.0], bar=1.5, stretch=2.6)] for value in (1.6, 1.4, 1.8, 2.0, 1.7)]
    *_, line = as_markdown(series_of(runs)).splitlines()
    assert (
        line == "| planted: a figure | 1.7 units (1.4 to 2) | reference: 1 units (1 to 1) | 1.7 (1.4 to 2) | ≥ 1.5 | 2.6 | 4 of 5 | met |"
    )


@pytest.mark.parametrize(
    ("scores", "verdict"),
    [
        ([1.6] * 5, Verdict.MET),
        ([1.6, 1.6, 1.6, 1.6, 1.4], Verdict.MET),
        ([9.0, 9.0, 9.0, 1.4, 1.4], Verdict.MISSED),
        ([2.6, 2.6, 2.6, 2.6, 1.0], Verdict.STRETCH),
        ([0.1, 0.1, 0.1, 9.0, 9.0], Verdict.BELOW_HALF),
    ],
)
def test_a_bar_that_fewer_than_four_of_five_runs_meet_is_called_missed(scores: Sequence[float], verdict: Verdict) -> None:
    (series,) = series_of([[outcome("ours/theirs at least", [score], [1.0], bar=1.5, stretch=2.6)] for score in scores])
    assert series.verdict is verdict
    assert Judge(is_short=False).is_series_failure(series) is (verdict is Verdict.BELOW_HALF)


def test_the_chart_shows_every_check_and_reaches_further_for_a_better_one() -> None:
    better, worse, unknown = series_of(
        [
            [
                outcome("ours at most", [3.0], bar=6.0, stretch=3.0),
                outcome("ours at most", [12.0], bar=6.0, stretch=3.0),
                outcome("ours/theirs at least", [1.0], bar=1.5, stretch=2.6),
            ]
        ]
    )
    assert advantage(3.0, better) == 2.0
    assert advantage(12.0, worse) == 0.5
    drawn = fromstring(chart([better, worse, unknown]))
    texts = [element.text for element in drawn.iter() if element.tag.endswith("text")]
    assert texts.count("planted: a figure") == 3
    assert "not judged" in texts
