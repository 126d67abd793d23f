"""All rows of the matrix at random under a crowd, as short as CI needs it. `make faults` is the long form."""

from pathlib import Path

import pytest
from tests.chaos.campaign import Plan
from tests.chaos.fault_catalogue import Topology, chosen
from tests.chaos.run import run

from anypod.devcluster.environment import raise_descriptor_limit

SEED = 7
SECONDS = 55.0
LONGEST_S = 4.0  # of one fault: long ones are for the long form
RATE = 1.3
# Of each topology; together 300,000 deliveries and 42 faults.
DELIVERIES_MIN = 100_000
FAULTS_MIN = 14


@pytest.mark.timeout(300)
@pytest.mark.parametrize("topology", ["single", "sentinel", "cluster"])
async def test_whatever_breaks_nothing_is_lost_doubled_reordered_or_hidden(tmp_path: Path, topology: Topology) -> None:
    raise_descriptor_limit()
    rows, skipped = chosen("", topology)
    report = await run(Plan(SEED, SECONDS, rows, LONGEST_S, RATE, topology), tmp_path, print, skipped=skipped)
    print(report)
    assert report.is_clean, f"{report}\n" + "\n\n".join(report.stories)
    assert report.deliveries >= DELIVERIES_MIN
    assert report.faults >= FAULTS_MIN
