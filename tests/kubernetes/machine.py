"""Where the cluster of these tests comes from.

Owns bringing it up, loading images and taking it down. Must not know what is installed there.

1. The cluster kit beside this repository (`../shared/cluster`), where it is: a cluster of its own, inside a network namespace.
2. Else the cluster that KUBECONFIG names, with ANYPOD_TEST_IMAGE_LOAD as the command that loads an image archive into it, such as
   `kind load image-archive`. It is used in a namespace of its own, and stays when the tests are over.
"""

import os
import shlex
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final, Protocol

from service.tools.image import KIT, run

LOAD: Final = "ANYPOD_TEST_IMAGE_LOAD"
KIT_NETWORK: Final = Path("/run/netns/anypod")  # of its one cluster
MEMORY_MIB_MIN: Final = 3_000  # its own 1,300, the balancer's 250, and pods with what they do under clients
UP_S_MAX: Final = 300.0
ANSWER_S_MAX: Final = 10  # of an API server that is there
LOAD_S_MAX: Final = 180.0


class Machine(Protocol):
    """`prefix`: what stands before a command that is to reach the cluster's nodes, pods and API server."""

    prefix: Sequence[str]

    def is_up(self) -> bool:
        """Whether there is a cluster which this run has not made, and which it would take down at its end."""

    def up(self, nodes: int) -> str | None:
        """Why it did not come up. `nodes`: of a cluster that is made."""

    def down(self) -> None: ...

    def load(self, archive: Path) -> None:
        """Onto every node."""


class Kit:
    """The cluster kit's cluster."""

    def __init__(self, folder: Path = KIT) -> None:
        self._cluster = str(folder / "cluster")
        self._alb = str(folder / "alb")
        self.prefix: Sequence[str] = (self._cluster, "exec")

    def is_up(self) -> bool:
        return KIT_NETWORK.exists()

    def up(self, nodes: int) -> str | None:
        if (free := available_mib()) < MEMORY_MIB_MIN:
            return f"it needs {MEMORY_MIB_MIN} MiB of memory, and {free} are left"
        return why_not((self._cluster, "up", str(nodes)), UP_S_MAX)

    def down(self) -> None:
        run((self._cluster, "down"), UP_S_MAX)

    def load(self, archive: Path) -> None:
        run((self._cluster, "image", str(archive)), LOAD_S_MAX)

    def alb(self, *args: str) -> str:
        """The stand-in for AWS load balancers."""
        return run((self._alb, *args), UP_S_MAX)

    def has_alb(self) -> bool:
        done = subprocess.run((self._alb, "describe"), capture_output=True, timeout=UP_S_MAX, check=False)
        return done.returncode == 0

    def kill_node(self, number: int) -> None:
        """Its kubelet dies."""
        run((self._cluster, "kill-node", str(number)), UP_S_MAX)


class Given:
    """The cluster that KUBECONFIG names."""

    def __init__(self, load_command: str) -> None:
        self._load_command = shlex.split(load_command)
        self.prefix: Sequence[str] = ()

    def is_up(self) -> bool:
        return False  # it is, and is left alone at the end

    def up(self, nodes: int) -> str | None:
        return why_not(("kubectl", "get", "nodes", f"--request-timeout={ANSWER_S_MAX}s"), UP_S_MAX)

    def down(self) -> None:
        """It is not ours."""

    def load(self, archive: Path) -> None:
        run((*self._load_command, str(archive)), LOAD_S_MAX)


def find_machine(kit: Path = KIT, environ: Mapping[str, str] = os.environ) -> Machine | str:
    """The machine, or why there is none."""
    if (kit / "cluster").exists():
        return Kit(kit) if os.geteuid() == 0 else f"{kit / 'cluster'} is there, but only root can bring a cluster up with it"
    if not environ.get("KUBECONFIG"):
        return "there is no cluster: set KUBECONFIG to one for tests (kind, k3d or minikube make one)"
    if not environ.get(LOAD):
        return f"KUBECONFIG is set, but {LOAD} is not: set it to the command that loads an image archive, such as `kind load image-archive`"
    lacking = [name for name in ("kubectl", "helm") if shutil.which(name, path=environ.get("PATH", "")) is None]
    return f"there is no {' and no '.join(lacking)} on PATH" if lacking else Given(environ[LOAD])


def why_not(command: Sequence[str], seconds: float) -> str | None:
    """The last words of a command that failed."""
    try:
        run(command, seconds)
    except (AssertionError, subprocess.TimeoutExpired) as error:
        return str(error).splitlines()[-1]
    return None


def available_mib() -> int:
    rows = dict(line.split(":") for line in Path("/proc/meminfo").read_text().splitlines())
    return int(rows["MemAvailable"].split()[0]) >> 10
