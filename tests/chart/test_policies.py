"""checkov's policies for Kubernetes and Helm hold for every preset. Exceptions stand in .checkov.yaml and in annotations, with reasons."""

import json
import os
import re
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import yaml
from tests.chart.rendering import PRESETS, RELEASE
from tests.chart.tools import CHART, RUN_S_MAX, needed, run

EXCEPTIONS: Final = CHART / ".checkov.yaml"
PEER: Final = {"podSelector": {"matchLabels": {"some": "peer"}}}
# Policies of the network are the user's choice, as they name peers. What is checked is that they are complete once they are on.
POLICIES_ON: Final = {"networkPolicy": {"enabled": True, **{name: [PEER] for name in ("clients", "monitoring", "redis", "issuers")}}}


def failures(framework: str, folder: Path, *arguments: str) -> list[str]:
    """Without the network: checkov would ask its maker for guidelines."""
    options = [
        "--framework",
        framework,
        "--directory",
        str(folder),
        "--config-file",
        str(EXCEPTIONS),
        "--skip-download",
        "--output",
        "json",
    ]
    path = f"{needed('helm').parent}{os.pathsep}{os.environ['PATH']}"
    told = subprocess.run(
        [needed("checkov"), *options, *arguments],
        capture_output=True,
        text=True,
        check=False,
        timeout=RUN_S_MAX,
        env={**os.environ, "PATH": path, "HELM_NAMESPACE": "sessions"},
    )
    found = json.loads(told.stdout)
    assert found["summary"]["passed"] > 50, told.stderr  # it has looked
    assert not found["summary"]["parsing_errors"]
    return [f"{check['check_id']} {check['check_name']}: {check['resource']}" for check in found["results"]["failed_checks"]]


def write(folder: Path, preset: Path, values: Mapping[str, Any]) -> None:
    (more := folder / "more.json").write_text(json.dumps(values))
    told = run("helm", "template", RELEASE, CHART, "--namespace", "sessions", "--values", preset, "--values", more)
    more.unlink()
    assert told.returncode == 0, told.stderr
    (folder / f"{preset.stem}.yaml").write_text(told.stdout)


def test_every_preset_keeps_the_policies(tmp_path: Path) -> None:
    needed("checkov")
    for preset in PRESETS:
        write(tmp_path, preset, POLICIES_ON)
    assert not failures("kubernetes", tmp_path)


def test_the_chart_keeps_the_policies_of_charts(tmp_path: Path) -> None:
    assert not failures("helm", CHART, "--var-file", str(CHART / "ci/alb-values.yaml"))


def test_a_policy_that_is_broken_is_found(tmp_path: Path) -> None:
    needed("checkov")
    container = {"name": "careless", "image": "careless:1", "securityContext": {"privileged": True}}
    write(tmp_path, CHART / "ci/evaluation-values.yaml", {**POLICIES_ON, "extraContainers": [container]})
    assert [line for line in failures("kubernetes", tmp_path) if "CKV_K8S_16" in line]


def test_every_exception_has_its_reason() -> None:
    text = EXCEPTIONS.read_text()
    assert yaml.safe_load(text).keys() == {"skip-check"}
    for name in yaml.safe_load(text)["skip-check"]:
        assert re.search(rf"# \"[^\n]+\":[^\n]+\n(  #[^\n]*\n)*  - {name}\n", text), name
    for template in (CHART / "templates").rglob("*.yaml"):
        assert not re.search(r"checkov\.io/skip\d+: \w+$", template.read_text(), re.MULTILINE), template
