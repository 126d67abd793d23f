"""The simulation is believed because it finds bugs that are planted in the product, each within a few hundred worlds."""

import pytest
from tests.simulation.schedule import script
from tests.simulation.seeded_bugs import PLANTED
from tests.simulation.world import run_many

pytestmark = pytest.mark.usefixtures("quiet")


@pytest.mark.parametrize("name", PLANTED)
def test_a_planted_bug_is_found(name: str) -> None:
    planted = PLANTED[name]
    found = (violation for outcome in run_many(range(planted.worlds_max), script, planted.making) for violation in outcome.violations)
    assert any(violation.guarantee in planted.guarantees for violation in found)
