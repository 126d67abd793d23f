"""Remove the function libraries of versions that no replica runs any more.

Owns when a library counts as unused. Must not know what its functions do. Each version loads a library of its own, named by a digest of its
text, so without this a server would keep one for every release. A library is in use as long as some replica says so: each tells every
server that it calls its own. One that is removed all the same costs its replica a connection: it loads it again, and what was under way is
sent again by its id.
"""

import logging
from collections.abc import Sequence
from typing import Final

import hiredis

from anypod.clock import Clock
from anypod.core.errors import AnypodError
from anypod.redis_store.config import RedisOptions
from anypod.redis_store.functions import PREFIX, FunctionLibrary, idle_function
from anypod.redis_store.log.requests import RequestConnection
from anypod.redis_store.wire.connection import Reply, pack

_LIST: Final = pack("FUNCTION", "LIST", "LIBRARYNAME", f"{PREFIX}*")

logger = logging.getLogger(__name__)


class OldLibraries:
    """Of one server. `caller`: a connection to it."""

    def __init__(self, options: RedisOptions, clock: Clock, library: FunctionLibrary, caller: RequestConnection) -> None:
        self._options = options
        self._clock = clock
        self._library = library
        self._caller = caller
        self._is_told = False  # that the user may not

    async def run(self) -> None:
        """Look every so often, until cancelled."""
        use = pack("FCALL", self._library.name("use"), 0)
        while True:
            try:
                await self._caller.ask(use, is_repeatable=True)
                await self._remove_unused()
            except AnypodError as error:
                logger.debug("redis: no look at the function libraries: %s", error)  # the server is away: the next look finds it
            await self._clock.sleep(self._options.library_look_s)

    async def _remove_unused(self) -> None:
        for library, functions in _libraries(await self._reply(_LIST)):
            ask_idle = idle_function(library)
            if library == self._library.library or ask_idle not in functions:
                continue  # 0.1.0 cannot tell: its library stays
            idle_ms = await self._reply(pack("FCALL", ask_idle, 0))
            if isinstance(idle_ms, int) and idle_ms >= self._options.library_idle_s * 1000:
                await self._reply(pack("FUNCTION", "DELETE", library))
                logger.info("redis: removed %s, which no replica has called for %d s", library.decode(), idle_ms // 1000)

    async def _reply(self, command: bytes) -> Reply:
        """An error is no failure: another replica may have been quicker, and a user without these commands leaves the libraries there."""
        reply = await (await self._caller.wait_up()).ask(command)
        if isinstance(reply, hiredis.ReplyError) and str(reply).startswith("NOPERM") and not self._is_told:
            self._is_told = True
            logger.warning("redis: the user may not list and delete functions: libraries of old versions stay")
        return reply


def _libraries(reply: Reply) -> Sequence[tuple[bytes, Sequence[Reply]]]:
    """Names, each with the names of its functions."""
    found = []
    for entry in reply if isinstance(reply, list) else []:
        assert isinstance(entry, list)
        fields = dict(zip(entry[::2], entry[1::2], strict=True))
        name, functions = fields[b"library_name"], fields[b"functions"]
        assert isinstance(name, bytes)
        assert isinstance(functions, list)
        found.append((name, [one[1] for one in functions if isinstance(one, list)]))
    return found
