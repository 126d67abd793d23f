"""`python -m loadtests.bench`: run the benchmark, all of it or a row.

Owns the options, where results go and the exit code. Must not know what is measured.
"""

import argparse
import asyncio
import json
import os
import resource
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final

import uvloop
from loadtests.bench.bench import Bench, Row
from loadtests.bench.centrifugo import find_centrifugo
from loadtests.bench.chart import chart
from loadtests.bench.cores import choose_cores
from loadtests.bench.outcome import Outcome, Verdict
from loadtests.bench.report import as_json, as_markdown, lines_of, machine
from loadtests.bench.rows import ABSENT, ROWS
from loadtests.bench.run import measure
from loadtests.bench.scale import FULL, SHORT
from loadtests.bench.store import find_redis

ROOT: Final = Path(__file__).parents[2]
OUT: Final = ROOT / ".bench/results.json"


def options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m loadtests.bench", description="Measure the product beside its references.")
    parser.add_argument("--row", action="append", choices=list(ROWS), help="only this row; may be repeated")
    parser.add_argument("--short", action="store_true", help="one repetition and shorter windows, for CI")
    parser.add_argument("--repetitions", type=int, help="of each side of each row")
    parser.add_argument("--out", type=Path, default=OUT, help="the JSON file; a chart and a table lie beside it")
    parser.add_argument("--centrifugo", type=Path, help="the program to compare with")
    return parser.parse_args()


def raise_file_limit() -> None:
    """Ten thousand connections are as many files, in this process and, by inheritance, in the servers."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


def say(line: str) -> None:
    print(line, flush=True)


async def run(rows: Sequence[Row], bench: Bench) -> Sequence[Outcome]:
    outcomes: list[Outcome] = []
    for row in rows:
        measured = await measure(row, bench, say)
        outcomes += measured
        for outcome in measured:
            say("\n".join(lines_of(outcome)))
        say("")
    return outcomes


def is_failure(outcomes: Sequence[Outcome]) -> bool:
    """Below half of a bar, or not measured at all. A reference that this machine lacks is said, and is no failure of ours."""
    return any(outcome.verdict is Verdict.BELOW_HALF or not outcome.ours for outcome in outcomes)


def main() -> int:
    given = options()
    redis, rival = find_redis(), find_centrifugo(given.centrifugo, ROOT)
    if redis is None:
        say("there is no Redis to measure with: put redis-server or valkey-server on PATH")
        return 2
    raise_file_limit()
    scale, cores = SHORT if given.short else FULL, choose_cores()
    scale = replace(scale, repetitions=given.repetitions or scale.repetitions)
    rows = [ROWS[name] for name in given.row or ROWS]
    os.sched_setaffinity(0, {cores.client})
    shape = machine(redis, rival)
    say("\n".join(f"{name}: {value}" for name, value in shape.items()))
    say("one core for server and client: only ratios mean anything\n" if cores.is_shared else "")
    with tempfile.TemporaryDirectory(prefix="anypod-bench-") as folder, asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        outcomes = runner.run(run(rows, Bench(cores, scale, Path(folder), redis, rival)))
    given.out.parent.mkdir(parents=True, exist_ok=True)
    given.out.write_text(json.dumps(as_json(outcomes, shape, ABSENT), indent=1) + "\n")
    given.out.with_suffix(".svg").write_text(chart(outcomes))
    given.out.with_suffix(".md").write_text(as_markdown(outcomes))
    for name, reason in ABSENT.items():
        say(f"not measured: {name}: {reason}")
    return _conclude(outcomes, given.out)


def _conclude(outcomes: Sequence[Outcome], out: Path) -> int:
    for verdict in Verdict:
        names = [outcome.check.name for outcome in outcomes if outcome.verdict is verdict]
        if names:
            say(f"{verdict.value}: {', '.join(names)}")
    say(f"written: {out}, and beside it a chart (.svg) and a table (.md)")
    return 1 if is_failure(outcomes) else 0


if __name__ == "__main__":
    sys.exit(main())
