"""What the tests ask of Kubernetes and of Helm.

Owns the commands and the waits for conditions. Must not know the service.
"""

import json
import os
import shutil
import subprocess
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

from service.tools.image import run

ASK_S_MAX: Final = 60.0
HELM_S_MAX: Final = 420.0
POLL_S: Final = 0.5

Json = dict[str, Any]


class Kube:
    """One namespace. `prefix`: see `Machine`."""

    def __init__(self, namespace: str, prefix: Sequence[str] = ()) -> None:
        self.namespace = namespace
        self._prefix = tuple(prefix)

    def kubectl(self, *args: str, seconds: float = ASK_S_MAX, text: str | None = None) -> str:
        return run((*self._prefix, "kubectl", "-n", self.namespace, *args), seconds, text=text)

    def get(self, *args: str) -> Json:
        found: Json = json.loads(self.kubectl("get", *args, "-o", "json"))
        return found

    def items(self, *args: str) -> list[Json]:
        found: list[Json] = self.get(*args)["items"]
        return found

    def apply(self, *objects: Json) -> None:
        self.kubectl("apply", "-f", "-", text=json.dumps({"apiVersion": "v1", "kind": "List", "items": objects}))

    def helm(self, *args: str, seconds: float = HELM_S_MAX) -> str:
        return run((*self._prefix, "helm", "-n", self.namespace, *args), seconds)

    def helm_fails(self, *args: str) -> str:
        """What it says while it refuses."""
        done = subprocess.run((*self._prefix, "helm", "-n", self.namespace, *args), capture_output=True, text=True, check=False)
        assert done.returncode != 0, f"helm {args} did not refuse:\n{done.stdout[-2_000:]}"
        return done.stderr

    def until(self, is_so: Callable[[], bool], what: str, seconds: float) -> float:
        """Seconds that it took."""
        began = time.monotonic()
        while not is_so():
            assert time.monotonic() < began + seconds, f"not within {seconds:g} s: {what}\n{self.describe()}"
            time.sleep(POLL_S)
        return time.monotonic() - began

    def describe(self) -> str:
        """For a person who wonders why something did not come about."""
        pods = self.kubectl("get", "pods", "-o", "wide")
        events = self.kubectl("get", "events", "--sort-by=.lastTimestamp").splitlines()[-15:]
        return "\n".join((pods, *events))


def can_reach_cluster() -> str | None:
    """Why there is no cluster to reach from this process; None: there is one."""
    if not os.environ.get("KUBECONFIG") or not Path(os.environ["KUBECONFIG"]).exists():
        return "KUBECONFIG names no cluster"
    lacking = [name for name in ("kubectl", "helm") if shutil.which(name) is None]
    return f"there is no {' and no '.join(lacking)} on PATH" if lacking else None
