"""The chart with values: what it becomes, or why it is refused.

Owns the call of `helm template`. Must not know what should come of it.
"""

import json
import tempfile
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any, Final

import yaml
from tests.chart.tools import CHART, run

RELEASE: Final = "here"
KUBE_VERSION: Final = "1.34.0"
SECRET: Final = "ci-only-Zk3vS8qLr0TnXwB5yHdC2mJf"
PRESETS: Final = sorted((CHART / "ci").glob("*-values.yaml"))

LOADER: Final = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # the same in C, where the library has it

Values = Mapping[str, Any]
Object = dict[str, Any]


def rendered(values: Values, *, kube_version: str = KUBE_VERSION, chart: Path = CHART) -> list[Object]:
    """All objects; tests' pods too."""
    told = _template(json.dumps(values), kube_version, chart)
    assert told.returncode == 0, told.stderr
    return [item for item in yaml.load_all(told.stdout, Loader=LOADER) if item]


def refusal(values: Values, *, kube_version: str = KUBE_VERSION) -> str:
    """What is said instead."""
    told = _template(json.dumps(values), kube_version, CHART)
    assert told.returncode != 0, "it was rendered"
    return str(told.stderr)


def with_secret(**values: Any) -> Values:
    return {"auth": {"secret": SECRET}, **values}


def one(objects: list[Object], kind: str, name: str = f"{RELEASE}-anypod") -> Object:
    [found] = [item for item in objects if item["kind"] == kind and item["metadata"]["name"] == name]
    return found


@cache
def _template(values: str, kube_version: str, chart: Path) -> Any:
    """Kept: many tests look at the same objects, and rendering takes longer than looking."""
    with tempfile.NamedTemporaryFile("w", suffix=".json") as file:
        file.write(values)
        file.flush()
        return run("helm", "template", RELEASE, chart, "--values", file.name, "--kube-version", kube_version)
