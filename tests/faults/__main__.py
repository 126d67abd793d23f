"""`make faults`: faults at random under a crowd, and what came of it.

    python -m tests.faults --minutes 3 --seed 7 --rows redis-restarted,replica-killed

Owns the command line, and where reports go. Must not know how a run goes.
"""

import argparse
import random
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

import uvloop
from msgspec import json
from tests.faults.campaign import Plan
from tests.faults.page import page
from tests.faults.report import Report
from tests.faults.rows import ROWS, chosen
from tests.faults.run import run

from anypod.cli.dev.environment import raise_descriptor_limit

FOLDER: Final = Path(".faults")
SEEDS: Final = 1_000_000


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=3.0)
    parser.add_argument("--seed", type=int, default=random.randrange(SEEDS))
    parser.add_argument("--rows", default="", help=", ".join(row.name for row in ROWS))
    parser.add_argument("--rate", type=float, default=1.0, help="how much is published; 1: what two cores carry beside all else")
    parser.add_argument("--topology", choices=["single", "sentinel"], default="single")
    given = parser.parse_args()
    try:
        rows, skipped = chosen(given.rows, given.topology)
    except KeyError as unknown:
        parser.error(f"there is no row {unknown}; there are {', '.join(row.name for row in ROWS)}")
    again = f"make faults SEED={given.seed} MINUTES={given.minutes:g} TOPOLOGY={given.topology}" + (
        f" ROWS={given.rows}" if given.rows else ""
    )
    print(*skipped, f"Seed {given.seed}; the same again: {again}", sep="\n", flush=True)
    raise_descriptor_limit()
    plan = Plan(given.seed, given.minutes * 60, rows, rate=given.rate, topology=given.topology)
    with TemporaryDirectory(prefix="anypod-faults-") as folder:
        report = uvloop.run(run(plan, Path(folder), lambda line: print(line, flush=True), again=again, skipped=skipped))
    tell(report)
    return 0 if report.is_clean else 1


def tell(report: Report) -> None:
    FOLDER.mkdir(exist_ok=True)
    stem = FOLDER / f"{report.topology}-{report.seed}"
    stem.with_suffix(".json").write_bytes(json.format(json.encode(report), indent=2) + b"\n")
    stem.with_suffix(".html").write_text(page(report))
    print("\n\n".join(report.stories))
    print(report, f"The whole report: {stem}.html and {stem}.json", sep="\n")


if __name__ == "__main__":
    sys.exit(main())
