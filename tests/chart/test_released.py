"""The last released chart is kept in helm/released, and whoever installed it can upgrade to this one."""

import tarfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import yaml
from tests.chart.rendering import PRESETS, Object, rendered, with_secret
from tests.chart.tools import CHART, ROOT

RELEASED: Final = ROOT / "helm/released"


def number(package: Path) -> tuple[int, ...]:
    return tuple(map(int, package.stem.removeprefix("anypod-").split(".")))


def last() -> Path:
    return max(RELEASED.glob("anypod-*.tgz"), key=number)


def fixed(objects: list[Object]) -> dict[str, Any]:
    """What an upgrade cannot change: the API server refuses it, or it would make other objects, and forget a volume."""
    found: dict[str, Any] = {}
    for item in objects:
        spec = item.get("spec", {})
        match item["kind"]:
            case "Deployment":
                found[f"Deployment/{item['metadata']['name']}"] = spec["selector"]
            case "StatefulSet":
                names = ("selector", "serviceName", "podManagementPolicy", "volumeClaimTemplates")
                found[f"StatefulSet/{item['metadata']['name']}"] = {name: spec.get(name) for name in names}
            case "Service" | "Secret":
                found[f"{item['kind']}/{item['metadata']['name']}"] = item.get("type")
    return found


def contents(package: Path) -> Mapping[str, bytes]:
    with tarfile.open(package) as files:
        return {item.name: files.extractfile(item).read() for item in files if item.isfile()}  # type: ignore[union-attr]  # files alone


def test_an_upgrade_from_the_last_release_changes_nothing_that_cannot_be_changed() -> None:
    for values in (with_secret(), *(yaml.safe_load(preset.read_text()) for preset in PRESETS)):
        assert fixed(rendered(values, chart=last())).items() <= fixed(rendered(values)).items()


def test_a_change_that_an_upgrade_cannot_make_is_found() -> None:
    objects = rendered(with_secret())
    other = rendered(with_secret(redis={"persistence": {"size": "9Gi"}}))
    assert not fixed(objects).items() <= fixed(other).items()


def test_the_values_of_the_last_release_are_still_taken() -> None:
    """`helm upgrade --reuse-values` lays them over ours."""
    values: dict[str, Any] = yaml.safe_load(contents(last())["anypod/values.yaml"])
    assert rendered({**values, "auth": with_secret()["auth"]})


def test_a_chart_that_was_changed_since_its_release_has_another_number() -> None:
    version = yaml.safe_load((CHART / "Chart.yaml").read_text())["version"]
    released = RELEASED / f"anypod-{version}.tgz"
    assert tuple(map(int, version.split("."))) >= number(last())
    if released.exists():
        templates = {name: text for name, text in contents(released).items() if "/templates/" in name}
        assert templates == {
            f"anypod/{path.relative_to(CHART)}": path.read_bytes() for path in (CHART / "templates").rglob("*") if path.is_file()
        }
