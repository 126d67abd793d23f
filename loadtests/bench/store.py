"""The store of every server in turn.

Owns finding the program, its options and its life. Must not know who uses it. It keeps nothing on disk: what is measured is
the path.
"""

import shutil
import socket
from pathlib import Path
from typing import Any, Final

import hiredis
from loadtests.bench.process import Process, free_port

from anypod.devcluster.ports import LOOPBACK

ANSWER_S_MAX: Final = 5.0
RECEIVED_BYTES: Final = 1 << 18


def find_redis() -> Path | None:
    found = shutil.which("redis-server") or shutil.which("valkey-server")
    return Path(found) if found else None


class Redis:
    """A Redis or a Valkey."""

    def __init__(self, program: Path, folder: Path, core: int) -> None:
        self.port = free_port()
        options = {"bind": LOOPBACK, "port": str(self.port), "save": "", "appendonly": "no", "maxmemory-policy": "noeviction"}
        words = [word for name, value in options.items() for word in (f"--{name}", value)]
        self._process = Process((str(program), *words), output=folder / "redis.log", core=core)

    @property
    def pid(self) -> int:
        return self._process.pid

    def start(self) -> None:
        self._process.start(self._answers)

    def stop(self) -> None:
        self._process.stop()

    def ask(self, *words: str | bytes | int) -> Any:
        """One command on a connection of its own."""
        texts = [word if isinstance(word, bytes) else str(word).encode() for word in words]
        reader = hiredis.Reader()
        with socket.create_connection((LOOPBACK, self.port), timeout=ANSWER_S_MAX) as connection:
            connection.sendall(b"*%d\r\n" % len(texts) + b"".join(b"$%d\r\n%b\r\n" % (len(text), text) for text in texts))
            while (reply := reader.gets()) is False:
                reader.feed(received(connection))
        if isinstance(reply, hiredis.ReplyError):
            raise reply
        return reply

    def _answers(self) -> bool:
        try:
            return bool(self.ask("PING") == b"PONG")
        except (OSError, hiredis.ReplyError):
            return False


def received(connection: socket.socket) -> bytes:
    """What came next. Raises ConnectionError when nothing comes any more."""
    if data := connection.recv(RECEIVED_BYTES):
        return data
    raise ConnectionError("Redis has closed the connection")
