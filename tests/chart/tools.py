"""The programs that the chart's tests run.

Owns where they are looked for: PATH first, then what `make chart` has installed, then a folder of tools beside the repository. Where
none has one, its tests are skipped with a sentence that says what to do.
"""

import shutil
import subprocess
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Final

import pytest
from tests.repository.not_run import Tool, missing

ROOT: Final = Path(__file__).parents[2]
CHART: Final = ROOT / "helm/anypod"
INSTALLED: Final = ROOT / ".anypod/tools/bin"
RUN_S_MAX: Final = 110  # below the limit of a test

HINTS: Final[Mapping[str, str]] = {
    "helm": "see https://helm.sh/docs/intro/install/",
    "helm-unittest": "take the program `untt` from https://github.com/helm-unittest/helm-unittest/releases, under this name",
    "actionlint": "`.ci/setup workflows` builds it where there is Go",
    "checkov": "`make chart` installs it, or `uv tool install checkov` does",
}


@cache
def find(name: str) -> Path | None:
    if found := shutil.which(name) or shutil.which(name, path=INSTALLED):
        return Path(found)
    getter = ROOT.parent / "shared/tools/get"
    if getter.is_file():
        told = subprocess.run([getter, name], capture_output=True, text=True, check=False, timeout=RUN_S_MAX)
        if told.returncode == 0:
            return Path(told.stdout.strip())
    return None


def needed(name: Tool) -> Path:
    """The program, or the test is skipped."""
    program = find(name)
    if program is None:
        pytest.skip(missing(name, HINTS[name]))
    return program


def run(name: Tool, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([needed(name), *arguments], capture_output=True, text=True, check=False, timeout=RUN_S_MAX, cwd=ROOT)
