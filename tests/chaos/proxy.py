"""A TCP proxy on a link of the cluster, to break it in the ways that networks do.

Owns which connections there are, and what is done to which of them. Must not know why, nor how a connection is carried on.
"""

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from typing import Final

from tests.chaos.link import Link
from tests.chaos.network_conditions import CLEAR, NetworkConditions, together

APPEND_WORD: Final = b"append"  # in the names of the functions that append
BACKLOG: Final = 1_024  # all clients of a dead replica come back at once

Select = Callable[[Link], bool]
Joined = Callable[[Link], Awaitable[bool]]


def everything(link: Link) -> bool:
    return True


def feeds(link: Link) -> bool:
    return link.is_feed


def called_by(*names: str) -> Select:
    return lambda link: link.caller in names


@dataclass(frozen=True, slots=True, eq=False)
class Spell:
    """`up`: what clients say; `down`: what they are answered."""

    select: Select
    up: NetworkConditions
    down: NetworkConditions


class Proxy:
    """`dial` joins a link with what stands behind; False: nobody is there. `links`: those that are open."""

    def __init__(self, port: int, dial: Joined, rng: random.Random) -> None:
        self.port = port
        self.links: set[Link] = set()
        self.is_shut = False
        self._dial = dial
        self._rng = rng
        self._joining: set[asyncio.Task[None]] = set()
        self._spells: list[Spell] = []
        self._reply_to: Link | None = None
        self._reply_lost: asyncio.Future[None] | None = None

    @asynccontextmanager
    async def accepting(self) -> AsyncIterator[None]:
        """It carries inside; afterwards everything is cut. Raises OSError when its port is another's."""
        loop = asyncio.get_running_loop()
        server = await loop.create_server(lambda: Link(self, self._rng).client, "127.0.0.1", self.port, backlog=BACKLOG)
        try:
            yield
        finally:
            self.is_shut = True  # whoever was accepted meanwhile is refused
            server.close()
            self.cut(everything)
            for task in self._joining:
                task.cancel()
            await asyncio.gather(*self._joining, return_exceptions=True)

    # What is done to the line.
    @contextmanager
    def spell(self, select: Select, *, up: NetworkConditions = CLEAR, down: NetworkConditions = CLEAR) -> Iterator[None]:
        """Weather over these links, and over those that are opened meanwhile."""
        spell = Spell(select, up, down)
        self._spells.append(spell)
        self._change_all()
        try:
            yield
        finally:
            self._spells.remove(spell)
            self._change_all()

    def cut(self, select: Select) -> int:
        """How many links there were."""
        chosen = [link for link in self.links if select(link)]
        for link in chosen:
            link.cut()
        return len(chosen)

    @contextmanager
    def shut(self) -> Iterator[None]:
        """Everything is cut, and whoever comes is refused."""
        self.is_shut = True
        self.cut(everything)
        try:
            yield
        finally:
            self.is_shut = False

    async def lose_one_reply(self) -> None:
        """The next append is carried to the server, and its answer is lost with the connection."""
        self._reply_lost = asyncio.get_running_loop().create_future()
        try:
            await self._reply_lost
        finally:
            self._reply_to = self._reply_lost = None

    # What links tell.
    def opened(self, link: Link) -> None:
        if self.is_shut:
            link.client.close(is_reset=True)
            return
        self.links.add(link)
        task = asyncio.create_task(self._join(link))
        self._joining.add(task)
        task.add_done_callback(self._joining.discard)

    async def _join(self, link: Link) -> None:
        if not await self._dial(link):
            link.client.close(is_reset=True)

    def closed(self, link: Link) -> None:
        self.links.discard(link)

    def change(self, link: Link) -> None:
        spells = [spell for spell in self._spells if spell.select(link)]
        link.come(together([spell.up for spell in spells]), together([spell.down for spell in spells]))

    def asked(self, link: Link, data: bytes) -> None:
        if self._reply_lost is not None and self._reply_to is None and APPEND_WORD in data:
            self._reply_to = link

    def takes_reply(self, link: Link) -> bool:
        if self._reply_lost is None or self._reply_to is not link or self._reply_lost.done():
            return False
        self._reply_lost.set_result(None)
        return True

    def _change_all(self) -> None:
        for link in list(self.links):
            self.change(link)
