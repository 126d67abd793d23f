"""Where the primary is, as the Sentinels see it.

Owns whose word counts. Must not know what the primary is used for.

They are asked before each connection to the primary, and while there is one, twice a second. A subscription to their
`+switch-master` would tell of a failover a quarter of a second sooner, and would need a probe against silence and this question beside it.
"""

import asyncio
import logging
from collections.abc import Sequence
from contextlib import suppress
from typing import Final, NamedTuple

from anypod.clock import Clock
from anypod.core.errors import AnypodError, unavailable
from anypod.redis_store.address import Address, Deployment, Endpoint
from anypod.redis_store.connection import Reply, pack
from anypod.redis_store.informant import Informant, answers
from anypod.redis_store.options import RedisOptions

ASK_S: Final = 0.5  # between two questions: an old primary that still serves is left so soon after a failover
FRESH_S: Final = 0.2  # an answer so young serves all three connections

logger = logging.getLogger(__name__)


class View(NamedTuple):
    """What one Sentinel believes. `epoch` grows with every failover: the greatest is the newest."""

    epoch: int
    primary: Endpoint


class Sentinels:
    """A `Place`."""

    def __init__(self, deployment: Deployment, options: RedisOptions, clock: Clock) -> None:
        self._deployment = deployment
        self._clock = clock
        self._informants = [
            Informant(deployment.sentinel(endpoint, options.sentinel_password), options) for endpoint in deployment.endpoints
        ]
        self._asking = asyncio.Lock()
        self._view: View | None = None
        self._primary: Endpoint | None = None  # as it was named last
        self._moved = asyncio.Event()  # set for a moment when another is named
        self._fresh_until = float("-inf")

    async def find(self) -> Address:
        async with self._asking:
            if self._clock.now() >= self._fresh_until:
                self._view = max(await self._views(), default=None)
                self._fresh_until = self._clock.now() + FRESH_S
        if self._view is None:
            asked = ", ".join(map(str, self._deployment.endpoints))
            raise unavailable(f"no Sentinel knows where {self._deployment.name} is; asked: {asked}")
        self._name(self._view.primary)
        return self._deployment.address(self._view.primary)

    def _name(self, primary: Endpoint) -> None:
        """Whichever connection it is that asked: the others leave with it, so that none reads what another no longer writes to."""
        if self._primary not in (None, primary):
            logger.warning("redis: the Sentinels name another primary")
            self._moved.set()
            self._moved.clear()  # whoever waits has been woken
        self._primary = primary

    async def left(self, address: Address) -> None:
        while self._primary == address.endpoint:
            try:
                async with asyncio.timeout(ASK_S):
                    await self._moved.wait()
            except TimeoutError:
                with suppress(AnypodError):  # the connection may well hold while no Sentinel answers
                    await self.find()

    def close(self) -> None:
        for informant in self._informants:
            informant.close()

    async def _views(self) -> Sequence[View]:
        """Of more than half of them: one that is away must not hold up a failover."""
        return await answers([self._ask(informant) for informant in self._informants], enough=len(self._informants) // 2 + 1)

    async def _ask(self, informant: Informant) -> View:
        name = self._deployment.name
        facts, place = await informant.ask(pack("SENTINEL", "MASTER", name), pack("SENTINEL", "GET-MASTER-ADDR-BY-NAME", name))
        assert isinstance(facts, list)
        if not isinstance(place, list):
            raise AnypodError("unavailable", "this Sentinel does not know the primary")
        epoch = facts[facts.index(b"config-epoch") + 1]
        return View(int(_text(epoch)), Endpoint(_text(place[0]), int(_text(place[1]))))


def _text(reply: Reply) -> str:
    assert isinstance(reply, bytes)
    return reply.decode()
