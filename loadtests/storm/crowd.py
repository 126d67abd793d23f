"""The two crowds of a storm: the one that is cut and the one that comes back, each a process of its own.

Owns their processes and what they tell. Must not know what a storm is judged by. The crowd that is cut is killed: the kernel
closes all its connections in one go, as when a machine on the way dies. The other one has made whatever it can make before.
"""

import asyncio
import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal

from loadtests.bench.loads.resume import Place

Side = Literal["cut", "back"]

LINE_S_MAX: Final = 150.0  # until a crowd has said what it has to say: thousands attach, or come back


@dataclass(frozen=True, slots=True)
class Back:
    """How long it took until the last one was back, and how many were told to come again later."""

    took_s: float
    told: int


class Crowd:
    """Client i comes to the i-th place, over and over."""

    def __init__(self, side: Side, port: int, places: Sequence[Place], clients: int) -> None:
        self._command = (sys.executable, "-m", "loadtests.storm.returners", side, str(port), str(clients), json.dumps(places))
        self._process: asyncio.subprocess.Process

    async def start(self) -> None:
        """Returns when it is ready: attached, or about to come."""
        pipe = asyncio.subprocess.PIPE
        self._process = await asyncio.create_subprocess_exec(*self._command, stdin=pipe, stdout=pipe)
        await self._line()

    async def come_back(self) -> Back:
        assert self._process.stdin is not None
        self._process.stdin.write(b"now\n")
        return Back(**json.loads(await self._line()))

    def cut(self) -> None:
        self._process.kill()

    async def end(self) -> None:
        if self._process.returncode is None:
            self._process.kill()
        await self._process.wait()

    async def _line(self) -> bytes:
        assert self._process.stdout is not None
        async with asyncio.timeout(LINE_S_MAX):
            line = await self._process.stdout.readline()
        assert line, "the crowd ended by itself"
        return line
