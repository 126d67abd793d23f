"""`make faults`: faults at random under a crowd, and what came of it.

    python -m tests.chaos --minutes 3 --seed 7 --rows redis-restarted,replica-killed
    python -m tests.chaos --minutes 2.5 --seed 1,2,3 --topology single,sentinel,cluster

Owns the command line, and where reports go. Must not know how a run goes.
"""

import argparse
import random
import signal
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final, get_args

import uvloop
from loadtests.results import machine, origin, write
from msgspec import json, to_builtins
from tests.chaos.campaign import Plan
from tests.chaos.fault_catalogue import ROWS, Topology, chosen
from tests.chaos.html_report import page
from tests.chaos.report import Report, total
from tests.chaos.run import run

from anypod.devcluster.environment import raise_descriptor_limit

FOLDER: Final = Path(".faults")
SEEDS: Final = 1_000_000
TOPOLOGIES: Final[tuple[Topology, ...]] = get_args(Topology)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=3.0)
    parser.add_argument("--seed", type=_numbers, default=[random.randrange(SEEDS)], help="one, or several with commas between them")
    parser.add_argument("--rows", default="", help=", ".join(row.name for row in ROWS))
    parser.add_argument("--rate", type=float, default=1.0, help="how much is published; 1: what two cores carry beside all else")
    parser.add_argument("--topology", type=_topologies, default=["single"], help=f"some of {', '.join(TOPOLOGIES)}")
    parser.add_argument("--out", type=Path, help="one JSON file for all campaigns, from which the documents' tables are made")
    given = parser.parse_args()
    for number in (signal.SIGINT, signal.SIGTERM):  # whoever ends a campaign ends its servers, from a shell that ignores Ctrl-C too
        signal.signal(number, signal.default_int_handler)
    raise_descriptor_limit()
    try:
        reports = [_campaign(seed, topology, given) for seed in given.seed for topology in given.topology]
    except KeyError as unknown:
        parser.error(f"there is no row {unknown}; there are {', '.join(row.name for row in ROWS)}")
    if len(reports) > 1:
        print(total(reports))
    if given.out is not None:
        options = {"MINUTES": f"{given.minutes:g}", "RATE": f"{given.rate:g}", "SEED": ",".join(map(str, given.seed))}
        command = " ".join(["make faults", *(f"{name}={value}" for name, value in options.items()), f"TOPOLOGY={','.join(given.topology)}"])
        campaigns = [{**to_builtins(report), "stories": []} for report in reports]
        write(given.out, {"made": origin(command), "machine": machine(), "campaigns": campaigns})
    return 0 if all(report.is_clean for report in reports) else 1


def _numbers(text: str) -> list[int]:
    return [int(word) for word in text.split(",")]


def _topologies(text: str) -> list[Topology]:
    words = text.split(",")
    if unknown := set(words) - set(TOPOLOGIES):
        raise argparse.ArgumentTypeError(f"there is no topology {', '.join(sorted(unknown))}; there are {', '.join(TOPOLOGIES)}")
    return [topology for topology in TOPOLOGIES if topology in words]


def _campaign(seed: int, topology: Topology, given: argparse.Namespace) -> Report:
    """Raises KeyError for a row that there is not."""
    rows, skipped = chosen(given.rows, topology)
    options = {"SEED": seed, "MINUTES": f"{given.minutes:g}", "RATE": f"{given.rate:g}", "TOPOLOGY": topology, "ROWS": given.rows}
    again = " ".join(["make faults", *(f"{name}={value}" for name, value in options.items() if value != "")])
    print(*skipped, f"Seed {seed}; the same again: {again}", sep="\n", flush=True)
    plan = Plan(seed, given.minutes * 60, rows, rate=given.rate, topology=topology)
    with TemporaryDirectory(prefix="anypod-faults-") as folder:
        report = uvloop.run(run(plan, Path(folder), lambda line: print(line, flush=True), again=again, skipped=skipped))
    _tell(report)
    return report


def _tell(report: Report) -> None:
    FOLDER.mkdir(exist_ok=True)
    stem = FOLDER / f"{report.topology}-{report.seed}"
    stem.with_suffix(".json").write_bytes(json.format(json.encode(report), indent=2) + b"\n")
    stem.with_suffix(".html").write_text(page(report))
    print("\n\n".join(report.stories))
    print(report, f"The whole report: {stem}.html and {stem}.json", sep="\n", flush=True)


if __name__ == "__main__":
    sys.exit(main())
