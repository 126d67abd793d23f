"""One process of the cluster: started, started again when it dies, ended for good.

Owns the process and its log file. Must not know what the process does.
"""

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from anypod.clock import Clock
from anypod.devcluster import leash
from anypod.devcluster.environment import environment

POLL_S = 0.05  # how late a death may be noticed: far below the 2 s in which the successor must be there
STOP_S_MAX = 8.0  # a replica drains in about a second here; beyond this it is killed
QUICK_DEATH_S = 5.0  # a process that lived shorter than this may die again at once
RESTART_S_STEP = 0.5
RESTART_S_MAX = 1.5  # with a process' own start still within the promised 2 s
LOG_TAIL_LINES = 12  # what a person needs to see why a process did not start


@dataclass(frozen=True, slots=True)
class Command:
    argv: tuple[str, ...]
    variables: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What all processes of a cluster share. `changed` is called whenever a process id has changed."""

    logs: Path
    clock: Clock
    say: Callable[[str], None]
    changed: Callable[[], None]


class SupervisedProcess:
    """`command` is asked at every start: a port may have been taken meanwhile."""

    def __init__(self, name: str, command: Callable[[], Command], around: Surroundings) -> None:
        self.name = name
        self.log_path = around.logs / f"{name}.log"
        self.deaths = 0
        self._command = command
        self._around = around
        self._process: subprocess.Popen[bytes] | None = None
        self._quick_deaths = 0

    @property
    def pid(self) -> int | None:
        return self._process.pid if self._process else None

    async def keep(self) -> None:
        """Keep the process running until this is cancelled; then end it."""
        clock = self._around.clock
        try:
            while True:
                started_s = clock.now()
                process = self._start()
                while process.poll() is None:
                    await clock.sleep(POLL_S)
                self._note_death(process, clock.now() - started_s)
                await clock.sleep(min(RESTART_S_STEP * self._quick_deaths, RESTART_S_MAX))
        finally:
            await self._stop()

    def kill(self) -> None:
        """End it at once, by force."""
        if self._process and self._process.poll() is None:
            self._process.kill()

    def log_tail(self) -> str:
        lines = self.log_path.read_text(errors="replace").splitlines() if self.log_path.exists() else []
        return "\n".join(f"  {line}" for line in lines[-LOG_TAIL_LINES:])

    def _start(self) -> subprocess.Popen[bytes]:
        command = self._command()
        on_leash = (sys.executable, "-I", "-S", leash.__file__, str(os.getpid()), *command.argv)
        with self.log_path.open("ab") as output:
            self._process = subprocess.Popen(  # noqa: S603  The command is ours, and no shell reads it.
                on_leash,
                env=environment(command.variables),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # the terminal's Ctrl-C is for the starter, which ends its processes in order
            )
        self._around.changed()
        return self._process

    def _note_death(self, process: subprocess.Popen[bytes], lived_s: float) -> None:
        self.deaths += 1
        self._quick_deaths = self._quick_deaths + 1 if lived_s < QUICK_DEATH_S else 0
        self._around.say(f"{self.name} (pid {process.pid}) {_cause(process.returncode)}: starting it again, its log is {self.log_path}")

    async def _stop(self) -> None:
        process, clock = self._process, self._around.clock
        if process is None:
            return
        if process.poll() is None:
            process.terminate()
        give_up_s = clock.now() + STOP_S_MAX
        while process.poll() is None:
            if clock.now() > give_up_s:
                process.kill()
            await clock.sleep(POLL_S)


def _cause(code: int) -> str:
    return f"ended with exit code {code}" if code >= 0 else f"was killed by {signal.Signals(-code).name}"
