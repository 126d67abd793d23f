"""What the presets become: valid for every Kubernetes of the chart's range, in the names that metrics and documents have."""

import json
import re
from pathlib import Path
from typing import Any, Final

import kubernetes_validate
import pytest
import yaml
from tests.chart.rendering import KUBE_VERSION, PRESETS, Object, rendered
from tests.chart.tools import CHART, ROOT, run

from anypod.core.errors import CODES
from anypod.telemetry import metric_rows

VERSIONS: Final = [f"1.{minor}" for minor in range(29, 38)]
FOREIGN: Final = ("monitoring.coreos.com/", "keda.sh/", "gateway.networking.k8s.io/", "gateway.k8s.aws/")  # no schema of Kubernetes' own


def values_of(preset: Path) -> Any:
    return yaml.safe_load(preset.read_text())


@pytest.mark.parametrize("preset", PRESETS, ids=lambda path: path.stem)
def test_a_preset_passes_helms_own_check(preset: Path) -> None:
    told = run("helm", "lint", "--strict", CHART, "--values", preset)
    assert told.returncode == 0, told.stdout + told.stderr


def test_the_charts_own_suites_pass() -> None:
    told = run("helm-unittest", "--strict", CHART)
    assert told.returncode == 0, told.stdout + told.stderr


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("preset", PRESETS, ids=lambda path: path.stem)
def test_every_object_is_as_that_kubernetes_wants_it(preset: Path, version: str) -> None:
    kube_version = "1.29.0" if version == "1.29" else KUBE_VERSION  # what the chart writes differs for the oldest alone
    objects = [item for item in rendered(values_of(preset), kube_version=kube_version) if not item["apiVersion"].startswith(FOREIGN)]
    assert objects
    for item in objects:
        kubernetes_validate.validate(item, version, strict=True)


def test_an_object_with_a_field_that_kubernetes_does_not_know_is_found() -> None:
    item = next(item for item in rendered(values_of(PRESETS[0])) if item["kind"] == "Deployment")
    item["spec"]["replicaz"] = 3
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(item, VERSIONS[0], strict=True)


def preset_objects(name: str) -> list[Object]:
    return rendered(values_of(CHART / f"ci/{name}-values.yaml"))


@pytest.mark.parametrize("preset", PRESETS, ids=lambda path: path.stem)
def test_no_two_objects_have_the_same_name_and_all_stand_in_the_releases_namespace(preset: Path) -> None:
    objects = rendered(values_of(preset))
    names = [(item["kind"], item["metadata"]["name"]) for item in objects]
    assert len(names) == len(set(names))
    assert {item["metadata"]["namespace"] for item in objects} == {"default"}


def test_alerts_and_dashboards_ask_for_metrics_that_exist() -> None:
    objects = preset_objects("alb")
    [rule] = [item for item in objects if item["kind"] == "PrometheusRule"]
    [dashboard] = [item for item in objects if item["metadata"]["name"].endswith("-dashboard")]
    alerts = [alert["expr"] for group in rule["spec"]["groups"] for alert in group["rules"]]
    panels = [target["expr"] for panel in json.loads(dashboard["data"]["anypod.json"])["panels"] for target in panel["targets"]]
    assert alerts
    assert panels
    assert not [query for query in alerts + panels if not asks_for_what_exists(query)]


def asks_for_what_exists(query: str) -> bool:
    known = {row.name for row in metric_rows()} | {f"{row.name}_bucket" for row in metric_rows() if row.type == "histogram"}
    named = set(re.findall(r"\banypod_\w+", query))
    return bool(named) and named <= known and set(re.findall(r'code="(\w+)"', query)) <= CODES.keys()


def test_a_query_for_nothing_is_found() -> None:
    assert not asks_for_what_exists("sum(anypod_losses_total)")
    assert not asks_for_what_exists('sum(anypod_errors_total{code="lost"})')


def test_every_alert_has_a_line_that_says_what_to_do() -> None:
    [rule] = [item for item in preset_objects("alb") if item["kind"] == "PrometheusRule"]
    book = (ROOT / "service/docs/operations.md").read_text()
    for alert in rule["spec"]["groups"][0]["rules"]:
        [metric] = set(re.findall(r"\banypod_\w+", alert["expr"]))
        assert metric.removesuffix("_bucket") in book, alert["alert"]
