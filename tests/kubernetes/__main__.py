"""The tests on a real cluster, from nothing to nothing: `make test-cluster`, or `python -m tests.kubernetes --short`.

Owns the order: a cluster, images, the tests where they can reach both, and the end of what was brought up, whatever happened.
"""

import argparse
import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from service.tools.image import ROOT, build, find_builder
from tests.kubernetes.images import REDIS, recipes
from tests.kubernetes.machine import Kit, Machine, find_machine
from tests.repository.not_run import NotRun, missing, record

NODES: Final = 4  # one dies behind the balancer, another without it
NODES_SHORT: Final = 3
TESTS: Final = ("tests/kubernetes",)
TESTS_S_MAX: Final = 5_400  # all of them take half an hour on two cores
SHORT: Final = ("tests/kubernetes/test_image.py", "tests/kubernetes/test_installed.py")
SHORT_S_MAX: Final = 900  # four minutes on a quiet machine, of which an upgrade to the last release and back takes two
INTERRUPTED: Final = 128 + signal.SIGINT  # as a shell has it
END_S_MAX: Final = 120.0  # a replica's grace period, and its namespace
ARCHIVES: Final = "ANYPOD_TEST_ARCHIVES"  # where the tests find the images' archives


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--short", action="store_true", help="what CI runs: installation, its test, and one upgrade under clients")
    parser.add_argument("--only", default="", help="tests by a part of their names, as of pytest -k")
    parser.add_argument("--keep", action="store_true", help="leave the cluster up at the end, and begin with one that was left")
    chosen = parser.parse_args()
    # Whoever ends this run ends its cluster: as with Ctrl-C, `finally` has its turn. What runs in the background would ignore that one.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, signal.default_int_handler)
    machine = find_machine()
    if isinstance(machine, str):
        return _skipped(machine, chosen)
    if find_builder() is None:
        return _skipped("there is no builder of images (a Docker engine)", chosen)
    if machine.is_up() and not chosen.keep:
        return _skipped("the cluster kit's cluster is up already, for somebody else", chosen)
    try:
        return _run(machine, chosen)
    except KeyboardInterrupt:
        return INTERRUPTED
    finally:
        if not chosen.keep:
            say("letting the cluster go")
            machine.down()


def _run(machine: Machine, chosen: argparse.Namespace) -> int:
    if not machine.is_up():
        say("getting a cluster")
        if (reason := machine.up(NODES_SHORT if chosen.short else NODES)) is not None:
            return _skipped(f"the cluster did not come up: {reason}", chosen)
    if isinstance(machine, Kit) and not chosen.short and not machine.has_alb():
        say("bringing up the stand-in for AWS load balancers")
        machine.alb("up", "--gateway")
    with TemporaryDirectory(prefix="anypod-images-") as folder:
        if (reason := _bring_images(machine, Path(folder))) is not None:
            return _skipped(reason, chosen)
        return _test(machine, Path(folder), chosen)


def _bring_images(machine: Machine, folder: Path) -> str | None:
    """Why that cannot be done here. The first image, which has nothing of the service in it, shows whether the builder works at all."""
    for recipe in recipes(folder):
        say(f"building and loading {recipe.image}")
        try:
            archive = build(recipe, folder)
        except (AssertionError, subprocess.TimeoutExpired) as error:
            if recipe.image != REDIS:
                raise
            return f"no image can be built here: {str(error).splitlines()[-1]}"
        machine.load(archive)
    return None


def _test(machine: Machine, folder: Path, chosen: argparse.Namespace) -> int:
    selected, seconds = (SHORT, SHORT_S_MAX) if chosen.short else (TESTS, TESTS_S_MAX)
    named = ["-k", chosen.only] if chosen.only else []
    command = [*machine.prefix, sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-s", *named, *selected]
    say(f"running {' and '.join(selected)}")
    # A session of its own: Ctrl-C reaches this process alone, which then ends the tests and whatever they have called.
    tests = subprocess.Popen(command, cwd=ROOT, env={**os.environ, ARCHIVES: str(folder)}, start_new_session=True)
    try:
        return tests.wait(seconds)
    except subprocess.TimeoutExpired:
        say(f"the tests took longer than {seconds} s")
        return 1
    finally:
        _end(tests)


def _end(tests: subprocess.Popen[bytes]) -> None:
    """They take back what they have installed, in a cluster that stays too."""
    if tests.poll() is None:
        say("ending the tests")
        tests.send_signal(signal.SIGINT)
        with suppress(subprocess.TimeoutExpired):
            tests.wait(END_S_MAX)
    with suppress(ProcessLookupError):
        os.killpg(tests.pid, signal.SIGKILL)
    tests.wait()


def _skipped(reason: str, chosen: argparse.Namespace) -> int:
    """What runs with everything else cannot ask for a cluster; whoever asks for its tests by name hears that there were none."""
    say(f"skipped: no tests on a cluster: {reason}")
    record(NotRun("tests on a cluster (make test-cluster SHORT=1)", missing("cluster", reason)))
    return 0 if chosen.short else 1


def say(line: str) -> None:
    print(f"{time.strftime('%H:%M:%S')} {line}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
