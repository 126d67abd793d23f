"""Requests other than appends, put through to the node that serves their keys.

Owns the choice of the node and the repetition when a slot is on its way to another. Must not know what is asked.
"""

import asyncio
from collections import defaultdict
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

from anypod.clock import Clock
from anypod.core.errors import AnypodError, unavailable
from anypod.redis_store.config import RedisOptions
from anypod.redis_store.functions import Function, FunctionLibrary
from anypod.redis_store.log.append_queue import HOLD_S
from anypod.redis_store.log.caller import RequestConnection
from anypod.redis_store.wire.connection import LOST, Reply, pack
from anypod.redis_store.wire.errors import SlotMovedError

Result = TypeVar("Result")


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
        """One command whose reply nobody needs. False: there is no connection."""
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
