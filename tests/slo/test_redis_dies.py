import asyncio
import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest
from tests.slo.crowd import Crowd
from tests.slo.insister import Insister
from tests.support.waiting import until

from anypod.clock import SystemClock
from anypod.devcluster.cluster import ClusterPlan, DevCluster

KILLS = 3
OUTAGE_S_MAX = 60.0  # a replica refuses after 5 s without its store; the machine may be busy
POLL_S = 0.05


@asynccontextmanager
async def insisting(cluster: DevCluster) -> AsyncIterator[Insister]:
    """It publishes all the time."""
    insister = Insister(cluster.row.url, "insister")
    running = asyncio.create_task(insister.run())
    try:
        yield insister
    finally:
        running.cancel()
        with suppress(asyncio.CancelledError):
            await running


def redis_pid(cluster: DevCluster) -> int:
    pid = cluster.row.redis.pid
    assert pid is not None
    return pid


async def kill_redis(cluster: DevCluster, insister: Insister) -> None:
    """SIGKILL; the cluster starts it again, and it reads its append-only file. The last time it dies until publishers are refused."""
    for _ in range(KILLS):
        before = len(insister.accepted)
        await until(lambda before=before: len(insister.accepted) > before + 10)  # type: ignore[misc]
        await kill_once(cluster)
    async with asyncio.timeout(OUTAGE_S_MAX):
        while not insister.refused:
            await kill_once(cluster)
    before = len(insister.accepted)
    await until(lambda: len(insister.accepted) > before + 10)


async def kill_once(cluster: DevCluster) -> None:
    pid = redis_pid(cluster)
    os.kill(pid, signal.SIGKILL)
    await until(lambda: redis_pid(cluster) != pid)


@pytest.mark.timeout(240)
async def test_redis_dies_and_afterwards_nothing_acknowledged_is_missing_or_there_twice(tmp_path: Path) -> None:
    cluster = DevCluster(ClusterPlan(tmp_path / "data"), SystemClock(), lambda line: None)
    async with cluster.running():
        crowd = Crowd(lambda: cluster.row.url, clients=24, sessions=8, name="redis")
        async with insisting(cluster) as insister:
            outcome = await crowd.run(lambda: asyncio.ensure_future(kill_redis(cluster, insister)))
        accepted = list(insister.accepted.items())
        log = await insister.log()
        again = await insister.say_all_again()
    print(outcome, dict(insister.answers), f"{len(insister.repeated)} were in the log already")
    assert outcome.is_clean, str(outcome)
    assert outcome.acknowledged > 100
    assert insister.refused, "the outage reached publishers"
    assert log[: len(accepted)] == accepted, "what was insisted on is there once, where its answer said"
    assert again == [(event_id, seq, True) for event_id, seq in accepted], "ids are still known after the kills"


@pytest.mark.timeout(240)
async def test_an_event_refused_by_a_replica_and_logged_all_the_same_is_a_duplicate_when_it_is_sent_again(tmp_path: Path) -> None:
    """A Redis that hangs has the event in its socket: it takes it when it goes on, long after the publisher was refused."""
    cluster = DevCluster(ClusterPlan(tmp_path / "data"), SystemClock(), lambda line: None)
    async with cluster.running(), insisting(cluster) as insister:
        await until(lambda: len(insister.accepted) > 10)
        os.kill(redis_pid(cluster), signal.SIGSTOP)
        try:
            await until(lambda: bool(insister.refused))
        finally:
            os.kill(redis_pid(cluster), signal.SIGCONT)
        before = len(insister.accepted)
        await until(lambda: len(insister.accepted) > before + 10)
        accepted = dict(insister.accepted)
        log = await insister.log()
    print(dict(insister.answers), insister.repeated)
    assert len(insister.repeated) == 1
    assert [event_id for event_id, _ in log] == list(dict(log)), "no id is there twice"
    assert dict(log).items() >= accepted.items()
