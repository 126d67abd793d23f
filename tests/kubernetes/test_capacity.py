"""What a pod bears within its limits, and that more pods come when it is too much."""

import asyncio
import json
import time

import pytest
from tests.kubernetes.disturbance import Disturbance
from tests.kubernetes.idlers import arrive, leave
from tests.kubernetes.release import TENANT, Release
from tests.slo.crowd import Crowd
from tests.support.replica_process import credential

IDLE_CLIENTS = 2_000
GROWTH_BYTES_MAX = 128 << 20
BUSY_CLIENTS = 60
BUSY_EVERY_S = 0.2
UP_S_MAX = 180.0
DOWN_S_MAX = 240.0
BRISK = {"stabilizationWindowSeconds": 15, "policies": [{"type": "Pods", "value": 1, "periodSeconds": 15}]}

# Asked within the container, of whichever version of control groups the node has.
WORKING_SET = """
from pathlib import Path
groups = Path("/sys/fs/cgroup")
old = groups / "memory"
used = old / "memory.usage_in_bytes" if old.exists() else groups / "memory.current"
stat = old / "memory.stat" if old.exists() else groups / "memory.stat"
droppable = dict(line.split() for line in stat.read_text().splitlines())
print(int(used.read_text()) - int(droppable.get("total_inactive_file", droppable.get("inactive_file"))))
"""


@pytest.fixture
def alone(release: Release) -> Release:
    """One replica, which takes everybody."""
    release.install({"replicaCount": 1, "podDisruptionBudget": {"enabled": False}})
    release.until_settled(1)
    return release


async def test_two_thousand_idle_clients_fit_into_little_memory_of_one_pod(alone: Release) -> None:
    credentials = [credential(TENANT, f"idle-{number}", secret=alone.secret) for number in range(IDLE_CLIENTS)]
    before = await asyncio.to_thread(working_set, alone)
    idlers = await arrive(alone.url(), credentials)
    try:
        growth = await asyncio.to_thread(working_set, alone) - before
        print(f"\n{IDLE_CLIENTS} idle clients: {growth / 2**20:.1f} MiB over the {before / 2**20:.1f} MiB of the idle pod")
        assert alone.held() == {next(iter(alone.serving())): IDLE_CLIENTS}
        assert growth < GROWTH_BYTES_MAX
    finally:
        leave(idlers)


async def test_pods_come_under_load_and_go_after_it_without_a_loss(release: Release) -> None:
    scaling = {"enabled": True, "minReplicas": 2, "maxReplicas": 4, "cpuPercent": 60}
    release.install({"replicaCount": 2, "podDisruptionBudget": {"enabled": True}, "autoscaling": scaling})
    behaviour = {"spec": {"behavior": {"scaleDown": BRISK}}}  # the chart's own takes ten minutes to begin
    release.kube.kubectl("patch", "hpa", release.name, "--type=merge", "-p", json.dumps(behaviour))
    release.until_settled(2)
    url = release.url()
    crowd = Crowd(lambda: url, BUSY_CLIENTS, BUSY_CLIENTS // 4, "busy", credential=release.credential, publish_every_s=BUSY_EVERY_S)

    def until_more() -> None:
        took = release.kube.until(lambda: len(release.serving()) == 4, "the autoscaler brings four pods", UP_S_MAX)
        print(f"\nfour pods {took:.0f} s after the load began")

    busy = await crowd.run(lambda: asyncio.create_task(asyncio.to_thread(until_more)))
    assert busy.is_clean, busy
    quiet = Disturbance(release, "fewer pods", clients=30)

    def until_fewer() -> None:
        began = time.monotonic()
        release.until_settled(2, DOWN_S_MAX)
        print(f"\ntwo pods {time.monotonic() - began:.0f} s after the load had ended")

    await quiet.run(until_fewer)
    release.install({"replicaCount": 3, "autoscaling": {"enabled": False}})


def working_set(release: Release) -> int:
    """Bytes of the one pod, as its limit counts them: without the pages of files that could be dropped."""
    (pod,) = release.serving()
    return int(release.kube.kubectl("exec", pod, "--", "python", "-c", WORKING_SET))
