"""Worlds by the thousand: whatever befalls them, guarantees 1 to 4 and 6 hold."""

import pytest
from tests.simulation.format_history import story
from tests.simulation.schedule import script
from tests.simulation.world import run, run_many

WORLDS = 20_000
CHUNK = 250  # worlds a test: some three seconds, so that two workers share them evenly


pytestmark = pytest.mark.usefixtures("quiet")


@pytest.mark.parametrize("first", range(0, WORLDS, CHUNK))
def test_every_world_is_as_promised(first: int) -> None:
    for outcome in run_many(range(first, first + CHUNK), script):
        assert outcome.is_good, outcome.report()


@pytest.mark.parametrize("seed", range(10))
def test_a_seed_tells_the_same_story_every_time(seed: int) -> None:
    assert story(run(seed, script).history.records) == story(run(seed, script).history.records)


def test_worlds_are_eventful() -> None:
    """A simulation in which nothing happens proves nothing: each kind of record is there, and often."""
    counts = dict[str, int]()
    for outcome in run_many(range(200), script):
        for record in outcome.history.records:
            name = type(record).__name__
            counts[name] = counts.get(name, 0) + 1

    expected = {"Logged": 5_000, "Applied": 10_000, "Opened": 1_000, "Shut": 500, "Acknowledged": 4_000, "Refused": 50, "Fault": 500}
    expected |= {"ResetSeen": 100, "TailLost": 30, "Gone": 30, "Trimmed": 30, "Folded": 30, "Fenced": 30, "Vanished": 50, "Disturbed": 200}
    assert {name: counts.get(name, 0) for name, least in expected.items() if counts.get(name, 0) < least} == {}
