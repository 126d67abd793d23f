"""What a real API server says of everything that the chart can render, and of an upgrade from the last released chart."""

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import yaml
from tests.kubernetes.deeds import there_and_back
from tests.kubernetes.disturbance import Disturbance
from tests.kubernetes.images import PRESENT, RELEASED
from tests.kubernetes.kube import Json, Kube
from tests.kubernetes.release import CHART, NAME, RELEASED_CHART, Release

PRESETS = sorted((CHART / "ci").glob("*.yaml"))
NEWCOMER_S_MAX = 180.0


@pytest.mark.parametrize("preset", PRESETS, ids=lambda path: path.stem)
def test_a_real_api_server_takes_every_object_of(preset: Path, kube: Kube, capsys: pytest.CaptureFixture[str]) -> None:
    served = served_kinds(kube)
    flags = [f"--api-versions={version}/{kind}" for kind, version in served.items()]  # as `helm install` asks for them
    objects: list[Json] = [item for item in yaml.safe_load_all(kube.helm("template", "dry", str(CHART), "-f", str(preset), *flags)) if item]
    asked = [item for item in objects if item["kind"] in served]
    with there(kube, needed_by(asked, kube)):
        listed = json.dumps({"apiVersion": "v1", "kind": "List", "items": asked})
        told = kube.kubectl("apply", "--dry-run=server", "--warnings-as-errors", "-f", "-", text=listed)
    assert told.count("(server dry run)") == len(asked)
    unknown = sorted({item["kind"] for item in objects} - served.keys())
    with capsys.disabled():
        print(f"\n{preset.stem}: {len(asked)} objects taken" + (f"; this cluster has no {', '.join(unknown)}" if unknown else ""))


def served_kinds(kube: Kube) -> dict[str, str]:
    """The kinds that this API server knows, with the version that it prefers."""
    rows = (line.split() for line in kube.kubectl("api-resources", "--no-headers").splitlines())
    return {row[-1]: row[-3] for row in rows}


def needed_by(objects: list[Json], kube: Kube) -> list[Json]:
    """What they name and a dry run does not bring: a pod without its account, and an Ingress of an unknown class, are refused."""
    accounts = {item["spec"]["serviceAccountName"] for item in objects if item["kind"] == "Pod"} - {"default"}
    classes = {item["spec"]["ingressClassName"] for item in objects if item["kind"] == "Ingress"}
    classes -= {item["metadata"]["name"] for item in kube.items("ingressclasses")}
    return [
        *({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": name}} for name in accounts),
        *(
            {
                "apiVersion": "networking.k8s.io/v1",
                "kind": "IngressClass",
                "metadata": {"name": name},
                "spec": {"controller": f"example.com/{name}"},
            }
            for name in classes
        ),
    ]


@contextmanager
def there(kube: Kube, objects: list[Json]) -> Iterator[None]:
    try:
        for item in objects:
            kube.apply(item)
        yield
    finally:
        for item in objects:
            kube.kubectl("delete", item["kind"], item["metadata"]["name"], "--ignore-not-found")


async def test_an_upgrade_from_the_last_released_chart_keeps_password_and_sessions(release: Release) -> None:
    """The release is made anew from the package and with the image of the last release; under clients it is upgraded to chart and image
    as they stand, and rolled back to both."""
    release.uninstall()
    release.install({"image": {"tag": RELEASED}}, chart=RELEASED_CHART)
    before = password(release)
    assert before
    await Disturbance(release, f"upgrade from {RELEASED_CHART.stem}", clients=60).run(lambda: there_and_back(release))
    assert password(release) == before
    release.install({"image": {"tag": PRESENT}})


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
