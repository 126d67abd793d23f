"""The workflows of CI and what else stands in .github: they run what there is, all of it, and may do no more than they must."""

import re
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.chart.tools import find
from tests.repository.not_run import missing
from tests.repository.test_repository import targets

ROOT = Path(__file__).parents[2]
GITHUB = ROOT / ".github"
WORKFLOWS = sorted((GITHUB / "workflows").glob("*.yml"))
FORMS = sorted(path for path in (GITHUB / "ISSUE_TEMPLATE").glob("*.yml") if path.name != "config.yml")

# A permission beyond reading, and the words of a job that cannot do without it.
REASONS = {
    "packages": "docker/login-action",
    "id-token": r"actions/attest|gh-action-pypi-publish",
    "attestations": "actions/attest",
    "contents": "gh release create",
}

Yaml = dict[str, Any]


def parsed(path: Path) -> Yaml:
    loaded = yaml.load(path.read_text(), yaml.BaseLoader)  # `on` is a word here, not a truth
    assert isinstance(loaded, dict)
    return loaded


def make_targets(text: str) -> set[str]:
    """`make a b X=1 c` names a and b."""
    named = re.findall(r"(?<![\w/-])make((?: [a-z][a-z-]*(?![\w=]))+)", text)
    return {name for names in named for name in names.split()}


def paths_in(text: str) -> set[str]:
    """What looks like a path of this repository, a pattern too."""
    return set(re.findall(r"(?<![\w/.~-])(?:\./)?(?:\.ci|\.github|service|tests|helm|loadtests)/[\w./*-]*[\w*]", text))


def commands(workflow: Mapping[str, Any]) -> Iterator[str]:
    for job in workflow["jobs"].values():
        yield from (step["run"] for step in job.get("steps", ()) if "run" in step)
        yield from (lane["run"] for lane in job.get("strategy", {}).get("matrix", {}).get("include", ()))


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_a_workflow_names_only_make_targets_and_paths_that_exist(path: Path) -> None:
    known = targets((ROOT / "Makefile").read_text()).keys()
    named = set[str]().union(*(make_targets(command) for command in commands(parsed(path))))
    assert named
    assert named <= known
    lines = "\n".join(line.partition(" # ")[0] for line in path.read_text().splitlines() if not line.startswith("#"))
    assert not {name for name in paths_in(lines) if not list(ROOT.glob(name.removeprefix("./")))}


def test_a_target_and_a_path_that_do_not_exist_are_found() -> None:
    assert make_targets("make package sbom TESTS=x") == {"package", "sbom"}
    assert paths_in("make test TESTS='tests/unit tests/test_*.py' && cat ./service/x.md") == {
        "tests/unit",
        "tests/test_*.py",
        "./service/x.md",
    }


def test_the_lanes_together_run_every_test() -> None:
    lanes = parsed(GITHUB / "workflows/test.yml")["jobs"]["lane"]["strategy"]["matrix"]["include"]
    run = {file for lane in lanes for name in paths_in(lane["run"]) for file in files_of(name)} | set(files_of("tests/chart"))
    every = {path for path in (ROOT / "tests").rglob("test_*.py") if "__pycache__" not in path.parts}
    assert not {path.relative_to(ROOT).as_posix() for path in every - run}
    assert {"make chart", "make test-alone", "make bench SHORT=1"} <= {lane["run"] for lane in lanes}


def files_of(name: str) -> list[Path]:
    return [file for found in ROOT.glob(name) for file in ([found] if found.is_file() else found.rglob("test_*.py"))]


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_a_workflow_may_read_and_a_job_has_a_reason_for_whatever_else_it_may(path: Path) -> None:
    workflow = parsed(path)
    assert workflow["permissions"] == {"contents": "read"}
    for name, job in workflow["jobs"].items():
        text = str(job)
        beyond = [scope for scope, access in job.get("permissions", {}).items() if access != "read"]
        assert not [scope for scope in beyond if not re.search(REASONS[scope], text)], name
        assert "uses" in job or "timeout-minutes" in job, f"{name} may run for six hours"


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_an_action_of_others_is_pinned_by_its_whole_version(path: Path) -> None:
    used = re.findall(r"uses: (\S+)", path.read_text())
    assert not [name for name in used if not name.startswith("./") and not re.fullmatch(r"[\w./-]+@v\d+\.\d+\.\d+", name)]


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_actionlint_has_nothing_to_say_about(path: Path) -> None:
    program = find("actionlint")
    if program is None:
        pytest.skip(missing("actionlint", "`.ci/setup workflows` builds it where there is Go"))
    told = subprocess.run([program, "-no-color", path], cwd=ROOT, capture_output=True, text=True, check=False)
    assert told.returncode == 0, told.stdout + told.stderr


@pytest.mark.parametrize("path", FORMS, ids=lambda path: path.name)
def test_an_issue_form_has_what_the_platform_asks_for(path: Path) -> None:
    form = parsed(path)
    assert {"name", "description", "body"} <= form.keys()
    ids = [field["id"] for field in form["body"]]
    assert len(ids) == len(set(ids))
    assert all(field["attributes"]["label"] and field["type"] in {"textarea", "input", "dropdown"} for field in form["body"])


def test_dependabot_looks_where_dependencies_are() -> None:
    marks = {"uv": "uv.lock", "github-actions": ".github/workflows", "docker": "Dockerfile"}
    for update in parsed(GITHUB / "dependabot.yml")["updates"]:
        assert (ROOT / update["directory"].lstrip("/") / marks[update["package-ecosystem"]]).exists()


def test_a_hook_before_a_commit_runs_a_tool_of_the_makefile() -> None:
    hooks = [hook for repo in parsed(ROOT / ".pre-commit-config.yaml")["repos"] for hook in repo["hooks"]]
    makefile = (ROOT / "Makefile").read_text()
    for hook in hooks:
        program, first, *_ = hook["entry"].split()
        assert first in targets(makefile) if program == "make" else f"$(BIN)/{Path(program).name} {first}" in makefile
