"""The tables of figures in the documents, made from the results that are kept by `python -m service.tools.results_tables`.

Owns which file makes which table, and its form. Must not know how anything was measured. A figure is taken again by

    make bench RUNS=5 OUT=service/docs/results/bench.json
    make storm OUT=service/docs/results/storm.json
    make faults MINUTES=2.5 RATE=1.3 SEED=1,2,3 TOPOLOGY=single,sentinel,cluster OUT=service/docs/results/faults.json
"""

import json
import re
import sys
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import Any, Final

from loadtests.bench.report import as_markdown
from loadtests.bench.series import read_series
from service.tools.docs_tables import table

DOCS: Final = Path(__file__).parents[1] / "docs"
RESULTS: Final = DOCS / "results"
DOCUMENTS: Final = (DOCS / "benchmarks.md", DOCS / "guarantees.md")
RUNS_MIN: Final = 5  # of what is told as a median
LOSSES: Final = "lost, doubled, reordered, silent"

Kept = Mapping[str, Any]
_BLOCK: Final = re.compile(r"<!-- results: ([a-z-]+) -->\n(.*?)<!-- end -->", re.DOTALL)


def bench_table(kept: Kept) -> str:
    return _origin(kept, f"{len(kept['runs'])} runs") + as_markdown(read_series(kept))


def storm_table(kept: Kept) -> str:
    rows = [
        (
            f"{storm['back']['took_s']:.2f} s",
            f"{storm['promised_s']:.2f} s",
            f"{storm['calm']['p99_ms']:.1f} ms",
            f"{storm['noticed']['p99_ms']:.1f} ms",
            f"{storm['noticed']['p99_ms'] / storm['calm']['p99_ms']:.1f}",
        )
        for storm in kept["storms"]
    ]
    titles = ("all back after", "promised by the limits", "publishers' p99 before", "during", "times as much")
    ratio = median(storm["noticed"]["p99_ms"] / storm["calm"]["p99_ms"] for storm in kept["storms"])
    return _origin(kept, f"{len(rows)} storms, one line each; in the median {ratio:.1f} times as much") + table(titles, rows)


def faults_table(kept: Kept) -> str:
    rows = [
        (
            str(one["topology"]),
            str(one["seed"]),
            f"{one['deliveries']:,}",
            f"{one['faults']}",
            f"{sum(one['losses'].values())}",
            f"{sum(one['errors'].values())}",
            f"{one['lost_events']:,}",
            f"{sum(one['resets'].values())}",
        )
        for one in kept["campaigns"]
    ]
    titles = ("Redis", "seed", "deliveries", "faults", LOSSES, "ERROR lines", "events lost with Redis", "resets")
    minutes = sum(one["seconds"] for one in kept["campaigns"]) / 60
    return _origin(kept, f"{len(rows)} campaigns, {minutes:.0f} minutes") + table(titles, rows)


def faults_rows_table(kept: Kept) -> str:
    """The median of the campaigns' medians, the worst 95th percentile of one, the worst of all."""
    by_row: dict[str, list[Kept]] = defaultdict(list)
    for campaign in kept["campaigns"]:
        for row in campaign["by_row"]:
            by_row[row["row"]].append(row)
    titles = ("row", "played", "clients cut off", "p50", "p95", "max")
    return table(titles, [_of_row(name, rows) for name, rows in sorted(by_row.items())])


def _of_row(name: str, rows: Sequence[Kept]) -> Sequence[str]:
    times = [row["recoveries"] for row in rows if row["recoveries"]]
    cut = sum(one["count"] for one in times)
    played = str(sum(row["faults"] for row in rows))
    if not times:
        return (f"`{name}`", played, "0", "–", "–", "–")
    seconds = (median(one["p50"] for one in times), max(one["p95"] for one in times), max(one["max"] for one in times))
    return (f"`{name}`", played, f"{cut:,}", *(f"{value:.1f} s" for value in seconds))


def _origin(kept: Kept, what: str) -> str:
    made, machine = kept["made"], kept["machine"]
    where = (
        f"{machine['cores']} cores of {machine['processor']}, {machine['memory']}, Linux {machine['kernel']}, Python {machine['python']}"
    )
    return f"{what}; `{made['command']}`, revision `{made['revision']}`, {made['date']}, on {where}.\n\n"


TABLES: Final[Mapping[str, tuple[str, Callable[[Kept], str]]]] = {
    "bench": ("bench.json", bench_table),
    "storm": ("storm.json", storm_table),
    "faults": ("faults.json", faults_table),
    "faults-rows": ("faults.json", faults_rows_table),
}


def made(name: str, folder: Path = RESULTS) -> str:
    """A table from its file. Without one it says so: a figure that nobody can trace stands nowhere."""
    file, form = TABLES[name]
    path = folder / file
    if not path.exists():
        return f"No results are kept in `service/docs/results/{file}` yet.\n"
    return form(json.loads(path.read_text()))


def tables_in(text: str) -> dict[str, str]:
    return {match[1]: match[2] for match in _BLOCK.finditer(text)}


def with_tables(text: str, folder: Path = RESULTS) -> str:
    return _BLOCK.sub(lambda match: f"<!-- results: {match[1]} -->\n{made(match[1], folder)}<!-- end -->", text)


if __name__ == "__main__":
    for document in DOCUMENTS:
        document.write_text(with_tables(document.read_text()))
        sys.stdout.write(f"{document.name} is up to date.\n")
