import asyncio
import os
import signal
from pathlib import Path

import pytest
from tests.processes.crowd import Crowd

from anypod.cli.dev.cluster import Cluster, Plan
from anypod.clock import SystemClock

KILLS = 3


async def kill_redis(cluster: Cluster) -> None:
    """SIGKILL; the cluster starts it again, and it reads its append-only file."""
    clock = SystemClock()
    for _ in range(KILLS):
        await clock.sleep(2.0)
        before = cluster.row.redis.pid
        assert before is not None
        os.kill(before, signal.SIGKILL)
        while cluster.row.redis.pid in (before, None):
            await clock.sleep(0.05)
    await clock.sleep(2.0)


@pytest.mark.timeout(240)
async def test_redis_dies_and_afterwards_nothing_acknowledged_is_missing_or_there_twice(tmp_path: Path) -> None:
    cluster = Cluster(Plan(tmp_path / "data"), SystemClock(), lambda line: None)
    async with cluster.running():
        crowd = Crowd(lambda: cluster.row.url, clients=24, sessions=8, name="redis")
        outcome = await crowd.run(lambda: asyncio.ensure_future(kill_redis(cluster)))
    print(outcome)
    assert outcome.is_clean, str(outcome)
    assert outcome.acknowledged > 100
