"""Requests other than appends: one call, one reply, routed to the server that has the partition.

Owns the wait for a connection, what comes first on a new one (a look at the server, the loading of the function library), and the single
retry. Must not know what is asked.
"""

import asyncio
from collections import defaultdict
from collections.abc import Awaitable, Callable, Sequence
from typing import Final, Protocol, TypeVar

import hiredis

from anypod.clock import Clock
from anypod.core.errors import AnypodError, unavailable
from anypod.redis_store.config import RedisOptions
from anypod.redis_store.functions import Function, FunctionLibrary
from anypod.redis_store.log.append_queue import HOLD_S
from anypod.redis_store.wire.connection import LOST, Connection, Reply, pack
from anypod.redis_store.wire.errors import SlotMovedError, checked, found, is_denied, is_moving, is_passing
from anypod.redis_store.wire.handshake import check_policy

Result = TypeVar("Result")
ATTEMPTS: Final = 2  # the second one on a new connection, with the library loaded


class Follower(Protocol):
    """What shares the connection and is told of its loss."""

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
        if isinstance(reply, hiredis.ReplyError) and is_denied(str(reply)):  # then another client has loaded it
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
        """One command whose reply is not needed. False: there is no connection."""
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


class RequestRouter:
    """`pick` the caller of the node that serves a key or channel; `on_moved`: one of them was no longer the right one."""

    def __init__(
        self,
        options: RedisOptions,
        clock: Clock,
        library: FunctionLibrary,
        *,
        pick: Callable[[bytes], RequestConnection],
        on_moved: Callable[[], None],
    ) -> None:
        self._options = options
        self._clock = clock
        self._library = library
        self._pick = pick
        self._on_moved = on_moved

    async def call(self, function: Function, keys: tuple[bytes, ...], *args: bytes | int, is_repeatable: bool = False) -> Reply:
        """Call a function. Raises AnypodError."""
        command = pack("FCALL", self._library.name(function), len(keys), *keys, *args)
        return await self.ask(keys[0], command, is_repeatable=is_repeatable)

    async def ask(self, name: bytes, command: bytes, *, is_repeatable: bool = False) -> Reply:
        """One command about what has that name. A lost reply is asked for again only when nothing can come of asking twice."""
        return await self._settled(lambda: self._pick(name).ask(command, is_repeatable=is_repeatable))

    def tell(self, name: bytes, command: bytes) -> bool:
        """One command whose reply is not needed. False: there is no connection."""
        return self._pick(name).tell(command)

    async def ask_those_up(self, names: Sequence[bytes], commands: Sequence[bytes]) -> list[Reply]:
        """Commands that may be repeated, each about what has the name at its place; in one write to each node.

        What a node is asked that is away is answered with LOST.
        """
        return await self._settled(lambda: self._ask_nodes(names, commands))

    async def _ask_nodes(self, names: Sequence[bytes], commands: Sequence[bytes]) -> list[Reply]:
        places = defaultdict[RequestConnection, list[int]](list)
        for place, name in enumerate(names):
            places[self._pick(name)].append(place)
        found = await asyncio.gather(*(_ask_if_up(caller, [commands[place] for place in group]) for caller, group in places.items()))
        replies: list[Reply] = [None] * len(commands)
        for group, some in zip(places.values(), found, strict=True):
            for place, reply in zip(group, some, strict=True):
                replies[place] = reply
        return replies

    async def _settled(self, ask: Callable[[], Awaitable[Result]]) -> Result:
        """Until the slot is where it is asked for; as long as an append would wait."""
        until = self._clock.now() + self._options.append_wait_s
        while True:
            try:
                return await ask()
            except SlotMovedError as exc:
                if self._clock.now() >= until:
                    raise unavailable() from exc
            self._on_moved()
            await self._clock.sleep(HOLD_S)


async def _ask_if_up(caller: RequestConnection, commands: list[bytes]) -> list[Reply]:
    try:
        return await caller.ask_all(commands)
    except AnypodError as error:
        if error.code != "unavailable":
            raise
        return [LOST] * len(commands)
