"""Where the server is and how to be let in.

Owns the reading of a Redis URL and the first words on a new connection. Must not know what the connection is for.
The name is resolved anew for each connection: a restarted server may have another address.
"""

import asyncio
import ssl
from collections.abc import Callable
from dataclasses import dataclass
from urllib.parse import unquote, urlsplit

from anypod.core.errors import AnypodError
from anypod.redis_store.connection import Connection, pack
from anypod.redis_store.options import RedisOptions
from anypod.redis_store.replies import checked


@dataclass(frozen=True, slots=True)
class Address:
    host: str
    port: int
    username: str | None
    password: str | None
    database: int
    tls: ssl.SSLContext | None

    @classmethod
    def parse(cls, options: RedisOptions) -> "Address":
        """Raises AnypodError when the URL is not one of Redis."""
        try:
            url = urlsplit(options.url)
            database, port = int(url.path.strip("/") or 0), url.port or 6379
        except ValueError as exc:
            raise _unusable() from exc
        if url.scheme not in ("redis", "rediss") or not url.hostname:
            raise _unusable()
        tls = ssl.create_default_context(cafile=options.tls_ca_file) if url.scheme == "rediss" else None
        username, password = url.username and unquote(url.username), url.password and unquote(url.password)
        return cls(url.hostname, port, username or None, password or None, database, tls)


def _unusable() -> AnypodError:
    return AnypodError("unavailable", "the Redis URL must look like redis://[user:password@]host[:port][/database], or rediss:// with TLS")


async def dial(address: Address, options: RedisOptions, on_lost: Callable[[], None]) -> Connection:
    """A connection that is let in. Raises OSError, TimeoutError or AnypodError."""
    async with asyncio.timeout(options.connect_s):
        _, connection = await asyncio.get_running_loop().create_connection(
            lambda: Connection(options.reply_s, on_lost), address.host, address.port, ssl=address.tls
        )
        try:
            if address.password is not None:
                checked(await connection.ask(pack("AUTH", address.username or "default", address.password)))
            if address.database:
                checked(await connection.ask(pack("SELECT", address.database)))
            await connection.ask(pack("CLIENT", "SETNAME", "anypod"))  # for whoever lists clients; may be refused
        except BaseException:
            connection.abort()
            raise
    return connection
