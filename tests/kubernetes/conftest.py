"""One cluster for all tests here, and one release that most of them disturb in turn."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest
from tests.kubernetes.kube import Kube, can_reach_cluster
from tests.kubernetes.namespace import made
from tests.kubernetes.release import Release
from tests.repository.not_run import elsewhere, missing

from anypod.devcluster.environment import raise_descriptor_limit

NAMESPACE: Final = "anypod-tests"
TEST_S_MAX: Final = 900  # the longest is a rollout behind a balancer, with three pods that each take a minute to leave


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if "kubernetes" in item.path.parts:
            item.add_marker(pytest.mark.timeout(TEST_S_MAX))


@pytest.fixture(scope="session")
def archives() -> Path:
    """Where the runner has put the images' archives."""
    folder = os.environ.get("ANYPOD_TEST_ARCHIVES")
    if folder is None:
        pytest.skip(elsewhere("make test-cluster", "it brings a cluster with our images on it"))
    if (lacking := can_reach_cluster()) is not None:
        pytest.skip(missing("cluster", lacking))
    raise_descriptor_limit()
    return Path(folder)


@pytest.fixture(scope="session")
def kube(archives: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kube]:
    with made(NAMESPACE, tmp_path_factory) as kube:
        yield kube


@pytest.fixture(scope="module")
def release(kube: Kube) -> Iterator[Release]:
    release = Release(kube)
    release.install()
    yield release
    release.uninstall()
