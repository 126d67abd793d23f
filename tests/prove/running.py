"""`anypod prove` as people run it: a process of its own.

Owns the command line and the wait for its end. Must not know what is expected of it.
"""

import asyncio
import json
import os
import sys
from pathlib import Path
from typing import Any, NamedTuple

from tests.support.replica_process import credential

PROVE_S_MAX = 90.0
SECRETS = ("PROVE_TOKEN", "PROVE_FOREIGN_TOKEN", "PROVE_NEIGHBOUR_TOKEN", "PROVE_NARROWED_TOKEN", "ANYPOD_JWT_SECRET")


class Ended(NamedTuple):
    code: int
    output: str  # both streams


def prover(*, sessions: tuple[str, ...] = ("prove-*",)) -> str:
    return credential("acme", "prover", sessions=sessions)


def neighbour() -> str:
    """Another subject of the same tenant, which may do everything in what it creates."""
    return credential("acme", "neighbour")


def narrowed() -> str:
    """The prover's own, for other sessions."""
    return credential("acme", "prover", sessions=["elsewhere-*"])


async def start(*options: str, shown: str | None = None, secret: str | None = None, **outsiders: str | None) -> asyncio.subprocess.Process:
    secrets = (shown, *(outsiders.get(name) for name in ("foreign", "neighbour", "narrowed")), secret)
    kept = {name: value for name, value in os.environ.items() if not name.startswith("ANYPOD_") and name not in SECRETS}
    given = {name: value for name, value in zip(SECRETS, secrets, strict=True) if value is not None}
    return await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "anypod", "prove", *options),
        env={**kept, **given},
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )


async def end(process: asyncio.subprocess.Process) -> Ended:
    async with asyncio.timeout(PROVE_S_MAX):
        output, _ = await process.communicate()
    assert process.returncode is not None
    return Ended(process.returncode, output.decode())


async def prove(*options: str, shown: str | None = None, secret: str | None = None, **outsiders: str | None) -> Ended:
    """`shown`, `outsiders` (foreign, neighbour, narrowed): credentials, `secret`: of the service itself; given by the environment."""
    return await end(await start(*options, shown=shown, secret=secret, **outsiders))


def report_in(path: Path) -> Any:
    return json.loads(path.read_text())["report"]
