from pathlib import Path

import pytest
from tests.slo.replicas import run


@pytest.mark.timeout(240)
async def test_replicas_die_under_a_crowd_and_nothing_is_lost_doubled_or_skipped(tmp_path: Path) -> None:
    outcome = await run(tmp_path, clients=45, sessions=15, seconds=15.0)
    print(outcome)
    assert outcome.is_clean, str(outcome)
    assert outcome.recoveries_s, "nobody was cut: the kills did not reach the clients"
