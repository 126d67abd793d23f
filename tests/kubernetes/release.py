"""The chart as these tests install it, and what they look up of it.

Owns the values, the release's name and the addresses. Must not know what is done to it.
"""

import json
import secrets
import urllib.request
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from service.tools.image import ROOT
from tests.kubernetes.images import PRESENT, REDIS, SERVICE
from tests.kubernetes.kube import Json, Kube
from tests.support.replica_process import credential

from anypod.prove.report import Report, verify

CHART: Final = ROOT / "helm/anypod"
RELEASED_CHART: Final = max((ROOT / "helm/released").glob("anypod-*.tgz"))
NAME: Final = "anypod"
READY_S_MAX: Final = 300.0
TEST_S_MAX: Final = 120.0
TENANT: Final = "crowd"
REPLICAS: Final = "app.kubernetes.io/component=replica"

# Images are on the nodes already. Streams are not rotated while their reconnects are counted.
VALUES: Final[Json] = {
    "image": {"repository": SERVICE, "tag": PRESENT, "pullPolicy": "Never"},
    "redis": {
        "image": {"repository": REDIS.partition(":")[0], "tag": REDIS.partition(":")[2], "digest": "", "pullPolicy": "Never"},
        "runAsGroup": 999,
        "resources": {"requests": {"cpu": "50m", "memory": "64Mi"}, "limits": {"memory": "512Mi"}},
    },
    "resources": {"requests": {"cpu": "50m", "memory": "128Mi"}, "limits": {"memory": "512Mi"}},
    "service": {"type": "NodePort"},
    "drain": {"windowSeconds": 10},
    "settings": {"max_stream_s": 3600},
}


class Release:
    """`values`: laid over VALUES."""

    def __init__(self, kube: Kube, values: Json | None = None, *, name: str = NAME) -> None:
        self.kube = kube
        self.name = name
        self.secret = secrets.token_urlsafe(48)
        self._values = merged(VALUES, {"auth": {"secret": self.secret}, "fullnameOverride": name}, values or {})

    def values(self, more: Json | None = None) -> Json:
        return merged(self._values, more or {})

    def install(self, more: Json | None = None, *, chart: Path = CHART) -> None:
        """Or upgrade; returns when every replica is ready."""
        self._values = self.values(more)
        path = self._write()
        self.kube.helm("upgrade", "--install", self.name, str(chart), "-f", path, "--wait", "--timeout", f"{READY_S_MAX:g}s")

    def begin_upgrade(self, more: Json, *, chart: Path = CHART) -> None:
        """Without waiting for its end."""
        self._values = self.values(more)
        self.kube.helm("upgrade", self.name, str(chart), "-f", self._write())

    def rollback(self, to: Json) -> None:
        """To the revision before, which had these values."""
        self._values = self.values(to)
        self.kube.helm("rollback", self.name)

    def uninstall(self) -> None:
        self.kube.helm("uninstall", self.name, "--wait", "--ignore-not-found", "--timeout", f"{READY_S_MAX:g}s")

    def test(self) -> Report:
        """`helm test`; the report that its pod has left in its status. A log may be gone by now, as where several nodes share a machine
        and tidy up for each other.
        """
        try:
            self.kube.helm("test", self.name, "--timeout", f"{TEST_S_MAX:g}s")
        finally:
            (pod,) = self.kube.items("pods", "-l", "app.kubernetes.io/component=test")
            (status,) = pod["status"]["containerStatuses"]
            told = str(status["state"].get("terminated", {}).get("message", ""))
            print(f"\n{told}")
        signed = verify(told.encode())
        assert signed is not None, "not as it was signed off"
        return signed.report

    def _write(self) -> str:
        path = ROOT / ".anypod" / f"values-{self.kube.namespace}-{self.name}.json"
        path.parent.mkdir(exist_ok=True)
        path.write_text(json.dumps(self._values))
        path.chmod(0o600)
        return str(path)

    # What there is.

    def pods(self) -> list[Json]:
        """The replicas' pods, those that leave too."""
        return self.kube.items("pods", "-l", REPLICAS)

    def serving(self) -> set[str]:
        """Names of the pods that are ready and stay."""
        return {pod["metadata"]["name"] for pod in self.pods() if is_ready(pod) and "deletionTimestamp" not in pod["metadata"]}

    def until_settled(self, count: int, seconds: float = READY_S_MAX) -> float:
        """Until so many pods serve, and no other is there any more."""
        return self.kube.until(lambda: len(self.serving()) == count == len(self.pods()), f"{count} replicas alone", seconds)

    def until_rolled_out(self) -> None:
        self.kube.kubectl("rollout", "status", f"deployment/{self.name}", f"--timeout={READY_S_MAX:g}s", seconds=READY_S_MAX + 10)

    def url(self, service: str | None = None) -> str:
        """By a node's port: reached from outside the pods."""
        nodes, found = self.kube.items("nodes"), self.kube.get("service", service or self.name)
        ready = next(node for node in nodes if is_ready(node) and not node["spec"].get("unschedulable"))
        address = next(one["address"] for one in ready["status"]["addresses"] if one["type"] == "InternalIP")
        return f"http://{address}:{found['spec']['ports'][0]['nodePort']}"

    def held(self) -> dict[str, int]:
        """What each replica holds, by its name, as the cluster's page tells."""
        request = urllib.request.Request(
            f"{self.url()}/v1/cluster", headers={"Authorization": f"Bearer {self.credential('-', rights=['admin'])}"}
        )
        with urllib.request.urlopen(request, timeout=10) as answer:
            return {row["replica"]: row["connections"] for row in json.load(answer)["replicas"]}

    def credential(self, session: str, *, rights: Sequence[Any] | None = None) -> str:
        """Of a subject of its own: one may have so many sessions, and those of all tests stay in the store."""
        return credential(TENANT, session, sessions=[session], can=rights, secret=self.secret, ttl_s=7_200)


def is_ready(item: Json) -> bool:
    """Of a pod or a node."""
    return any(one["type"] == "Ready" and one["status"] == "True" for one in item["status"].get("conditions", ()))


def merged(*layers: Mapping[str, Any]) -> Json:
    """Later ones count before earlier ones, object by object."""
    result: Json = {}
    for layer in layers:
        for name, value in layer.items():
            held = result.get(name)
            result[name] = merged(held, value) if isinstance(value, Mapping) and isinstance(held, Mapping) else value
    return result
