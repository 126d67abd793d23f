"""The oracle is believed because it finds what is planted, each fault by its guarantee, and nothing in clean histories."""

import pytest
from tests.simulation.format_history import story
from tests.simulation.history_builder import HistoryBuilder
from tests.simulation.oracle import explain, judge
from tests.simulation.seeded_faults import PLANTED, the_newest_event_never_comes
from tests.simulation.valid_histories import CLEAN, Story


def told(tell: Story) -> list[tuple[int, int | None]]:
    scribe = HistoryBuilder()
    tell(scribe)
    return [(violation.guarantee, violation.seq) for violation in judge(scribe.records)]


@pytest.mark.parametrize("tell", CLEAN, ids=lambda tell: tell.__name__)
def test_a_clean_history_passes(tell: Story) -> None:
    assert told(tell) == []


@pytest.mark.parametrize(("tell", "guarantee", "seq"), PLANTED, ids=lambda value: getattr(value, "__name__", None))
def test_a_planted_fault_is_found(tell: Story, guarantee: int, seq: int | None) -> None:
    assert (guarantee, seq) in told(tell)


def test_a_violation_tells_whose_it_is_and_what_led_to_it() -> None:
    scribe = HistoryBuilder()
    the_newest_event_never_comes(scribe)
    (violation,) = judge(scribe.records)

    text = explain(violation, scribe.records)

    assert "guarantee 1 (order, no gap, no duplicate): session s, client c, seq 4: never came" in text
    assert text.splitlines()[-1].split()[2] == "Finished"
    assert text.count("\n") == len(story(scribe.records, session="s", client="c").splitlines())
