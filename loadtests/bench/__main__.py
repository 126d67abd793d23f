"""`python -m loadtests.bench`: run the benchmark, all of it or a row.

Owns the options, where results go and the exit code. Must not know what is measured.
"""

import argparse
import asyncio
import os
import resource
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final

import uvloop
from loadtests.bench.against import KEPT, PAIRS, compare
from loadtests.bench.against import as_json as as_comparisons
from loadtests.bench.bench import Bench, Row
from loadtests.bench.centrifugo import find_centrifugo
from loadtests.bench.chart import chart
from loadtests.bench.cores import choose_cores
from loadtests.bench.judge import Judge
from loadtests.bench.outcome import Outcome, Verdict
from loadtests.bench.process import ProcessError
from loadtests.bench.report import as_json, as_markdown, machine
from loadtests.bench.rows import ABSENT, ROWS
from loadtests.bench.scale import FULL, SHORT
from loadtests.bench.series import Series, series_of
from loadtests.bench.source import Source, check_out
from loadtests.bench.store import find_redis
from loadtests.results import origin, write

ROOT: Final = Path(__file__).parents[2]
OUT: Final = ROOT / ".bench/results.json"
FULL_JUDGE: Final = Judge(is_short=False)
SHORT_OUT: Final = ROOT / ".bench/short.json"  # a short run is no reason to forget what a long one has found

AGAINST_OUT: Final = ROOT / ".bench/against.json"


def options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m loadtests.bench", description="Measure the product beside its references.")
    parser.add_argument("--row", action="append", choices=list(ROWS), help="only this row; may be repeated")
    parser.add_argument("--short", action="store_true", help="one repetition and shorter windows, for CI")
    parser.add_argument("--repetitions", type=int, help="of each side of each row")
    parser.add_argument("--out", type=Path, help="the JSON file; a chart and a table lie beside it")
    parser.add_argument("--against", metavar="REVISION", help="the same rows of this tree and of another revision, in turns")
    parser.add_argument("--runs", type=int, default=1, help="how often everything is started anew")
    parser.add_argument("--centrifugo", type=Path, help="the program to compare with")
    given = parser.parse_args()
    if given.centrifugo is not None and not given.centrifugo.is_file():
        parser.error(f"--centrifugo: there is no program {given.centrifugo}")
    given.out = given.out or (AGAINST_OUT if given.against else SHORT_OUT if given.short else OUT)
    return given


def raise_file_limit() -> None:
    """Ten thousand connections are as many files, in this process and, by inheritance, in the servers."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


def say(line: str) -> None:
    print(line, flush=True)


async def run(rows: Sequence[Row], bench: Bench, judge: Judge) -> Sequence[Outcome]:
    outcomes: list[Outcome] = []
    for row in rows:
        outcomes += await judge.measured(row, bench, say)
        say("")
    return outcomes


def is_failure(outcomes: Sequence[Outcome], judge: Judge = FULL_JUDGE) -> bool:
    return any(map(judge.is_failure, outcomes))


def main() -> int:
    given = options()
    redis, rival = find_redis(), find_centrifugo(given.centrifugo, ROOT)
    if redis is None:
        say("there is no Redis to measure with: put redis-server or valkey-server on PATH")
        return 2
    raise_file_limit()
    scale, cores, judge = SHORT if given.short else FULL, choose_cores(), Judge(is_short=True) if given.short else FULL_JUDGE
    scale = replace(scale, repetitions=given.repetitions or scale.repetitions)
    rows = [ROWS[name] for name in given.row] if given.row else [row for row in ROWS.values() if judge.is_judged(row)]
    os.sched_setaffinity(0, {cores.client})
    shape = machine(redis, rival)
    say("\n".join(f"{name}: {value}" for name, value in shape.items()))
    say("one core for server and client: only ratios mean anything\n" if cores.is_shared else "")
    with tempfile.TemporaryDirectory(prefix="anypod-bench-") as folder, asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        if given.against:
            # The clients of both sides are connected at once: together as many as those of one side otherwise, for want of descriptors.
            scale = replace(scale, repetitions=given.repetitions or PAIRS, beating=scale.beating // 2)
            bench = Bench(cores, scale, Path(folder), redis, centrifugo=None)
            return runner.run(_against(rows, bench, given, shape))
        bench = Bench(cores, scale, Path(folder), redis, rival)
        runs = runner.run(run_all(rows, bench, judge, given.runs))
    series, made = series_of(runs), origin(again(given))
    write(given.out, as_json(runs, shape, ABSENT, made))
    given.out.with_suffix(".svg").write_text(chart(series))
    given.out.with_suffix(".md").write_text(as_markdown(series))
    for name, reason in ABSENT.items():
        say(f"not measured: {name}: {reason}")
    if left_out := [name for name, row in ROWS.items() if not judge.is_judged(row) and row not in rows]:
        say(f"left out of a short run: {', '.join(left_out)}: their bars are times, and those are of one machine")
    return _conclude(series, judge, given.out)


async def run_all(rows: Sequence[Row], bench: Bench, judge: Judge, runs: int) -> list[Sequence[Outcome]]:
    """All rows, so many times: what the machine does for a while touches one run, not all of a row."""
    found = []
    for number in range(1, runs + 1):
        if runs > 1:
            say(f"run {number} of {runs}\n")
        found.append(await run(rows, bench, judge))
    return found


def again(given: argparse.Namespace) -> str:
    """The command that measures the same."""
    options = {"ROW": " ".join(given.row or ()), "SHORT": given.short and "1", "RUNS": given.runs > 1 and given.runs}
    return " ".join(["make bench", *(f"{name}={value}" for name, value in (options | {"AGAINST": given.against}).items() if value)])


async def _against(rows: Sequence[Row], bench: Bench, given: argparse.Namespace, shape: Mapping[str, str]) -> int:
    try:
        there = check_out(given.against, ROOT, bench.folder / "checkout")
    except ProcessError as error:
        say(str(error))
        return 2
    benches = [
        replace(bench, source=source, folder=bench.folder / name)
        for name, source in (("ours", Source("this tree", ROOT)), ("theirs", there))
    ]
    for one in benches:
        one.folder.mkdir()
    say(f"this tree against {there.name}, {given.runs} × {bench.scale.repetitions} pairs\n")
    comparisons = [comparison for row in rows for comparison in await compare(row, *benches, runs=given.runs, say=say)]
    write(
        given.out,
        {"made": origin(again(given)), "machine": dict(shape), "against": there.name, "checks": as_comparisons(comparisons)},
    )
    lost = [comparison.check.name for comparison in comparisons if comparison.is_lost]
    say(f"written: {given.out}")
    say(f"LOST more than {1 - KEPT:.0%}, or not measured: {', '.join(lost)}" if lost else f"no row has lost more than {1 - KEPT:.0%}")
    return bool(lost)


def _conclude(series: Sequence[Series], judge: Judge, out: Path) -> int:
    for verdict in Verdict:
        names = [one.check.name for one in series if one.verdict is verdict]
        if names:
            say(f"{verdict.value}: {', '.join(names)}")
    say(f"written: {out}, and beside it a chart (.svg) and a table (.md)")
    failed = [one.check.name for one in series if judge.is_series_failure(one)]
    if failed:
        say(f"this run FAILS over: {', '.join(failed)}")
    return bool(failed)


if __name__ == "__main__":
    sys.exit(main())
