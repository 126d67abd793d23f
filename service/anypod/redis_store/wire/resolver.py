"""Where the server is.

Owns what a connection asks before it is made, and for a server that never moves the answer. Must not know connections.
"""

import asyncio
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Protocol

from anypod.redis_store.url import ServerAddress

OnLeft = Callable[[], None]


class AddressResolver(Protocol):
    """Shared by all connections to one server."""

    async def find(self) -> ServerAddress:
        """Where the server is now. Raises AnypodError `unavailable` when no server knows."""

    def watched(self, address: ServerAddress, on_left: OnLeft) -> AbstractContextManager[None]:
        """Inside, `on_left` is called as soon as it is known that the server is elsewhere; at once, if it is known already."""

    async def verify_primary(self) -> None:
        """Ask now: connections to another server have been left when this returns."""

    def close(self) -> None: ...


class StaticAddress:
    """An address that always holds: the name in it may lead elsewhere, which each new connection finds out."""

    def __init__(self, address: ServerAddress) -> None:
        self._address = address

    async def find(self) -> ServerAddress:
        return self._address

    def watched(self, address: ServerAddress, on_left: OnLeft) -> AbstractContextManager[None]:
        return nullcontext()

    async def verify_primary(self) -> None:
        """There is no other."""

    async def follow(self) -> None:
        await asyncio.get_running_loop().create_future()  # never

    def close(self) -> None:
        """Nothing is held."""
