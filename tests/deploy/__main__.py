"""The tests on a real cluster, from nothing to nothing: `make test-cluster`, or `python -m tests.deploy --short`.

Owns the order: images, a cluster, the tests where they can reach it, and the end of what was brought up, whatever happened.
"""

import argparse
import os
import subprocess
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from tests.deploy.images import build, find_builder, recipes
from tests.deploy.machine import ROOT, Kit, Machine, find_machine

TESTS: Final = ("tests/deploy",)
SHORT: Final = ("tests/deploy/test_image.py", "tests/deploy/test_installed.py")
ARCHIVES: Final = "ANYPOD_TEST_ARCHIVES"  # where the tests find the images' archives


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--short", action="store_true", help="what CI runs: installation, its test, and one upgrade under clients")
    parser.add_argument("--only", default="", help="tests by a part of their names, as of pytest -k")
    parser.add_argument("--keep", action="store_true", help="leave the cluster up at the end")
    chosen = parser.parse_args()
    machine = find_machine()
    if isinstance(machine, str) or find_builder() is None:
        print(f"No tests on a cluster: {machine if isinstance(machine, str) else 'there is no builder of images (a Docker engine)'}.")
        return 0
    with TemporaryDirectory(prefix="anypod-images-") as folder:
        for recipe in recipes():
            say(f"building {recipe.image}")
            build(recipe, Path(folder))
        try:
            say("bringing the cluster up")
            machine.up()
            if isinstance(machine, Kit) and not chosen.short:
                say("bringing up the stand-in for AWS load balancers")
                machine.alb("up", "--gateway")
            return _test(machine, Path(folder), chosen)
        finally:
            if not chosen.keep:
                say("taking the cluster down")
                machine.down()


def _test(machine: Machine, folder: Path, chosen: argparse.Namespace) -> int:
    for archive in sorted(folder.glob("*.tar")):
        say(f"loading {archive.stem}")
        machine.load(archive)
    selected = SHORT if chosen.short else TESTS
    named = ["-k", chosen.only] if chosen.only else []
    command = [*machine.prefix, sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-s", *named, *selected]
    return subprocess.run(command, cwd=ROOT, env={**os.environ, ARCHIVES: str(folder)}, check=False).returncode


def say(line: str) -> None:
    print(f"{time.strftime('%H:%M:%S')} {line}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
