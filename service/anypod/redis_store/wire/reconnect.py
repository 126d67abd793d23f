"""One connection, made again whenever it is lost.

Owns the attempts and the waits between them. Must not know what the connection is used for: its user is told.
"""

import asyncio
import logging
import random
from collections.abc import Callable
from typing import Protocol

from anypod.clock import Clock
from anypod.core.errors import AnypodError
from anypod.redis_store.config import RedisOptions
from anypod.redis_store.url import ServerAddress
from anypod.redis_store.wire.connection import Connection
from anypod.redis_store.wire.handshake import check_primary, dial
from anypod.redis_store.wire.resolver import AddressResolver
from anypod.telemetry import Metrics

STEADY_S = 1.0  # a connection that lived as long was not one of a row of failures

logger = logging.getLogger(__name__)


class User(Protocol):
    """The user of a connection. After `on_up` comes `on_down`, and nothing else of that connection."""

    async def prepare(self, connection: Connection) -> None:
        """What must be done on a new connection before it is used. An error counts as a failed attempt."""

    def on_up(self, connection: Connection) -> None: ...

    def on_down(self) -> None: ...


class ReconnectingConnection:
    """`name` is for the log lines."""

    def __init__(
        self, name: str, place: AddressResolver, options: RedisOptions, clock: Clock, rng: random.Random, *, metrics: Metrics
    ) -> None:
        self._name = name
        self._metrics = metrics
        self._place = place
        self._options = options
        self._clock = clock
        self._rng = rng

    async def run(self, user: User) -> None:
        """Keep a connection, until cancelled."""
        failures = 0
        while True:
            began = self._clock.now()
            try:
                await self._use_one(user)
            except (OSError, TimeoutError, AnypodError) as error:
                logger.warning("redis %s: cannot connect: %s", self._name, str(error) or type(error).__name__)
            except Exception:  # the root of a task: without it the store would stay away for ever
                logger.exception("redis %s: failed; connecting anew", self._name)
            failures = 0 if self._clock.now() - began > STEADY_S else failures + 1
            await self._clock.sleep(self._backoff_s(failures))

    async def _use_one(self, user: User) -> None:
        """One connection, from its making to its loss."""
        lost = asyncio.Event()
        is_up = False

        def end() -> None:
            if is_up:
                user.on_down()
            lost.set()

        address = await self._place.find()
        connection = await self._dialed(address, end)
        try:
            with self._place.watched(address, connection.abort):  # although the old server may still answer
                await check_primary(connection)
                await self._place.verify_primary()  # an old primary that was started again a moment ago says that it is one, too
                await user.prepare(connection)
                if not connection.is_lost:
                    is_up = True
                    user.on_up(connection)
                    await lost.wait()
                    logger.warning("redis %s: connection lost", self._name)
                    self._metrics.store_reconnects += 1
        finally:
            connection.abort()

    async def _dialed(self, address: ServerAddress, on_lost: Callable[[], None]) -> Connection:
        """A server that is elsewhere by now is not waited for: one that fell silent would take all the time it may. Raises as `dial`."""
        async with asyncio.timeout(None) as patience:

            def give_up() -> None:
                if not patience.expired():
                    patience.reschedule(0.0)

            with self._place.watched(address, give_up):
                return await dial(address, self._options, on_lost)

    def _backoff_s(self, failures: int) -> float:
        longest_s = min(self._options.backoff_s_max, self._options.backoff_s_min * 2 ** min(failures, 16))
        return float(longest_s * self._rng.random())
