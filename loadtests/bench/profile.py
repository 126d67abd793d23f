"""`python -m loadtests.bench.profile`: where a row's time goes, as a flame graph.

Owns py-spy and its files. Must not know what is measured. The server is watched from its start to its end, while the row is
measured once on our side; what it does while it is idle is left out.
"""

import argparse
import asyncio
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import Final

import uvloop
from loadtests.bench.__main__ import ROOT, raise_file_limit, say
from loadtests.bench.bench import Bench, Row
from loadtests.bench.cores import choose_cores
from loadtests.bench.rows import ROWS
from loadtests.bench.scale import FULL
from loadtests.bench.store import find_redis

RATE_HZ: Final = 500
WRITE_S_MAX: Final = 30.0  # for py-spy to write what it saw
ENDINGS: Final = {"flamegraph": "svg", "raw": "txt", "speedscope": "json"}


class Watch:
    """A py-spy for each server that starts."""

    def __init__(self, program: str, folder: Path, row: str, form: str) -> None:
        self._program = program
        self._stem = folder / f"profile-{row}"
        self._form = form
        self._watching: list[subprocess.Popen[bytes]] = []
        self.files: list[Path] = []

    def begin(self, pid: int) -> None:
        path = self._stem.with_name(f"{self._stem.name}-{len(self.files) + 1}.{ENDINGS[self._form]}")
        # Not blocking: a server that is stopped five hundred times a second does something else than one that runs.
        fixed = ("--nonblocking", "--rate", str(RATE_HZ), "--duration", "unlimited")
        command = (self._program, "record", *fixed, "--format", self._form, "--output", str(path), "--pid", str(pid))
        self._watching.append(subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL))
        self.files.append(path)

    def end(self) -> None:
        """py-spy writes its file when it is interrupted, or when the server has gone."""
        for watching in self._watching:
            if watching.poll() is None:
                watching.send_signal(signal.SIGINT)
        for watching in self._watching:
            watching.wait(WRITE_S_MAX)
        self._watching.clear()


async def profile(row: Row, bench: Bench, watch: Watch) -> None:
    async with row.open(bench) as sides:
        samples = await sides.ours()
        watch.end()
    for check, sample in zip(row.checks, samples, strict=True):
        say(f"{check.name}: {sample.value:,.4g} {check.unit}, slower than without being watched")


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m loadtests.bench.profile", description="Draw a flame graph of the server under a row's load."
    )
    parser.add_argument("--row", required=True, choices=list(ROWS))
    parser.add_argument("--format", choices=list(ENDINGS), default="flamegraph")
    parser.add_argument("--folder", type=Path, default=ROOT / ".bench")
    given = parser.parse_args()
    redis, program = find_redis(), shutil.which("py-spy", path=f"{Path(sys.executable).parent}{os.pathsep}{os.defpath}")
    if redis is None or program is None:
        say("this needs redis-server on PATH and py-spy in the environment")
        return 2
    raise_file_limit()
    cores = choose_cores()
    os.sched_setaffinity(0, {cores.client})
    given.folder.mkdir(parents=True, exist_ok=True)
    watch = Watch(program, given.folder, given.row, given.format)
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="anypod-bench-")))
        runner = stack.enter_context(asyncio.Runner(loop_factory=uvloop.new_event_loop))
        bench = Bench(cores, FULL, folder, redis, None, watch.begin)
        runner.run(profile(ROWS[given.row], bench, watch))
    for path in watch.files:
        say(f"written: {path}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
