"""One replica of the cluster, as a process of its own.

Owns its name, its two ports and its environment. Must not know the other replicas.
"""

import asyncio
import sys

from anypod.devcluster.balancer import Upstream
from anypod.devcluster.environment import DEV
from anypod.devcluster.ports import LOOPBACK, Ports, is_free
from anypod.devcluster.process import Command, SupervisedProcess, Surroundings
from anypod.devcluster.state_file import ReplicaRow

FIRST_PORT = 8101
FIRST_ADMIN_PORT = 9101
PROBE_S_MAX = 1.0

SERVE = (sys.executable, "-m", "anypod", "serve")


def serve_command(argv: tuple[str, ...], own_redis_url: str | None) -> Command:
    """None: the Redis is the one that our own environment names, and a replica finds it there."""
    return Command(argv, {**DEV, **({"ANYPOD_REDIS_URL": own_redis_url} if own_redis_url else {})})


class ReplicaProcess:
    """`command` and its variables start it, whatever its ports are."""

    def __init__(self, name: str, command: Command, ports: Ports, around: Surroundings) -> None:
        self.name = name
        self._serve = command
        self._ports = ports
        self._port = ports.claim(FIRST_PORT)
        self._admin_port = ports.claim(FIRST_ADMIN_PORT)
        self.child = SupervisedProcess(name, self._command, around)

    @property
    def address(self) -> Upstream:
        return Upstream(LOOPBACK, self._port)

    @property
    def row(self) -> ReplicaRow:
        url, admin_url = (f"http://{LOOPBACK}:{port}" for port in (self._port, self._admin_port))
        return ReplicaRow(self.name, url, admin_url, self.child.pid)

    async def is_ready(self) -> bool:
        """What the admin port says at /healthz/ready."""
        try:
            async with asyncio.timeout(PROBE_S_MAX):
                reader, writer = await asyncio.open_connection(LOOPBACK, self._admin_port)
                try:
                    writer.write(b"GET /healthz/ready HTTP/1.1\r\nHost: %b\r\nConnection: close\r\n\r\n" % LOOPBACK.encode())
                    status = await reader.readline()
                finally:
                    writer.close()
        except (OSError, TimeoutError):
            return False
        return b" 200 " in status

    def _command(self) -> Command:
        """Checked at every start: another process may have taken a port while the replica was down."""
        if not is_free(self._port):
            self._port = self._ports.claim(FIRST_PORT)
        if not is_free(self._admin_port):
            self._admin_port = self._ports.claim(FIRST_ADMIN_PORT)
        variables = {
            **self._serve.variables,
            "ANYPOD_REPLICA": self.name,
            "ANYPOD_PORT": str(self._port),
            "ANYPOD_ADMIN_PORT": str(self._admin_port),
        }
        return Command(self._serve.argv, variables)
