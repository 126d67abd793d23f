"""`anypod dev` with tiny replicas: the cluster's own behaviour without the weight of real ones.

Run as `python tiny_cluster.py DATA_DIR PORT REPLICAS [REDIS_URL]`.
"""

import sys
from pathlib import Path

import uvloop

from anypod.devcluster.cluster import ClusterPlan
from anypod.devcluster.run import run

TINY_REPLICA = (sys.executable, str(Path(__file__).with_name("tiny_replica.py")))

if __name__ == "__main__":
    data, port, replicas, *redis_url = sys.argv[1:]
    plan = ClusterPlan(Path(data), int(port) or None, int(replicas), redis_url[0] if redis_url else None, TINY_REPLICA)
    uvloop.run(run(plan, with_demo=False))
