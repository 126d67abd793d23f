"""Free ports of this machine for the processes of a cluster.

Owns which ports are claimed. Must not know what listens on them.
"""

import socket
import sys

from anypod.core.errors import AnypodError

LOOPBACK = "127.0.0.1"
PORT_MAX = 32_767  # above it Linux takes the ports of outgoing connections, and one of them may have ours
PORTS_TRIED_MAX = 2_000  # then something is wrong that a further port would not mend


class Ports:
    """Ports stay claimed for as long as this object lives, so that two clusters started at once do not meet."""

    def __init__(self) -> None:
        self._claims: dict[int, socket.socket] = {}

    def claim(self, first: int) -> int:
        """The first port from `first` on that is free and that no other cluster has claimed."""
        for port in range(first, min(first + PORTS_TRIED_MAX, PORT_MAX + 1)):
            if port not in self._claims and is_free(port) and self._claim(port):
                return port
        raise AnypodError("unavailable", f"no free port from {first} on: end what listens there, or choose other ports")

    def close(self) -> None:
        for claim in self._claims.values():
            claim.close()
        self._claims.clear()

    def _claim(self, port: int) -> bool:
        """A name in Linux's abstract namespace: one owner, no file, gone with the process."""
        claim = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            if sys.platform == "linux":
                claim.bind(f"\0anypod-port-{port}")
        except OSError:
            claim.close()
            return False
        self._claims[port] = claim
        return True


def is_free(port: int) -> bool:
    try:
        bind(port).close()
    except OSError:
        return False
    return True


def bind(port: int) -> socket.socket:
    """A socket that is bound but does not listen yet. Raises OSError when the port is taken."""
    bound = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    try:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # connections of a previous run may linger
        bound.bind((LOOPBACK, port))
    except OSError:
        bound.close()
        raise
    return bound
