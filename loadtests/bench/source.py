"""The code that a replica under load runs: this tree's, or that of another revision.

Owns the checkout of a revision, and what a process needs to import from it. Must not know what is measured.
"""

import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Final

from loadtests.bench.process import ProcessError

ANSWER_S_MAX: Final = 60.0
SETTINGS: Final = "from anypod.settings import Settings; print(*Settings.model_fields)"


@dataclass(frozen=True)
class Source:
    """A checkout. `name`: what a report calls it."""

    name: str
    root: Path

    @property
    def variables(self) -> Mapping[str, str]:
        """A process with these imports the checkout's code, before anything that is installed."""
        return {"PYTHONPATH": os.pathsep.join((str(self.root / "service"), str(self.root)))}

    @cached_property
    def settings(self) -> frozenset[str]:
        """The names of its settings: a replica refuses one that its revision does not have yet."""
        return frozenset(self.python("-c", SETTINGS).split())

    def python(self, *arguments: str) -> str:
        """What a program prints that imports from here. Raises ProcessError."""
        command = (sys.executable, "-P", *arguments)
        done = subprocess.run(
            command, cwd=self.root, env={**os.environ, **self.variables}, capture_output=True, text=True, timeout=ANSWER_S_MAX, check=False
        )
        if done.returncode != 0:
            raise ProcessError(f"{self.name}: {(done.stderr.strip().splitlines() or ['it said nothing'])[-1]}")
        return done.stdout


def check_out(revision: str, repository: Path, folder: Path) -> Source:
    """The files of a revision, without the working tree's changes. Raises ProcessError."""
    name = subprocess.run(
        ("git", "rev-parse", "--short", "--verify", f"{revision}^{{commit}}"), cwd=repository, capture_output=True, text=True, check=False
    )
    if name.returncode != 0:
        raise ProcessError(f"there is no revision {revision}")
    folder.mkdir(parents=True)
    archive = subprocess.run(("git", "archive", revision), cwd=repository, capture_output=True, check=True)
    subprocess.run(("tar", "-x", "-C", str(folder)), input=archive.stdout, check=True)
    return Source(name.stdout.strip(), folder)
