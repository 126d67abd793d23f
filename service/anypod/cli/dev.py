"""The command `anypod dev`.

Owns its options. Must not know how a cluster is run: that is imported when it is.
"""

from pathlib import Path
from typing import Annotated

import typer

PORT = 8080
REPLICAS_MAX = 16  # more than that is a load test, and one machine's Redis is the limit long before
DATA = Path(".anypod/data")


def dev(
    port: Annotated[int, typer.Option(min=1, max=65_535, help="Port of the balancer on 127.0.0.1.")] = PORT,
    replicas: Annotated[int, typer.Option(min=1, max=REPLICAS_MAX, help="How many replicas.")] = 3,
    data_dir: Annotated[Path, typer.Option(help="Redis data and logs; kept at the end. dev.json stands beside it.")] = DATA,
    demo: Annotated[bool, typer.Option(help="Stream answers into the session `demo`.")] = True,
) -> None:
    """Run a cluster here, in the foreground: Redis, replicas, a balancer, and something to watch."""
    import uvloop

    from anypod.devcluster.cluster import ClusterPlan
    from anypod.devcluster.environment import given_redis_url, raise_descriptor_limit
    from anypod.devcluster.run import run

    raise_descriptor_limit()
    uvloop.run(run(ClusterPlan(data_dir, port, replicas, given_redis_url()), with_demo=demo))
