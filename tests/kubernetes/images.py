"""The images of these tests: one of this tree, one of the release before it, and one of an evaluation Redis.

Owns what they are built from. Must not know how, nor clusters.
"""

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from service.tools.image import DOCKERFILE, ROOT, Recipe
from tests.versions.released import unpacked

SERVICE: Final = "localhost/anypod"
PRESENT: Final = "present"  # this tree's
RELEASED: Final = "released"  # of the wheel in tests/released, with the dependencies of this tree's lock file
REDIS: Final = "localhost/anypod-redis:test"


def recipes(folder: Path) -> Sequence[Recipe]:
    """`folder`: for the release's own context."""
    redis = ROOT / "tests/kubernetes/images/redis"
    services = [
        Recipe(DOCKERFILE, context, f"{SERVICE}:{tag}", (f"REVISION={tag}",))
        for tag, context in ((PRESENT, ROOT), (RELEASED, _released_context(folder / "release")))
    ]
    return [Recipe(redis / "Dockerfile", redis, REDIS), *services]


def _released_context(folder: Path) -> Path:
    """What the Dockerfile takes, with the release's code in the place of this tree's."""
    unpacked(folder / "service")
    for name in ("pyproject.toml", "uv.lock", "service/builder.txt"):
        shutil.copy(ROOT / name, folder / name)
    return folder
