"""A cluster that runs until it is interrupted.

Owns what is said at its beginning and end, and that the demonstration runs beside it. Must not know how processes are run.
"""

import asyncio
import sys

from anypod.clock import SystemClock
from anypod.console import say
from anypod.devcluster import banner
from anypod.devcluster.cluster import ClusterPlan, DevCluster
from anypod.devcluster.demo_publisher import stream_answers
from anypod.interrupt import until_signalled


async def run(plan: ClusterPlan, *, with_demo: bool) -> None:
    cluster = DevCluster(plan, SystemClock(), say)
    await until_signalled(_keep(cluster, plan, with_demo=with_demo), force=cluster.kill)
    say(f"Stopped: nothing runs any more. The data is in {plan.data}; start again, and the sessions are still there.")


async def _keep(cluster: DevCluster, plan: ClusterPlan, *, with_demo: bool) -> None:
    say(f"Starting {'Redis and ' if plan.redis_url is None else ''}{plan.replicas} replicas; their logs are in {plan.data / 'logs'}")
    async with cluster.running():
        for line in banner.lines(cluster.row, plan.data, python=sys.executable, with_demo=with_demo):
            say(line)
        if with_demo:
            await stream_answers(cluster.row.url, SystemClock())
        else:
            await asyncio.get_running_loop().create_future()
