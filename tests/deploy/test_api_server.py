"""What a real API server says of everything that the chart can render, and of an upgrade from the last released chart."""

import json
import time
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.deploy.deeds import upgrade
from tests.deploy.disturbance import Disturbance
from tests.deploy.kube import Kube
from tests.deploy.machine import ROOT
from tests.deploy.release import CHART, NAME, Release

PRESETS = sorted((CHART / "ci").glob("*.yaml"))
NEWCOMER_S_MAX = 180.0


@pytest.mark.parametrize("preset", PRESETS, ids=lambda path: path.stem)
def test_a_real_api_server_takes_every_object_of(preset: Path, kube: Kube, capsys: pytest.CaptureFixture[str]) -> None:
    known = {line.split()[-1] for line in kube.kubectl("api-resources", "--no-headers").splitlines()}
    objects: list[dict[str, Any]] = [
        item for item in yaml.safe_load_all(kube.helm("template", "dry", str(CHART), "-f", str(preset))) if item
    ]
    asked = [item for item in objects if item["kind"] in known]
    accounts = {item["spec"]["serviceAccountName"] for item in asked if item["kind"] == "Pod"} - {"default"}
    # A pod is refused without its own, before anything else is looked at.
    for name in accounts:
        kube.kubectl("create", "serviceaccount", name)
    try:
        listed = json.dumps({"apiVersion": "v1", "kind": "List", "items": asked})
        told = kube.kubectl("apply", "--dry-run=server", "--warnings-as-errors", "-f", "-", text=listed)
    finally:
        for name in accounts:
            kube.kubectl("delete", "serviceaccount", name)
    assert told.count("(server dry run)") == len(asked)
    unknown = sorted({item["kind"] for item in objects} - known)
    with capsys.disabled():
        print(f"\n{preset.stem}: {len(asked)} objects taken" + (f"; this cluster has no {', '.join(unknown)}" if unknown else ""))


async def test_an_upgrade_from_the_last_released_chart_keeps_password_and_sessions(release: Release) -> None:
    """The release is made anew from the package, and upgraded to the chart as it stands, under clients."""
    package = max((ROOT / "helm/released").glob("anypod-*.tgz"))
    release.uninstall()
    release.install(chart=package)
    before = password(release)
    assert before
    await Disturbance(release, f"upgrade from {package.stem}", clients=60).run(lambda: upgrade(release))
    assert password(release) == before


def password(release: Release) -> str:
    return str(release.kube.get("secret", f"{NAME}-redis")["data"]["password"])


def test_a_newcomer_has_a_proven_release_within_three_minutes(kube: Kube, release: Release) -> None:
    """The README's way on a cluster with nothing on it: install, wait, `helm test`. The image is on the nodes already."""
    release.uninstall()
    began = time.monotonic()
    release.install()
    report = release.test()
    took = time.monotonic() - began
    print(f"\nfrom `helm install` to a passing `helm test`: {took:.0f} s")
    assert report.verdict == "proven"
    assert took < NEWCOMER_S_MAX
