"""The release that is kept beside this tree, and replicas that run it.

Owns where its code lies and how a process imports it. Must not know what is tested. The wheel has our code alone: the dependencies are
those of the environment that the tests run in.
"""

import os
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from tests.support.replica_process import Replica

FOLDER: Final = Path(__file__).parents[1] / "released"


def number(wheel: Path) -> tuple[int, ...]:
    return tuple(map(int, wheel.name.split("-")[1].split(".")))


def newest_wheel() -> Path:
    return max(FOLDER.glob("anypod-*.whl"), key=number)


def unpacked(folder: Path) -> Path:
    """What a process names in PYTHONPATH to import the release."""
    with zipfile.ZipFile(newest_wheel()) as wheel:
        wheel.extractall(folder)
    return folder


class VersionedReplica(Replica):
    """A replica that can be stopped and started with other code, at the same ports. `code`: None is this tree's."""

    def __init__(self, name: str, settings: Mapping[str, str], directory: Path) -> None:
        super().__init__(name, settings, directory)
        self._plain = dict(self._variables)

    def run_code(self, code: Path | None) -> None:
        """From the next start on. Before everything that is installed, and without what else the tests' own process may import."""
        self._variables = self._plain | ({} if code is None else {"PYTHONPATH": os.fspath(code)})
