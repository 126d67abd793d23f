"""Whatever befalls replicas, lines and the store: of a device one attachment is left, presence tells who is there, signals come once."""

import pytest
from tests.simulation.seeded_tab_bugs import PLANTED
from tests.simulation.tab_workload import script
from tests.simulation.world import run, run_many

WORLDS = 2_000
CHUNK = 100


pytestmark = pytest.mark.usefixtures("quiet")


@pytest.mark.parametrize("first", range(0, WORLDS, CHUNK))
def test_of_every_device_one_attachment_is_left_and_presence_tells_of_it(first: int) -> None:
    for outcome in run_many(range(first, first + CHUNK), script):
        assert outcome.is_good, outcome.report()


@pytest.mark.parametrize("seed", range(3))
def test_a_seed_tells_the_same_story_every_time(seed: int) -> None:
    assert run(seed, script).history.records == run(seed, script).history.records


@pytest.mark.parametrize("name", PLANTED)
def test_a_planted_bug_is_found(name: str) -> None:
    assert any(not outcome.is_good for outcome in run_many(range(400), script, PLANTED[name]))
