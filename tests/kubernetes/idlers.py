"""Clients that are there and say nothing: thousands of sockets from one process.

Owns the sockets. Must not know what a replica makes of them.
"""

import asyncio
from collections.abc import Sequence
from typing import Final
from urllib.parse import urlsplit

from loadtests.bench.connection import Connection
from loadtests.bench.dialect import TAIL, AnypodDialect
from tests.kubernetes.release import TENANT

OPEN_AT_ONCE: Final = 50
OPEN_S_MAX: Final = 60.0


class Idler(Connection):
    """It hears heartbeats, and does not answer."""

    __slots__ = ()

    def received(self, data: bytes) -> None:
        """Nobody listens."""


async def arrive(url: str, credentials: Sequence[str]) -> list[Idler]:
    """One client for each credential, each to a session of its own."""
    address, dialect, loop = urlsplit(url), AnypodDialect(), asyncio.get_running_loop()
    assert address.hostname is not None
    idlers: list[Idler] = []
    async with asyncio.timeout(OPEN_S_MAX):
        for start in range(0, len(credentials), OPEN_AT_ONCE):
            group = [
                Idler(dialect, f"{TENANT}-idle-{number}", credential, TAIL)
                for number, credential in enumerate(credentials[start : start + OPEN_AT_ONCE], start)
            ]
            for idler in group:
                await loop.create_connection(lambda idler=idler: idler, address.hostname, address.port or 80)  # type: ignore[misc]
            await asyncio.gather(*(idler.ready for idler in group))
            idlers += group
    return idlers


def leave(idlers: Sequence[Idler]) -> None:
    for idler in idlers:
        idler.transport.abort()
