"""Replicas as real processes, as `anypod serve` runs them.

Owns the processes, their ports and their output. Must not know what is asked of a replica.
"""

import atexit
import http.client
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Final

from anypod.auth.mint import mint
from anypod.auth.principal import RIGHTS_BY_DEFAULT, Principal, Right
from anypod.core.identity import Subject, TenantId
from anypod.devcluster import leash
from anypod.devcluster.ports import LOOPBACK, Ports

SECRET: Final = "a-secret-of-the-tests-which-is-long-enough"
FIRST_PORT: Final = 12_000  # away from those of `anypod dev` and of the tests' Redis servers, and below those of outgoing connections
START_S_MAX: Final = 30.0  # a loaded machine imports for seconds
END_S_MAX: Final = 15.0
POLL_S: Final = 0.02
CUT_SHORT: Final = "ASGI callable returned without completing response"  # uvicorn's word for a stream whose stalled reader was cut
OUTPUT_LINES_SHOWN: Final = 30

_ports: Final = Ports()  # claims hold against other test processes too, until this one ends
atexit.register(_ports.close)


class Process:
    """`command` is what runs; it never outlives the tests."""

    def __init__(self, command: Sequence[str], variables: Mapping[str, str], output: Path) -> None:
        self._command = command
        self._variables = variables
        self._output = output
        self._running: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        assert self._running is not None
        return self._running.pid

    @property
    def is_running(self) -> bool:
        return self._running is not None and self._running.poll() is None

    @property
    def output(self) -> str:
        return self._output.read_text(errors="replace") if self._output.exists() else ""

    def start(self) -> None:
        assert not self.is_running
        kept = {name: value for name, value in os.environ.items() if not name.startswith("ANYPOD_")}
        with self._output.open("ab") as output:
            self._running = subprocess.Popen(
                (sys.executable, "-I", "-S", leash.__file__, str(os.getpid()), *self._command),
                env={**kept, **self._variables},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
            )

    def send(self, number: signal.Signals) -> None:
        if self.is_running:
            os.kill(self.pid, number)

    def kill(self) -> None:
        """End it by force, and wait until it has gone."""
        self.send(signal.SIGKILL)
        self.wait()

    def stop(self) -> int:
        """Ask it to end; its exit code."""
        self.send(signal.SIGTERM)
        return self.wait()

    def wait(self) -> int:
        assert self._running is not None
        try:
            return self._running.wait(END_S_MAX)
        except subprocess.TimeoutExpired:
            self._running.kill()
            self._running.wait()
            raise AssertionError(f"process {self.pid} did not end within {END_S_MAX} s:\n{self._tail()}") from None

    def until(self, is_so: Callable[[], bool], what: str) -> None:
        give_up_at = time.monotonic() + START_S_MAX
        while not is_so():
            assert self.is_running, f"it ended before it was {what}:\n{self._tail()}"
            assert time.monotonic() < give_up_at, f"not {what} within {START_S_MAX} s:\n{self._tail()}"
            time.sleep(POLL_S)

    def _tail(self) -> str:
        return "\n".join(self.output.splitlines()[-OUTPUT_LINES_SHOWN:])


class Replica(Process):
    """One replica. `settings` are those of `anypod config`, in lower case and without prefix."""

    def __init__(self, name: str, settings: Mapping[str, str], directory: Path) -> None:
        self.name = name
        self.port = _ports.claim(FIRST_PORT)
        self.admin_port = _ports.claim(FIRST_PORT)
        given = {
            "host": LOOPBACK,
            "port": str(self.port),
            "admin_port": str(self.admin_port),
            "replica": name,
            "jwt_secret": SECRET,
            "ready_wait_s": "0",
            "drain_s": "0.5",
            "grace_s": "10",
            "log_format": "text",
            **settings,
        }
        variables = {f"ANYPOD_{setting.upper()}": value for setting, value in given.items()}
        super().__init__((sys.executable, "-m", "anypod", "serve"), variables, directory / f"{name}.log")

    def set(self, setting: str, value: str) -> None:
        """For the next start."""
        self._variables = {**self._variables, f"ANYPOD_{setting.upper()}": value}

    @property
    def url(self) -> str:
        return f"http://{LOOPBACK}:{self.port}"

    @property
    def admin_url(self) -> str:
        return f"http://{LOOPBACK}:{self.admin_port}"

    def start(self, *, is_awaited: bool = True) -> None:
        super().start()
        if is_awaited:
            self.until_ready()

    def until_ready(self) -> None:
        self.until(self.is_ready, "ready")

    def is_ready(self) -> bool:
        connection = http.client.HTTPConnection(LOOPBACK, self.admin_port, timeout=1.0)
        try:
            connection.request("GET", "/healthz/ready")
            return connection.getresponse().status == 200
        except OSError:
            return False
        finally:
            connection.close()

    def failures(self) -> list[str]:
        """Lines of its log that no replica should ever write."""
        lines = (line for line in self.output.splitlines() if " ERROR " in line or line.startswith("Traceback"))
        return [line for line in lines if CUT_SHORT not in line]


def credential(
    tenant: str,
    subject: str,
    *,
    can: Sequence[Right] | None = None,
    sessions: Sequence[str] | None = None,
    kinds: Sequence[str] | None = None,
    ttl_s: float = 3_600.0,
    secret: str = SECRET,
) -> str:
    """A JWT that the replicas of these tests accept."""
    principal = Principal(
        tenant=TenantId(tenant),
        subject=Subject(subject),
        expires_at=time.time() + ttl_s,
        can=RIGHTS_BY_DEFAULT if can is None else frozenset(can),
        sessions=None if sessions is None else tuple(sessions),
        kinds=None if kinds is None else tuple(kinds),
    )
    return mint(principal, secret)
