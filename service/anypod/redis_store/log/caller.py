"""Requests other than appends: one call, one reply.

Owns the wait for a connection, what comes first on a new one (a look at the server, the loading of the library), and the single
retry. Must not know what is asked.
"""

import asyncio
from typing import Final, Protocol

import hiredis

from anypod.core.errors import unavailable
from anypod.redis_store.functions import FunctionLibrary
from anypod.redis_store.wire.connection import LOST, Connection, Reply, pack
from anypod.redis_store.wire.errors import SlotMovedError, checked, found, is_denied, is_moving, is_passing
from anypod.redis_store.wire.policy import check_policy

ATTEMPTS: Final = 2  # the second one on a new connection, with the library loaded


class Follower(Protocol):
    """Who shares the connection."""

    def on_up(self, connection: Connection) -> None: ...

    def on_down(self) -> None: ...


class RequestConnection:
    """`wait_s`: how long a request waits for a connection."""

    def __init__(self, library: FunctionLibrary, wait_s: float, follower: Follower | None = None) -> None:
        self._library = library
        self._wait_s = wait_s
        self._follower = follower
        self._connection: Connection | None = None
        self._is_up = asyncio.Event()

    @property
    def is_up(self) -> bool:
        return self._connection is not None

    async def prepare(self, connection: Connection) -> None:
        await check_policy(connection, is_vouched=self._library.incarnation == "process")
        reply = await connection.ask(pack("FUNCTION", "LOAD", self._library.source))
        if isinstance(reply, hiredis.ReplyError) and is_denied(str(reply)):  # then somebody else has loaded it
            reply = await connection.ask(pack("FCALL", self._library.name("ready"), 0))
        if not (isinstance(reply, hiredis.ReplyError) and "already exists" in str(reply)):
            checked(reply)

    def on_up(self, connection: Connection) -> None:
        self._connection = connection
        self._is_up.set()
        if self._follower is not None:
            self._follower.on_up(connection)

    def on_down(self) -> None:
        self._connection = None
        self._is_up.clear()
        if self._follower is not None:
            self._follower.on_down()

    async def wait_up(self) -> Connection:
        """Raises AnypodError `unavailable` when there is none in time."""
        while self._connection is None:
            try:
                async with asyncio.timeout(self._wait_s):
                    await self._is_up.wait()
            except TimeoutError as exc:
                raise unavailable() from exc
        return self._connection

    async def ask(self, data: bytes, *, is_repeatable: bool = False) -> Reply:
        """One command. A lost reply is asked for again only when nothing can come of asking twice. Raises AnypodError or SlotMovedError."""
        for _ in range(ATTEMPTS):
            connection = await self.wait_up()
            reply = await connection.ask(data)
            if is_moving(reply):
                raise SlotMovedError
            if not is_passing(reply) or (reply is LOST and not is_repeatable):
                return checked(reply)
            connection.abort()
        raise unavailable()

    def tell(self, data: bytes) -> bool:
        """One command whose reply nobody needs. False: there is no connection."""
        if self._connection is None:
            return False
        self._connection.send(data, _ignore)
        return True

    async def ask_all(self, commands: list[bytes]) -> list[Reply]:
        """Plain commands that may be repeated, in one write. Raises AnypodError for the first error that is replied, or SlotMovedError."""
        connection = await self.wait_up()
        replies = await connection.ask_all(commands)
        if any(reply is LOST for reply in replies):
            raise unavailable()
        if any(map(is_moving, replies)):
            raise SlotMovedError
        return [found(reply) for reply in replies]


def _ignore(reply: Reply) -> None:
    """Best effort."""
