"""Where the primary is, as the Sentinels see it.

Owns whose word counts. Must not know what the primary is used for.

They are asked before each connection to the primary and when it is made, before a history is called lost, and twice a second.
A subscription to their `+switch-master` would tell of a failover a quarter of a second sooner, and would need a probe against silence
and this question beside it.
"""

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Final, NamedTuple

from anypod.clock import Clock
from anypod.core.errors import AnypodError, unavailable
from anypod.redis_store.config import RedisOptions
from anypod.redis_store.topology.discovery import DiscoveryClient, Singleflight, answers
from anypod.redis_store.url import Deployment, Endpoint, ServerAddress
from anypod.redis_store.wire.connection import pack
from anypod.redis_store.wire.errors import text_of
from anypod.redis_store.wire.resolver import OnLeft

ASK_S: Final = 0.5  # between two questions: an old primary that still serves is left so soon after a failover
GRACE_S: Final = 0.1  # for the last to answer: it may be the one that led the failover, and the first to know
BEHIND_S_MAX: Final = 10.0  # Sentinels tell each other every two seconds
FRESH_S: Final = 0.2  # an answer so young serves all three connections

logger = logging.getLogger(__name__)


class View(NamedTuple):
    """What one Sentinel believes. `epoch` grows with every failover: the greatest is the newest."""

    epoch: int
    primary: Endpoint


class Sentinels:
    """An `AddressResolver` that asks Sentinels."""

    def __init__(self, deployment: Deployment, options: RedisOptions, clock: Clock) -> None:
        self._deployment = deployment
        self._clock = clock
        password = options.sentinel_password_now or (lambda: options.sentinel_password)
        self._clients = [DiscoveryClient(deployment.sentinel(endpoint, password), options) for endpoint in deployment.endpoints]
        self._refresh = Singleflight(self._look, clock, FRESH_S)
        self._view: View | None = None  # the newest that there was
        self._is_answered = False  # by any Sentinel, when they were asked last
        self._behind_since: float | None = None
        self._watchers: dict[object, OnLeft] = {}

    async def find(self) -> ServerAddress:
        await self._refresh.recent()
        if self._view is None or not self._is_answered:
            asked = ", ".join(map(str, self._deployment.endpoints))
            raise unavailable(f"no Sentinel knows where {self._deployment.name} is; asked: {asked}")
        return self._deployment.address(self._view.primary)

    @contextmanager
    def watched(self, address: ServerAddress, on_left: OnLeft) -> Iterator[None]:
        watcher = object()
        self._watchers[watcher] = on_left
        try:
            if self._view is not None and self._view.primary != address.endpoint:
                on_left()
            yield
        finally:
            del self._watchers[watcher]

    async def verify_primary(self) -> None:
        await self._refresh.renewed()

    async def follow(self) -> None:
        """Ask again and again, until cancelled: an old primary may well hold its connections."""
        while True:
            await self._clock.sleep(ASK_S)
            try:
                await self._refresh.recent()
            except Exception:  # the root of a task: without it no failover would ever be noticed again
                logger.exception("redis: the Sentinels could not be asked; trying again")

    async def _look(self) -> None:
        views = await self._views()
        self._is_answered = bool(views)
        newest = max(views, default=None)
        if newest is not None and not self._is_behind(newest):
            self._take(newest)

    def _is_behind(self, newest: View) -> bool:
        """A Sentinel hears of a failover a little later than the one that led it. What they still say after a while holds."""
        if self._view is None or newest.epoch >= self._view.epoch:
            self._behind_since = None
            return False
        now = self._clock.now()
        self._behind_since = self._behind_since or now
        return now - self._behind_since < BEHIND_S_MAX

    def _take(self, view: View) -> None:
        before, self._view = self._view, view
        if before is not None and before.primary != view.primary:
            logger.warning("redis: the Sentinels name another primary")
            for on_left in tuple(self._watchers.values()):  # all at once: none reads what another no longer writes to
                on_left()

    def close(self) -> None:
        for client in self._clients:
            client.close()

    async def _views(self) -> Sequence[View]:
        """Of more than half of them, and of the others if they are quick: one that is away must not hold up a failover."""
        questions = [self._ask(client) for client in self._clients]
        return await answers(questions, enough=len(questions) // 2 + 1, grace_s=GRACE_S)

    async def _ask(self, client: DiscoveryClient) -> View:
        name = self._deployment.name
        facts, place = await client.ask(pack("SENTINEL", "MASTER", name), pack("SENTINEL", "GET-MASTER-ADDR-BY-NAME", name))
        assert isinstance(facts, list)
        if not isinstance(place, list):
            raise AnypodError("unavailable", "this Sentinel does not know the primary")
        epoch = facts[facts.index(b"config-epoch") + 1]
        return View(int(text_of(epoch)), Endpoint(text_of(place[0]), int(text_of(place[1]))))
