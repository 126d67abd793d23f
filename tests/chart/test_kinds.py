"""Objects of kinds that are not Kubernetes' own, against the schemas that their makers publish; `make chart` fetches these where Go is."""

from typing import Any, Final

import jsonschema_rs
import pytest
import yaml
from tests.chart.rendering import LOADER, Object, rendered
from tests.chart.tools import CHART, ROOT
from tests.repository.not_run import missing

KINDS: Final = ROOT / ".anypod/tools/kinds"
# The AWS controller's own two are taken by a real API server in the tests on a cluster, with the definitions that the real one brings:
# the controller itself is a stand-in there.
FILES: Final = {
    "ScaledObject": ("nginx", "keda.sh_scaledobjects"),
    "ServiceMonitor": ("alb", "monitoring.coreos.com_servicemonitors"),
    "PrometheusRule": ("alb", "monitoring.coreos.com_prometheusrules"),
    "HTTPRoute": ("gateway", "gateway.networking.k8s.io_httproutes"),
    "Gateway": ("gateway", "gateway.networking.k8s.io_gateways"),
}


@pytest.mark.parametrize("kind", FILES)
def test_an_object_is_as_the_maker_of_its_kind_wants_it(kind: str) -> None:
    item, validator = object_of(kind), validator_of(kind)
    validator.validate(item)
    item["spec"]["of-our-own-making"] = 1
    assert not validator.is_valid(item)


def object_of(kind: str) -> Object:
    values = yaml.safe_load((CHART / f"ci/{FILES[kind][0]}-values.yaml").read_text())
    return next(item for item in rendered(values) if item["kind"] == kind)


def validator_of(kind: str) -> jsonschema_rs.Validator:
    path = KINDS / f"{FILES[kind][1]}.yaml"
    if not path.exists():
        pytest.skip(missing("go", f"`make chart` fetches the schema of {kind} with it"))
    versions = yaml.load(path.read_text(), Loader=LOADER)["spec"]["versions"]
    [schema] = [one["schema"]["openAPIV3Schema"] for one in versions if f"/{one['name']}" in object_of(kind)["apiVersion"]]
    return jsonschema_rs.validator_for(strict(schema))


def strict(schema: Any) -> Any:
    """As `kubectl apply --validate=strict` reads it: a field that is not named is a mistake."""
    if not isinstance(schema, dict):
        return [strict(one) for one in schema] if isinstance(schema, list) else schema
    is_open = "properties" not in schema or "x-kubernetes-preserve-unknown-fields" in schema
    return {**({} if is_open else {"additionalProperties": False}), **{name: strict(value) for name, value in schema.items()}}
