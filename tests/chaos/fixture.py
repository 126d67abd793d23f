"""A small crowd on a stage, and what has become of it: where one row is looked at alone.

Owns the course of such a test: all are well, something is done to them, all is judged. Must not know what is expected of it.
"""

import random
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Final

from tests.chaos.clients import Clients, Group
from tests.chaos.environment import Environment
from tests.chaos.faults import Deed
from tests.chaos.history import History
from tests.chaos.nemesis import perform
from tests.simulation.history import Disturbed
from tests.support.redis_servers import RedisServer

SOON_S: Final = 30.0  # on a busy machine


class Fixture:
    """`server`: the one that is written to, if there is one."""

    def __init__(self, stage: Environment, crowd: Clients) -> None:
        self.stage = stage
        self.crowd = crowd
        self._rng = random.Random(3)

    @property
    def ledger(self) -> History:
        return self.stage.ledger

    @property
    def server(self) -> RedisServer:
        return self.stage.stores.written[0].server

    async def suffer(self, deed: Deed, seconds: float = 0.0) -> None:
        await perform(deed, self.stage, seconds, self._rng)

    async def until(self, is_so: Callable[[], bool]) -> None:
        def is_settled_and_so() -> bool:
            self.ledger.settle()
            return is_so()

        assert await self.crowd.until(is_settled_and_so, SOON_S), self.crowd.unwell(0.0, {})

    async def until_well(self) -> None:
        self.ledger.settle()
        since, sessions = self.stage.now(), {client.pen.session for client in self.crowd.clients}
        heads = {session: self.ledger.head(session) for session in sessions}
        await self.until(lambda: self.crowd.is_well(since, heads))

    @property
    def recoveries(self) -> int:
        return sum(len(client.pen.recoveries) for client in self.crowd.clients)

    @property
    def delivered(self) -> int:
        return self.crowd.delivered

    def answers(self, code: str) -> int:
        return sum(client.pen.answers.get(code, 0) for client in self.crowd.clients)

    @property
    def resets(self) -> set[str]:
        self.ledger.settle()
        return {reset.reason for reset in self.ledger.resets}


@asynccontextmanager
async def scene(stage: Environment, members: Sequence[Group]) -> AsyncIterator[Fixture]:
    """The crowd is there inside, and was well at the beginning. Afterwards everything is judged."""
    crowd = Clients(stage.url_for, stage.ledger, stage.rng, tuple(members))
    stage.ledger.note(Disturbed(stage.now(), None, "a test"))
    async with crowd.present():
        made = Fixture(stage, crowd)
        await made.until_well()
        yield made
    for client in crowd.clients:
        client.pen.finished()
    stage.ledger.settle()
