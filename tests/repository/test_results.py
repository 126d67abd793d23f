"""The figures in the documents are those of the results that are kept, and nothing else."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from service.tools.results_tables import DOCS, DOCUMENTS, RESULTS, RUNS_MIN, TABLES, made, tables_in, with_tables

MADE = {"command": "make it", "revision": "abc1234", "date": "2026-01-01"}
MACHINE = {"processor": "P", "cores": "2", "memory": "8 GiB", "kernel": "6", "python": "3.11"}
SAMPLE: dict[str, Any] = {"value": 2.0, "server_us": None, "client": None, "store": None, "others": None, "details": {}}
CHECK = {"name": "rate", "title": "delivered", "unit": "events/s", "goal": "ours/theirs at least", "bar": 1.5, "stretch": 2.6}
RUN = [{**CHECK, "reference": "other", "ours": [SAMPLE], "theirs": [{**SAMPLE, "value": 1.0}], "failures": []}]
TIMES = {"count": 3, "p50": 0.5, "p95": 1.0, "max": 2.0}
CAMPAIGN = {
    "topology": "single",
    "seed": 1,
    "seconds": 60.0,
    "deliveries": 1000,
    "faults": 4,
    "losses": {"lost": 0},
    "errors": {},
    "lost_events": 5,
    "resets": {"expired": 2},
    "by_row": [{"row": "killed", "faults": 2, "recoveries": TIMES}, {"row": "far", "faults": 1, "recoveries": None}],
}
STORM = {"promised_s": 0.98, "back": {"took_s": 1.05}, "calm": {"p99_ms": 0.5}, "noticed": {"p99_ms": 1.0}}
KEPT: Mapping[str, Mapping[str, Any]] = {
    "bench.json": {"made": MADE, "machine": MACHINE, "runs": [RUN] * 5},
    "storm.json": {"made": MADE, "machine": MACHINE, "storms": [STORM] * 5},
    "faults.json": {"made": MADE, "machine": MACHINE, "campaigns": [CAMPAIGN, CAMPAIGN]},
}


def test_every_table_of_figures_is_the_one_that_its_results_make() -> None:
    written = {name: text for document in DOCUMENTS for name, text in tables_in(document.read_text()).items()}
    assert written == {name: made(name) for name in TABLES}, "run `make docs`"


def test_the_readme_tells_of_the_faults_that_are_kept() -> None:
    campaigns = json.loads((RESULTS / "faults.json").read_text())["campaigns"]
    faults, deliveries = (sum(one[name] for one in campaigns) for name in ("faults", "deliveries"))
    assert f"{faults} faults, {deliveries:,} deliveries" in (DOCS.parents[1] / "README.md").read_text()


def test_no_result_is_kept_of_which_no_table_is_made() -> None:
    kept = {path.name for path in RESULTS.glob("*.json")}
    assert kept <= {file for file, _ in TABLES.values()}


@pytest.mark.parametrize("file", sorted({file for file, _ in TABLES.values()}))
def test_what_is_kept_names_its_origin_and_was_repeated(file: str) -> None:
    path = RESULTS / file
    if not path.exists():
        return  # its table says so
    kept = json.loads(path.read_text())
    assert {"command", "revision", "date"} <= kept["made"].keys()
    assert not kept["made"]["revision"].endswith("-dirty"), "measured with changes that no commit has"
    assert len(kept.get("runs") or kept.get("storms") or kept["campaigns"]) >= (1 if "campaigns" in kept else RUNS_MIN)


@pytest.mark.parametrize("name", TABLES)
def test_a_figure_that_was_changed_by_hand_is_found(name: str, tmp_path: Path) -> None:
    for file, results in KEPT.items():
        (tmp_path / file).write_text(json.dumps(results))
    text = with_tables(f"<!-- results: {name} -->\n<!-- end -->", tmp_path)
    assert "|" in text
    assert tables_in(text)[name] == made(name, tmp_path)
    for digit in ("1", "2"):
        assert with_tables(text.replace(digit, "7"), tmp_path) == text


def test_a_table_tells_where_its_figures_come_from(tmp_path: Path) -> None:
    (tmp_path / "bench.json").write_text(json.dumps(KEPT["bench.json"]))
    text = made("bench", tmp_path)
    assert text.startswith("5 runs; `make it`, revision `abc1234`, 2026-01-01, on 2 cores of P")
    assert "| rate: delivered | 2 events/s (2 to 2) | other: 1 events/s (1 to 1) | 2 (2 to 2) | ≥ 1.5 | 2.6 | 5 of 5 | met |" in text
    assert "No results are kept" in made("storm", tmp_path)
