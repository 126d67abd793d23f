"""What a report says of a run, and that its page needs nothing else."""

import re
from pathlib import Path

import pytest
from tests.chaos.campaign import Struck
from tests.chaos.client_recorder import Recovery
from tests.chaos.fault_catalogue import ROWS, SENTINEL, chosen
from tests.chaos.html_report import page
from tests.chaos.report import OF_ITSELF, Report, RowFigures, Span, Times, cause_of, total

OPERATIONS = Path(__file__).parents[2] / "service/docs/operations.md"
REPORT = Report(
    seed=7,
    again="make faults SEED=7 MINUTES=1",
    topology="single",
    seconds=60.0,
    clients={"websocket, library": 3},
    events=100,
    acknowledged=100,
    deliveries=300,
    faults=2,
    losses={"lost middle": 0, "duplicated": 0},
    complaints=[],
    resets={"rolled_back": 2},
    taken_back=4,
    lost_events=3,
    refusals={},
    errors={},
    asides={"pages of history": 7},
    answers={"accepted": 100},
    by_row=[RowFigures("replica-killed", 2, Times(3, 0.5, 1.0, 1.5), None, 0, 0)],
    resumed=Times(2, 2.1, 2.9, 2.9),
    skipped=["failed-over is skipped: needs sentinel"],
    spans=[Span("replica-killed", 1.0, 2.0, 0.7), Span("replica-killed", 5.0, 5.0, None)],
    stories=[],
)


def harmed(**changes: object) -> Report:
    return Report(**{**{name: getattr(REPORT, name) for name in REPORT.__struct_fields__}, **changes})


def test_a_report_is_clean_only_without_harm_and_complaints() -> None:
    assert REPORT.is_clean
    assert not harmed(losses={"duplicated": 1}).is_clean
    assert not harmed(complaints=["a client was never well again"]).is_clean


def test_a_report_says_what_is_wrong_in_a_line() -> None:
    assert "nothing lost" in str(REPORT)
    assert "3 lost middle" in str(harmed(losses={"lost middle": 3}))
    assert "never well" in str(harmed(complaints=["never well"]))


def test_several_reports_are_added_up_and_harm_in_one_is_harm() -> None:
    assert "2 campaigns, 2 minutes: 600 deliveries checked under 4 faults: nothing lost" in total([REPORT, REPORT])
    assert "1 duplicated" in total([REPORT, harmed(losses={"duplicated": 1})])


def test_a_client_was_cut_off_by_the_fault_that_began_when_it_heard_its_last() -> None:
    faults = [Struck("redis-stalled-20s", 10.0, 30.0), Struck("clients-cut", 20.0, 20.0), Struck("replica-killed", 50.0, 50.0)]
    assert cause_of(Recovery(cut_at=19.9, live_at=21.0), faults) == "clients-cut"
    assert cause_of(Recovery(cut_at=10.2, live_at=31.0), faults) == "redis-stalled-20s"
    assert cause_of(Recovery(cut_at=49.9, live_at=51.0), faults) == "replica-killed"
    assert cause_of(Recovery(cut_at=5.0, live_at=6.0), faults) == OF_ITSELF


def test_the_page_is_one_file_that_loads_nothing() -> None:
    text = page(harmed(stories=["<script>alert(1)</script>"]))
    assert not re.search(r"<script|<link|<img|https?:|url\(|@import", text)
    assert "make faults SEED=7" in text
    assert "0.50 / 1.00 / 1.50 s" in text


def test_every_row_has_a_name_of_its_own_and_a_weight() -> None:
    names = [row.name for row in ROWS]
    assert len(set(names)) == len(names)
    assert all(row.weight > 0 and row.seconds[0] <= row.seconds[1] for row in ROWS)


def test_rows_that_cannot_be_played_say_why() -> None:
    rows, skipped = chosen("failed-over,replica-killed", "single")
    assert [row.name for row in rows] == ["replica-killed"]
    assert skipped == ["failed-over is skipped: needs sentinel"]
    assert all(not row.why_skipped("sentinel") for row in ROWS if row.topologies == SENTINEL and not row.impossible)


def test_a_row_that_there_is_not_is_refused() -> None:
    with pytest.raises(KeyError):
        chosen("no-such-row", "single")


def test_operators_are_told_of_every_row_and_of_no_other() -> None:
    table = OPERATIONS.read_text().split("## What each failure costs")[1].split("\n## ")[0]
    told = re.findall(r"`([a-z0-9-]+)`", "\n".join(line.split(" | ")[0] for line in table.splitlines() if line.startswith("| `")))
    assert sorted(told) == sorted(row.name for row in ROWS)
