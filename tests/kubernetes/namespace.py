"""A namespace for a release: held to the restricted Pod Security Standard, with a volume for its Redis.

Owns its making and its end. Must not know what is installed there.
"""

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import pytest
from tests.kubernetes.kube import Kube
from tests.kubernetes.release import NAME

RESTRICTED: Final = {f"pod-security.kubernetes.io/{mode}": "restricted" for mode in ("enforce", "warn")}
GONE_S_MAX: Final = 120.0
DEFAULT_CLASS: Final = "storageclass.kubernetes.io/is-default-class"


@contextmanager
def made(name: str, folders: pytest.TempPathFactory, labels: Mapping[str, str] | None = None) -> Iterator[Kube]:
    kube = Kube(name)
    kube.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": {**RESTRICTED, **(labels or {})}}})
    has_volumes = any(item["metadata"].get("annotations", {}).get(DEFAULT_CLASS) == "true" for item in kube.items("storageclass"))
    volume = None if has_volumes else _give_volume(kube, folders.mktemp("redis"))
    try:
        yield kube
    finally:
        kube.kubectl("delete", "namespace", name, f"--timeout={GONE_S_MAX:g}s", seconds=GONE_S_MAX + 10)
        if volume is not None:
            kube.kubectl("delete", "persistentvolume", volume, "--wait=false")


def _give_volume(kube: Kube, folder: Path) -> str:
    """For a cluster without a storage class: a folder of the machine that all its nodes run on."""
    for place in (folder, *folder.parents[:2]):
        place.chmod(0o777)  # whoever the server runs as
    name = f"{kube.namespace}-{int(time.time())}"
    spec = {
        "capacity": {"storage": "8Gi"},
        "accessModes": ["ReadWriteOnce"],
        "persistentVolumeReclaimPolicy": "Retain",
        "claimRef": {"namespace": kube.namespace, "name": f"data-{NAME}-redis-0"},
        "hostPath": {"path": str(folder)},
    }
    kube.apply({"apiVersion": "v1", "kind": "PersistentVolume", "metadata": {"name": name}, "spec": spec})
    return name
