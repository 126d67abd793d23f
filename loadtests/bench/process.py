"""A process that is measured.

Owns its start on one core, its output and its end. Must not know what it serves. It cannot outlive the benchmark.
"""

import atexit
import os
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Final

from loadtests.bench.cores import pinned_to

from anypod.devcluster import leash
from anypod.devcluster.ports import Ports

START_S_MAX: Final = 30.0  # a loaded machine imports for seconds
POLL_S: Final = 0.02

FIRST_PORT: Final = 23_000  # below the range from which the kernel takes ports for outgoing connections

_ports: Final = Ports()  # claims hold until the benchmark ends, so that no two of its processes meet
atexit.register(_ports.close)


def free_port() -> int:
    return _ports.claim(FIRST_PORT)


class ProcessError(Exception):
    """It did not start, or ended by itself. The message holds the last line of its output."""


class Process:
    def __init__(self, command: Sequence[str], *, output: Path, core: int, variables: Mapping[str, str] | None = None) -> None:
        self._command = command
        self._output = output
        self.core = core
        self._variables = variables or {}
        self._running: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        assert self._running is not None
        return self._running.pid

    def start(self, is_ready: Callable[[], bool]) -> None:
        """Returns when it is ready. Raises ProcessError."""
        assert self._running is None
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("ANYPOD_", "CENTRIFUGO_"))}
        command = (sys.executable, "-I", "-S", leash.__file__, str(os.getpid()), *self._command)
        with self._output.open("ab") as output, pinned_to(self.core):
            self._running = subprocess.Popen(
                command, env={**kept, **self._variables}, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT
            )
        give_up_at = time.monotonic() + START_S_MAX
        while not is_ready():
            if self._running.poll() is not None or time.monotonic() > give_up_at:
                self.stop()
                raise ProcessError(f"{Path(self._command[0]).name} is not ready: {self._last_line()}")
            time.sleep(POLL_S)

    def stop(self) -> None:
        """By force: nothing of it is needed any more."""
        if self._running is not None:
            self._running.kill()
            self._running.wait()
            self._running = None

    def _last_line(self) -> str:
        """What a program says last is why it ends."""
        return next((line for line in reversed(self._output.read_text(errors="replace").splitlines()) if line.strip()), "it said nothing")
