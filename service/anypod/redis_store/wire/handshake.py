"""The first words on a new connection.

Owns the way to a connection that is let in, and the question whether it leads to a primary. Must not know what it is for.
"""

import asyncio
from collections.abc import Callable
from typing import Final

from anypod.core.errors import AnypodError
from anypod.redis_store.config import RedisOptions
from anypod.redis_store.url import ServerAddress
from anypod.redis_store.wire.connection import Connection, pack
from anypod.redis_store.wire.errors import checked

PRIMARY: Final = b"master"  # what a server calls itself that may be written


async def dial(address: ServerAddress, options: RedisOptions, on_lost: Callable[[], None]) -> Connection:
    """A connection that is let in. Raises OSError, TimeoutError or AnypodError."""
    login = address.access.login()
    async with asyncio.timeout(options.connect_s):
        _, connection = await asyncio.get_running_loop().create_connection(
            lambda: Connection(options.reply_s, on_lost), *address.endpoint, ssl=address.access.tls
        )
        try:
            if login.password is not None:
                checked(await connection.ask(pack("AUTH", login.username or "default", login.password)))
            if address.database:
                checked(await connection.ask(pack("SELECT", address.database)))
            await connection.ask(pack("CLIENT", "SETNAME", "anypod"))  # for whoever lists clients; may be refused
        except BaseException:
            connection.abort()
            raise
    return connection


async def check_primary(connection: Connection) -> None:
    """Asked on the connection itself: between finding an address and using it the server may have lost its place. Raises AnypodError."""
    role = await connection.ask(pack("ROLE"))
    if isinstance(role, list) and role[0] != PRIMARY:
        raise AnypodError("unavailable", "the server is a replica")
    # An error: who may not ask for the role is told by READONLY.
