"""A stepped clock is seen by whoever reads it, while durations stay true."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from tests.chaos.wall_clock import MISSING, SETTLE_S, WallClock, library
from tests.support.redis_clusters import wait_for

HOUR_S = 3_600
READING = "import time; print(round(time.time()), round(time.monotonic()))"

pytestmark = pytest.mark.skipif(library() is None, reason=MISSING)


def reading(clock: WallClock | None) -> tuple[int, int]:
    variables = {**os.environ, **(clock.variables if clock is not None else {})}
    wall, steady = subprocess.run([sys.executable, "-c", READING], env=variables, capture_output=True, check=True).stdout.split()
    return int(wall), int(steady)


def test_a_step_moves_the_wall_clock_of_a_new_process_and_nothing_else(tmp_path: Path) -> None:
    clock = WallClock(tmp_path / "clock")
    with clock.stepped(HOUR_S):
        (wall, steady), (true_wall, true_steady) = reading(clock), reading(None)
    assert abs(wall - true_wall - HOUR_S) <= 2
    assert abs(steady - true_steady) <= 2
    assert abs(reading(clock)[0] - reading(None)[0]) <= 2, "it has been stepped back"


def test_a_process_that_runs_sees_the_step(tmp_path: Path) -> None:
    clock = WallClock(tmp_path / "clock")
    program = clock.wrapped(Path(sys.executable))
    code = "import sys, time\nfor line in sys.stdin: print(round(time.time()), flush=True)"
    with subprocess.Popen([program, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None
        assert process.stdout is not None

        def seen() -> int:
            print("now", file=process.stdin, flush=True)
            return int(process.stdout.readline())  # type: ignore[union-attr]

        before = seen()
        with clock.stepped(-HOUR_S):
            wait_for(lambda: seen() < before - HOUR_S / 2, "the step is seen")
        wait_for(lambda: seen() >= before, "the step back is seen")
        process.stdin.close()
    assert SETTLE_S > 1
