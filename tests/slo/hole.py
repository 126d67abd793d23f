"""A link that can fall silent: everything that is sent over it is swallowed, and no connection ends.

Owns the link. Must not know who talks over it. New connections are made too, and hear nothing: as behind a router that died.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Final

from tests.support.redis_servers import LOOPBACK, free_port

READ_BYTES: Final = 1 << 16


class Hole:
    def __init__(self, target: int, tasks: asyncio.TaskGroup) -> None:
        self.port = free_port()
        self.is_silent = False
        self._target = target
        self._tasks = tasks
        self._carried: list[asyncio.Task[None]] = []

    def accept(self, reader: asyncio.StreamReader, client: asyncio.StreamWriter) -> None:
        self._carried.append(self._tasks.create_task(self._carry(reader, client)))

    def end(self) -> None:
        for task in self._carried:
            task.cancel()

    async def _carry(self, reader: asyncio.StreamReader, client: asyncio.StreamWriter) -> None:
        answers, server = await asyncio.open_connection(LOOPBACK, self._target)
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._pass_on(reader, server))
                tasks.create_task(self._pass_on(answers, client))
        finally:
            client.transport.abort()
            server.transport.abort()

    async def _pass_on(self, source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError):  # an end like any other
            while data := await source.read(READ_BYTES):
                if not self.is_silent:
                    target.write(data)
        if not self.is_silent:
            target.transport.abort()


@contextlib.asynccontextmanager
async def hole_before(target: int) -> AsyncIterator[Hole]:
    async with asyncio.TaskGroup() as tasks:
        hole = Hole(target, tasks)
        server = await asyncio.start_server(hole.accept, LOOPBACK, hole.port)
        try:
            yield hole
        finally:
            server.close()
            hole.end()
