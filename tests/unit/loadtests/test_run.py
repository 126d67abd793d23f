"""The benchmark runs for real: a row against a replica and a Redis of its own, and a reference that is not there is said."""

import shutil
from pathlib import Path

import pytest
from loadtests.bench.bench import NO_CENTRIFUGO, Absent, Bench
from loadtests.bench.centrifugo import find_centrifugo
from loadtests.bench.cores import choose_cores
from loadtests.bench.outcome import Verdict
from loadtests.bench.report import lines_of, machine
from loadtests.bench.rows import ROWS
from loadtests.bench.run import measure
from loadtests.bench.scale import Scale
from loadtests.bench.store import Redis, find_redis

TINY = Scale(
    repetitions=1,
    window_s=0.3,
    probe_s=0.2,
    resumes=20,
    cold_sessions=5,
    accepts=20,
    idle=20,
    beating=20,
    beat_s=0.2,
    appended=1_600,
)


def bench(folder: Path, centrifugo: Path | None = None) -> Bench:
    redis = find_redis()
    assert redis is not None, "no redis-server on PATH"
    return Bench(choose_cores(), TINY, folder, redis, centrifugo)


@pytest.mark.parametrize("name", ["fan-out-p99", "append"])
async def test_without_centrifugo_our_side_is_measured_and_the_missing_one_said(name: str, tmp_path: Path) -> None:
    lines: list[str] = []
    outcomes = await measure(ROWS[name], bench(tmp_path), lines.append)
    for outcome in outcomes:
        assert all(sample.value > 0 for sample in outcome.ours)
        assert len(outcome.ours) == TINY.repetitions
        if name != "append":  # Redis is its own reference
            assert outcome.verdict is Verdict.UNKNOWN
            assert outcome.failures == [NO_CENTRIFUGO]
            assert NO_CENTRIFUGO in "\n".join(lines_of(outcome))
    assert any(NO_CENTRIFUGO in line for line in lines) is (name != "append")


def test_a_centrifugo_that_does_not_start_is_said(tmp_path: Path) -> None:
    program = shutil.which("false")
    assert program is not None
    broken = bench(tmp_path, Path(program))
    with broken.theirs(Redis(broken.redis, tmp_path, broken.cores.client)) as theirs:
        assert isinstance(theirs, Absent)
        assert theirs.reason.startswith("Centrifugo does not start")


def test_the_centrifugo_that_was_named_is_taken(tmp_path: Path) -> None:
    assert find_centrifugo(tmp_path / "mine", tmp_path) == tmp_path / "mine"


def test_the_machine_is_described_with_what_it_runs(tmp_path: Path) -> None:
    shape = machine(bench(tmp_path).redis, None)
    assert "v=" in shape["store"]
    assert shape["centrifugo"] == "none"
    assert int(shape["cores"]) >= 1
