"""Replicas die under a crowd of clients, one after the other.

    python -m tests.slo.replicas --clients 200 --sessions 50 --seconds 60

Owns the course of it; `crowd` owns the clients and the comparison.
"""

import argparse
import asyncio
import os
import signal
import sys
from itertools import cycle
from pathlib import Path
from tempfile import TemporaryDirectory

import uvloop
from tests.slo.crowd import Crowd, Outcome

from anypod.clock import SystemClock
from anypod.core.statistics import percentile
from anypod.devcluster.cluster import ClusterPlan, DevCluster
from anypod.devcluster.environment import raise_descriptor_limit

KILL_EVERY_S = 5.0
RECOVERY_S_MAX = 2.0  # the bound for the 95th percentile, with the client's own back-off


async def kill_replicas(cluster: DevCluster, seconds: float, every_s: float) -> None:
    """SIGKILL one replica every `every_s`; the cluster starts it again."""
    clock = SystemClock()
    ends_at = clock.now() + seconds
    for replica in cycle(cluster.replicas):
        if clock.now() >= ends_at:
            return
        if replica.child.pid is not None and await replica.is_ready():
            os.kill(replica.child.pid, signal.SIGKILL)
            await clock.sleep(every_s)
        else:
            await clock.sleep(0.1)


async def run(folder: Path, clients: int, sessions: int, seconds: float, every_s: float = KILL_EVERY_S) -> Outcome:
    cluster = DevCluster(ClusterPlan(folder / "data"), SystemClock(), lambda line: None)
    async with cluster.running():
        crowd = Crowd(lambda: cluster.row.url, clients, sessions, "replicas")
        return await crowd.run(lambda: asyncio.ensure_future(kill_replicas(cluster, seconds, every_s)))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--clients", type=int, default=200)
    parser.add_argument("--sessions", type=int, default=50)
    parser.add_argument("--seconds", type=float, default=60.0)
    chosen = parser.parse_args()
    raise_descriptor_limit()
    with TemporaryDirectory(prefix="anypod-replicas-") as folder:
        outcome = uvloop.run(run(Path(folder), chosen.clients, chosen.sessions, chosen.seconds))
    print(outcome)
    is_quick = not outcome.recoveries_s or percentile(outcome.recoveries_s, 95) < RECOVERY_S_MAX
    if not is_quick:
        print(f"the 95th percentile of the recoveries is not below {RECOVERY_S_MAX:g} s")
    return 0 if outcome.is_clean and is_quick else 1


if __name__ == "__main__":
    sys.exit(main())
