"""The handshake of a new connection: AUTH, HELLO, the role of the server, its eviction policy.

Owns the way to a connection that is let in, the check that it leads to a primary, and the check that the server evicts nothing
(`maxmemory-policy noeviction`). Must not know what the connection is for.
"""

import asyncio
import re
from collections.abc import Callable
from typing import Final

import hiredis

from anypod.core.errors import AnypodError
from anypod.redis_store.config import RedisOptions
from anypod.redis_store.url import ServerAddress
from anypod.redis_store.wire.connection import Connection, pack
from anypod.redis_store.wire.errors import checked, is_denied

PRIMARY: Final = b"master"  # what a server calls itself that may be written
POLICY: Final = "noeviction"


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
            await connection.ask(pack("CLIENT", "SETNAME", "anypod"))  # for an operator who lists clients; may be refused
        except BaseException:
            connection.abort()
            raise
    return connection


async def check_primary(connection: Connection) -> None:
    """Asked on the connection itself: between finding an address and using it the server may have lost its place. Raises AnypodError."""
    role = await connection.ask(pack("ROLE"))
    if isinstance(role, list) and role[0] != PRIMARY:
        raise AnypodError("unavailable", "the server is a replica")
    # An error: a user that may not ask for the role finds out by READONLY.


def judge_policy(policy: str) -> None:
    """Raises AnypodError `unavailable`."""
    if policy != POLICY:
        line = f"the server evicts keys when it is full (maxmemory-policy {policy}); set it to {POLICY}, or sessions are lost"
        raise AnypodError("unavailable", line)


async def check_policy(connection: Connection, *, is_vouched: bool = False) -> None:
    """Of whatever server this turned out to be: it may have joined, or taken over, after the start. Raises AnypodError.

    `is_vouched`: where the server does not tell, its operator has said that it is well.
    """
    reply = await connection.ask(pack("CONFIG", "GET", "maxmemory-policy"))
    if isinstance(reply, list) and len(reply) == 2 and isinstance(reply[1], bytes):
        judge_policy(reply[1].decode())
        return
    info = await connection.ask(pack("INFO", "memory"))  # managed services forbid CONFIG and still tell it here
    if is_vouched and isinstance(info, hiredis.ReplyError) and is_denied(str(info)):
        return
    told = checked(info)
    assert isinstance(told, bytes)
    found = re.search(rb"maxmemory_policy:([\w-]+)", told)
    judge_policy(found[1].decode() if found else "unknown")
