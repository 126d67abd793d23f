"""The image of a replica: `python -m service.tools.image NAME` builds it, as `make image` does, and says what it adds to its base.

Owns how an image is built into an archive, and what an archive holds. Must not know clusters.
"""

import json
import os
import shlex
import shutil
import subprocess
import sys
import tarfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Final

from anypod import __version__

ROOT: Final = Path(__file__).parents[2]
KIT: Final = ROOT.parent / "shared/cluster"  # beside this repository, where it is
BUILD_S_MAX: Final = 900.0
BASE: Final = "ANYPOD_TEST_PYTHON_IMAGE"  # the base image, where the Dockerfiles' own cannot be reached
KIT_BASE: Final = "localhost/python:3.11"
DOCKERFILE: Final = ROOT / "service/Dockerfile"


@dataclass(frozen=True, slots=True)
class Recipe:
    """`context`: the folder that the builder sees."""

    dockerfile: Path
    context: Path
    image: str
    arguments: tuple[str, ...] = ()

    @property
    def archive_name(self) -> str:
        return self.image.rpartition("/")[2].replace(":", "-") + ".tar"


def find_builder() -> str | None:
    """Which of the builders there is: the cluster kit's, or Docker with an engine that runs."""
    if (KIT / "build-image").exists():
        return "kit"
    if shutil.which("docker") and subprocess.run(("docker", "info"), capture_output=True, check=False).returncode == 0:
        return "docker"
    return None


def build(recipe: Recipe, folder: Path) -> Path:
    """The archive of the image."""
    archive = folder / recipe.archive_name
    base = os.environ.get(BASE)
    match find_builder():
        case "kit":
            given = _arguments((f"PYTHON_IMAGE={base or KIT_BASE}", *recipe.arguments))
            builder = (str(KIT / "build-image"), str(recipe.context), recipe.image, str(archive), "-f", str(recipe.dockerfile), *given)
            run(builder, BUILD_S_MAX)
        case "docker":
            given = _arguments(((f"PYTHON_IMAGE={base}",) if base else ()) + recipe.arguments)
            run(("docker", "build", "-f", str(recipe.dockerfile), "-t", recipe.image, *given, str(recipe.context)), BUILD_S_MAX)
            run(("docker", "save", "-o", str(archive), recipe.image), BUILD_S_MAX)
        case None:
            raise AssertionError("there is no builder of images: start a Docker engine")
    return archive


def _arguments(pairs: Sequence[str]) -> list[str]:
    return [part for pair in pairs for part in ("--build-arg", pair)]


@dataclass(frozen=True, slots=True)
class Contents:
    """`layers`: their sizes in bytes, uncompressed, the base's first; `config`: as OCI has it."""

    layers: tuple[int, ...]
    config: dict[str, object]
    file_names: frozenset[str]


def contents(archive: Path, added: int = 1) -> Contents:
    """Of a docker archive. `file_names`: of the last `added` layers, those that are ours."""
    with tarfile.open(archive) as tar:
        manifest = json.load(_member(tar, "manifest.json"))[0]
        config = json.load(_member(tar, manifest["Config"]))
        sizes = tuple(tar.getmember(layer).size for layer in manifest["Layers"])
        names: set[str] = set()
        for layer in manifest["Layers"][-added:]:
            with tarfile.open(fileobj=_member(tar, layer)) as inner:
                names |= set(inner.getnames())
    return Contents(sizes, config, frozenset(names))


def _member(tar: tarfile.TarFile, name: str) -> IO[bytes]:
    found = tar.extractfile(tar.getmember(name))
    assert found is not None, f"the archive has no {name}"
    return found


def run(command: Sequence[str], seconds: float, *, text: str | None = None) -> str:
    """What it printed. Raises AssertionError with its last words when it fails."""
    done = subprocess.run(command, capture_output=True, text=True, input=text, timeout=seconds, check=False)
    assert done.returncode == 0, f"{shlex.join(command)} failed with {done.returncode}:\n{(done.stdout + done.stderr)[-4_000:]}"
    return done.stdout


def main(image: str) -> int:
    """With Docker the image is in its engine afterwards, otherwise in an archive; either way it says how large it is."""
    if find_builder() is None:
        print("There is no builder of images: start a Docker engine, then try again.")
        return 1
    revision = run(("git", "-C", str(ROOT), "describe", "--always", "--dirty"), BUILD_S_MAX).strip()
    folder = ROOT / "dist"
    folder.mkdir(exist_ok=True)
    archive = build(Recipe(DOCKERFILE, ROOT, image, (f"REVISION={revision}",)), folder)
    sizes = contents(archive).layers
    print(f"{image} adds {sizes[-1] / 1e6:.1f} MB to its base of {sum(sizes[:-1]) / 1e6:.1f} MB: {archive.relative_to(ROOT)}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1] if len(sys.argv) > 1 else f"anypod/anypod:{__version__}"))
