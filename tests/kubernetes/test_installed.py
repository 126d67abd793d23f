"""The chart on a real cluster: it installs, proves itself, and is upgraded under clients without a loss."""

import time

from tests.kubernetes.deeds import there_and_back
from tests.kubernetes.disturbance import Disturbance
from tests.kubernetes.release import Release

SMOKE_CLIENTS = 60


def test_replicas_stand_on_different_nodes_and_every_pod_is_restricted(release: Release) -> None:
    nodes = {pod["spec"]["nodeName"] for pod in release.pods()}
    assert len(release.serving()) == 3
    assert len(nodes) == min(3, len(release.kube.items("nodes")))
    for pod in release.kube.items("pods"):
        for container in pod["spec"]["containers"]:
            assert container["securityContext"]["readOnlyRootFilesystem"]
            assert not container["securityContext"]["allowPrivilegeEscalation"]


def test_helm_test_proves_the_release_over_two_replicas(release: Release) -> None:
    began = time.monotonic()
    report = release.test()
    print(f"helm test took {time.monotonic() - began:.0f} s")
    assert report.verdict == "proven"
    assert len(report.replicas_met) >= 2


async def test_from_this_version_to_the_release_and_back_nothing_is_lost_under_sixty_clients(release: Release) -> None:
    """Both directions between two versions: a rollback is an upgrade to what was before, whichever of the two is newer."""
    crowd = Disturbance(release, "smoke", clients=SMOKE_CLIENTS)
    await crowd.run(lambda: there_and_back(release))
    crowd.check_politeness(crowd.replicas_met() - release.serving())
