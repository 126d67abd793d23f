"""A link by polling.

Owns the requests, one at a time. Must not know what pages hold; what to ask for is the machine's to say.
"""

import asyncio

import aiohttp

from anypod.client.io.decoding import decode_page, decode_text
from anypod.client.io.http import FOREIGN_ERRORS, HttpEndpoint
from anypod.client.io.transport import Feed, closed_by
from anypod.client.machine.commands import Fetch, Send
from anypod.client.machine.inputs import ConnectionClosed, Input, Opened, PageReceived, Received
from anypod.core.errors import AnypodError


class PollTransport:
    def __init__(self, link: int, endpoint: HttpEndpoint, feed: Feed) -> None:
        self._link = link
        self._endpoint = endpoint
        self._feed = feed
        self._fetches: asyncio.Queue[Fetch] = asyncio.Queue(1)  # the machine asks for a page when it has the one before

    def obey(self, command: Send | Fetch) -> None:
        assert isinstance(command, Fetch)
        self._fetches.put_nowait(command)

    async def run(self) -> ConnectionClosed:
        await self._feed(Opened(self._link))
        try:
            while True:
                await self._feed(await self._fetch(await self._fetches.get()))
        except (AnypodError, *FOREIGN_ERRORS) as exc:
            return closed_by(self._link, exc)

    async def _fetch(self, ask: Fetch) -> Input:
        try:
            body = await self._endpoint.page(ask.after, ask.wait_s, fold=ask.fold)
        except AnypodError as exc:
            if exc.reset is None:
                raise
            return Received(self._link, decode_text(exc.reset))
        try:
            page = decode_page(body)
        except AnypodError as exc:
            raise aiohttp.ClientPayloadError("somebody else has answered") from exc  # a hotel's Wi-Fi, for example
        return PageReceived(self._link, tuple(page.events), page.cursor, page.folded, page.more, page.closed)
