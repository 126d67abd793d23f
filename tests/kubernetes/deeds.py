"""What is done to a release under a crowd: by somebody who means well, and by nobody.

Owns each deed, with its end: every replica that there should be serves again. Must not know who is attached.
"""

import json
import signal
import subprocess
from collections.abc import Callable, Mapping
from typing import Final

from service.tools.image import run
from tests.kubernetes.images import PRESENT, RELEASED
from tests.kubernetes.kube import Json
from tests.kubernetes.release import CHART, NAME, RELEASED_CHART, Release, is_ready

REPLICAS: Final = 3
MORE: Final = 6
NODE_LOST_S_MAX: Final = 60.0
NODE_BACK_S_MAX: Final = 60.0
DRAIN_S_MAX: Final = 240.0
EVICTED_S_MAX: Final = 120.0

Deed = Callable[[Release], None]


def upgrade(release: Release) -> None:
    """To the other version, chart and image: from this tree to the last release, or from that to this tree."""
    other = _other_tag(release)
    chart = RELEASED_CHART if other == RELEASED else CHART
    _replaces_everybody(release, lambda: release.begin_upgrade({"image": {"tag": other}}, chart=chart))


def rollback(release: Release) -> None:
    """To the version before, chart and image."""
    _replaces_everybody(release, lambda: release.rollback({"image": {"tag": _other_tag(release)}}))


def there_and_back(release: Release) -> None:
    """To the other version and, by a rollback, back."""
    upgrade(release)
    rollback(release)


def _replaces_everybody(release: Release, begin: Callable[[], None]) -> None:
    before = release.serving()
    begin()
    release.until_rolled_out()
    release.until_settled(REPLICAS)
    assert not before & release.serving()


def _other_tag(release: Release) -> str:
    return next(tag for tag in (PRESENT, RELEASED) if tag != release.values()["image"]["tag"])


def scale(release: Release) -> None:
    """Up, and down again."""
    release.begin_upgrade({"replicaCount": MORE})
    release.until_settled(MORE)
    release.begin_upgrade({"replicaCount": REPLICAS})
    release.until_settled(REPLICAS)


def drain_node(release: Release) -> None:
    """As for an upgrade of the node: everybody on it is evicted, and comes to another."""
    node = node_without_redis(release)
    release.kube.kubectl("drain", node, "--ignore-daemonsets", "--delete-emptydir-data", "--timeout=200s", seconds=DRAIN_S_MAX)
    release.until_settled(REPLICAS)
    release.kube.kubectl("uncordon", node)


def evict(release: Release) -> None:
    """Two at once: the budget lets one go, and the other only when somebody has come in its place."""
    first, second = sorted(release.serving())[:2]
    assert _evict(release, first) == "evicted"
    assert _evict(release, second) == "refused", "the budget let two go at once"
    release.kube.until(lambda: _evict(release, second) == "evicted", "the second eviction", EVICTED_S_MAX)
    release.until_settled(REPLICAS)


def delete_now(release: Release) -> None:
    """No hook, no drain: the process is killed."""
    release.kube.kubectl("delete", "pod", min(release.serving()), "--grace-period=0", "--force")
    release.until_settled(REPLICAS)


def restart_redis(release: Release) -> None:
    """It comes back under another address, with what is in its file."""
    before = redis_pod(release)["status"]["podIP"]
    release.kube.kubectl("delete", "pod", f"{NAME}-redis-0", seconds=DRAIN_S_MAX)
    release.kube.kubectl("wait", "--for=condition=Ready", f"pod/{NAME}-redis-0", "--timeout=120s", seconds=DRAIN_S_MAX)
    assert redis_pod(release)["status"]["podIP"] != before
    release.until_settled(REPLICAS)


def kill_node(release: Release, kill: Callable[[int], None]) -> None:
    """Its kubelet dies, and everything that runs on it; somebody takes the node out of the cluster, as clouds do."""
    node = node_without_redis(release)
    pods = [pod["metadata"]["name"] for pod in release.pods() if pod["spec"].get("nodeName") == node]
    processes = [process for name in pods for process in _processes(name)]
    kill(int(node.rpartition("-")[2]))
    for process in processes:
        run(("kill", f"-{signal.SIGKILL}", process), 10)
    release.kube.until(lambda: not _is_ready(release, node), f"{node} is given up", NODE_LOST_S_MAX)
    release.kube.kubectl("delete", "node", node)
    release.kube.kubectl("delete", "pod", *pods, "--grace-period=0", "--force", "--ignore-not-found")
    release.until_settled(REPLICAS)


VOLUNTARY: Final[Mapping[str, Deed]] = {
    "rolling upgrade": upgrade,
    "rollback": rollback,
    "scale 3 to 6 to 3": scale,
    "drain of a node": drain_node,
    "eviction": evict,
}
SUDDEN: Final[Mapping[str, Deed]] = {"pod deleted at once": delete_now, "Redis restarted": restart_redis}


def redis_pod(release: Release) -> Json:
    return release.kube.get("pod", f"{NAME}-redis-0")


def node_without_redis(release: Release) -> str:
    """Of those with a replica."""
    avoided = redis_pod(release)["spec"]["nodeName"]
    return max(str(pod["spec"]["nodeName"]) for pod in release.pods() if pod["spec"]["nodeName"] != avoided)


def _is_ready(release: Release, node: str) -> bool:
    return is_ready(release.kube.get("node", node))


def _evict(release: Release, pod: str) -> str:
    """`evicted`, or `refused` by the budget."""
    namespace = release.kube.namespace
    body = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": pod, "namespace": namespace}}
    command = ("kubectl", "create", "--raw", f"/api/v1/namespaces/{namespace}/pods/{pod}/eviction", "-f", "-")
    done = subprocess.run(command, input=json.dumps(body), capture_output=True, text=True, check=False)
    if done.returncode == 0:
        return "evicted"
    assert "disruption budget" in done.stderr, done.stderr
    return "refused"


def _processes(pod: str) -> list[str]:
    """Process ids of a pod's replica, on a machine that has all nodes' processes: the host's name is the pod's."""
    found = subprocess.run(("pgrep", "-f", "anypod serve"), capture_output=True, text=True, check=False).stdout.split()
    return [process for process in found if _host_name(process) == pod]


def _host_name(process: str) -> str:
    command = ("nsenter", "--target", process, "--uts", "hostname")
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()
