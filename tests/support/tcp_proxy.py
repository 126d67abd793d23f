"""A TCP proxy on a link, to break it in the ways that networks do.

Owns the connections and what is swallowed or cut of them. Must not know protocols, but for two words: a feed's connection asks for
SSUBSCRIBE, and a test may name bytes at which a connection is cut.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from tests.support.redis_servers import free_port

FEED_WORD = b"SSUBSCRIBE"


class _Link:
    def __init__(self, client: asyncio.StreamWriter, server: asyncio.StreamWriter) -> None:
        self.client = client
        self.server = server
        self.is_feed = False
        self.is_doomed = False
        self.is_deaf = False

    def close(self) -> None:
        for writer in (self.client, self.server):
            writer.transport.abort()


class Proxy:
    """`holds_replies`: what the server answers is swallowed, but for feeds; `holds_requests`: what clients send. `is_silent`: both are,
    feeds and ends of connections too, and new connections are accepted, as behind a router that died. `cuts_before`: the connection that
    carries these bytes is cut before the server gets them; `cuts_after`: once the server has answered."""

    def __init__(self, target: int) -> None:
        self.port = free_port()
        self.holds_replies = False
        self.holds_requests = False
        self.is_silent = False
        self.cuts_before: bytes | None = None
        self.cuts_after: bytes | None = None
        self.swallowed = 0
        self.target = target
        self._is_closed = False
        self._links: set[_Link] = set()
        self._serving: set[asyncio.Task[None]] = set()

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}"

    def release(self) -> None:
        """Let everything through again, on new connections: a stream with a hole in it is worth nothing."""
        self.holds_replies = self.holds_requests = self.is_silent = False
        self.cut()

    def deafen_feeds(self) -> None:
        """From now on the feeds that there are hear nothing more, on connections that stay open."""
        for link in self._links:
            link.is_deaf = link.is_feed

    def cut(self) -> None:
        for link in list(self._links):
            link.close()

    def accept(self, reader: asyncio.StreamReader, client: asyncio.StreamWriter) -> None:
        task = asyncio.create_task(self._serve(reader, client))
        self._serving.add(task)
        task.add_done_callback(self._serving.discard)

    async def close(self) -> None:
        """Returns when no connection is left: the loop may end then. One that we make comes after all that wait to be accepted."""
        self._is_closed = True
        reader, last = await asyncio.open_connection("127.0.0.1", self.port)
        await reader.read()
        last.transport.abort()
        self.cut()
        await asyncio.gather(*self._serving)

    async def _serve(self, reader: asyncio.StreamReader, client: asyncio.StreamWriter) -> None:
        try:
            answers, server = await asyncio.open_connection("127.0.0.1", self.target)
        except OSError:
            client.transport.abort()
            return
        link = _Link(client, server)
        if self._is_closed:
            link.close()
        self._links.add(link)
        try:
            await asyncio.gather(self._requests(reader, link), self._replies(answers, link))
        finally:
            link.close()
            self._links.discard(link)

    async def _requests(self, reader: asyncio.StreamReader, link: _Link) -> None:
        with suppress(OSError):
            while data := await reader.read(1 << 16):
                link.is_feed = link.is_feed or FEED_WORD in data
                if self.cuts_before is not None and self.cuts_before in data:
                    break
                link.is_doomed = link.is_doomed or (self.cuts_after is not None and self.cuts_after in data)
                if self.holds_requests or self.is_silent:
                    self.swallowed += len(data)
                else:
                    link.server.write(data)
        if not self.is_silent:
            link.close()

    async def _replies(self, reader: asyncio.StreamReader, link: _Link) -> None:
        with suppress(OSError):
            while data := await reader.read(1 << 16):
                if link.is_doomed:
                    break
                if self.is_silent or link.is_deaf or (self.holds_replies and not link.is_feed):
                    self.swallowed += len(data)
                else:
                    link.client.write(data)
        if not self.is_silent:
            link.close()


@asynccontextmanager
async def between(target: int) -> AsyncIterator[Proxy]:
    proxy = Proxy(target)
    server = await asyncio.start_server(proxy.accept, "127.0.0.1", proxy.port)
    try:
        yield proxy
    finally:
        await proxy.close()
        server.close()
        await server.wait_closed()
