"""Servers under load: the product as it is shipped, and a plain application.

Owns their commands, settings and ports. Must not know the loads. Whatever a row exceeds is raised for both sides and named
here: publishes of a connection, events of a session. Everything else is as it is shipped.
"""

import http.client
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Final

from loadtests.bench.dialect import AnypodDialect, Dialect
from loadtests.bench.process import Process, free_port
from loadtests.bench.source import Source
from loadtests.bench.store import Redis

from anypod.devcluster.ports import LOOPBACK

PUBLISH_PER_S: Final = 1_000_000  # the limit of a connection is not what a row is about
ARRIVALS: Final = ("accepts_per_s", "resumes_per_s", "fresh_attaches_per_s", "tenant_attaches_per_s", "subject_attaches_per_s")
ARRIVALS_PER_S: Final = 1_000_000  # rows measure what a replica can do, not what it is set to let in
ALLOWANCES: Final = (
    "subject_permits_per_s",
    "tenant_permits_per_s",
    "subject_read_bytes_per_s",
    "tenant_read_bytes_per_s",
    "subject_connections_max",
    "tenant_connections_max",
    "connections_max",
    "bytes_per_session_max",
    "bytes_per_subject_max",
    "bytes_per_tenant_max",
)
ALLOWANCE: Final = 1 << 40  # counted, and never used up
EVENTS_MAX: Final = 50_000_000  # nor is the quota of a session, which the fan-out fills in a second


class Server:
    """Something with an address that a load may come to. `pid` is of the process that does the work."""

    def __init__(self, name: str, dialect: Dialect, process: Process, *, port: int, ready_port: int | None = None) -> None:
        self.name = name
        self.dialect = dialect
        self.port = port
        self._process = process
        self._ready = ready_port or port
        self.on_start: Callable[[int], None] = lambda pid: None

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def core(self) -> int:
        return self._process.core

    def start(self) -> None:
        self._process.start(self.is_ready)
        self.on_start(self.pid)

    def stop(self) -> None:
        self._process.stop()

    def is_ready(self) -> bool:
        return _status(self._ready, "/healthz/ready" if self._ready != self.port else "/health") == 200


def anypod(name: str, store: Redis, folder: Path, core: int, source: Source | None = None, /, **settings: str) -> Server:
    """One replica, by the command that people use. `source`: whose code it runs, where that is not this tree's as it is installed."""
    port, admin_port = free_port(), free_port()
    given = {
        "dev": "true",
        "host": LOOPBACK,
        "port": str(port),
        "admin_port": str(admin_port),
        "replica": name,
        "redis_url": f"redis://{LOOPBACK}:{store.port}/0",
        "publish_per_s": str(PUBLISH_PER_S),
        **dict.fromkeys(ARRIVALS, str(ARRIVALS_PER_S)),
        "events_per_session_max": str(EVENTS_MAX),
        **dict.fromkeys(ALLOWANCES, str(ALLOWANCE)),
        "log_format": "text",
        **settings,
    }
    known = given if source is None else {setting: value for setting, value in given.items() if setting in source.settings}
    variables = {f"ANYPOD_{setting.upper()}": value for setting, value in known.items()} | dict(source.variables if source else {})
    process = Process((sys.executable, "-m", "anypod", "serve"), output=folder / f"{name}-{port}.log", core=core, variables=variables)
    return Server("anypod", AnypodDialect(), process, port=port, ready_port=admin_port)


def plain(dialect: Dialect, folder: Path, core: int) -> Server:
    """The reference application, served as uvicorn's documentation says."""
    port = free_port()
    command = (sys.executable, "-m", "uvicorn", "loadtests.bench.plain_app:app", "--host", LOOPBACK, "--port", str(port))
    process = Process((*command, "--log-level", "error"), output=folder / f"plain-{port}.log", core=core)
    return Server("plain ASGI", dialect, process, port=port)


def _status(port: int, path: str) -> int | None:
    connection = http.client.HTTPConnection(LOOPBACK, port, timeout=1.0)
    try:
        connection.request("GET", path)
        return connection.getresponse().status
    except OSError:
        return None
    finally:
        connection.close()
