"""Where the server is.

Owns what a connection asks before it is made, and for a server that never moves the answer. Must not know connections.
"""

import asyncio
from typing import Protocol

from anypod.redis_store.address import Address


class Place(Protocol):
    """Shared by all connections to one server."""

    async def find(self) -> Address:
        """Where the server is now. Raises AnypodError `unavailable` when nobody knows."""

    async def left(self, address: Address) -> None:
        """Returns once the server is known to be elsewhere."""

    def close(self) -> None: ...


class Fixed:
    """An address that always holds: the name in it may lead elsewhere, which each new connection finds out."""

    def __init__(self, address: Address) -> None:
        self._address = address

    async def find(self) -> Address:
        return self._address

    async def left(self, address: Address) -> None:
        await asyncio.get_running_loop().create_future()  # never

    def close(self) -> None:
        """Nothing is held."""
