"""A Redis server and the only way to it.

Owns the pairing of a server with its proxy. Must not know what the server is among others, nor what is done to the line.
"""

import random
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Final

from tests.chaos.link import Link, joined
from tests.chaos.proxy import Proxy
from tests.support.redis_servers import RedisServer, free_port

CONNECT_S_MAX: Final = 1.0  # on one machine a server accepts within milliseconds; one that does not is refused
PASSWORD: Final = "of-the-tests"
# What was answered stands on the disk; the file is the truth that clients are compared with, so nothing may rewrite it.
REDIS_OPTIONS: Final = (
    *("--appendfsync", "always", "--auto-aof-rewrite-percentage", "0", "--maxmemory-policy", "noeviction", "--loglevel", "warning"),
)


def users(names: Iterable[str]) -> tuple[str, ...]:
    """Options of a server that knows these callers by name: so a line tells whose it is."""
    return tuple(word for name in names for word in ("--user", name, "on", f">{PASSWORD}", "~*", "&*", "+@all"))


class ProxiedRedis:
    """`port`: where everybody but us reaches the server. It may be known before the server is."""

    def __init__(self, rng: random.Random) -> None:
        self.proxy = Proxy(free_port(), self._dial, rng)
        self.server: RedisServer

    @property
    def port(self) -> int:
        return self.proxy.port

    async def _dial(self, link: Link) -> bool:
        return await joined(link, self.server.port, CONNECT_S_MAX)


@asynccontextmanager
async def carried(proxies: Sequence[Proxy]) -> AsyncIterator[None]:
    """They carry inside. Raises OSError when a port is another's."""
    async with AsyncExitStack() as stack:
        for proxy in proxies:
            await stack.enter_async_context(proxy.accepting())
        yield
