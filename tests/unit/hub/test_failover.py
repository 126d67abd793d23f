"""For a moment of a failover a replica still asks the old server: nobody is told by its word that a history is lost."""

import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from tests.store.kit import Ear, append, event
from tests.unit.hub.kit import CHAT, KEY, BehindTheTimes, TestClock, TestReplica

from anypod.core.identity import Subject
from anypod.hub.attach_request import AttachRequest
from anypod.memory_store import MemoryServer, MemoryStore
from anypod.store import Creation


class Servers:
    """The old one, which lives on, and the new one, which took over from a copy of it."""

    def __init__(self, clock: TestClock) -> None:
        self.old, self.new = (MemoryServer(clock, random.Random(seed)) for seed in (1, 2))
        self.store = BehindTheTimes(self.old, self.new)
        self.replica = TestReplica(self.store, clock, "r0")

    def take_over(self) -> None:
        self.new.fail_over(self.old.snapshot())


@asynccontextmanager
async def failing_over() -> AsyncIterator[Servers]:
    servers = Servers(TestClock())
    await servers.replica.hub.start()
    yield servers
    await servers.replica.hub.close()


def make(server: MemoryServer) -> None:
    server.create(Creation(KEY, Subject("ann"), CHAT, "epoch00001", sessions_max=10))


async def published(server: MemoryServer, event_id: str) -> str:
    store = MemoryStore(server)
    await store.open(Ear())
    try:
        return (await append(store, KEY, event(event_id)))[0].cursor
    finally:
        await store.close()


async def test_a_cursor_that_the_old_server_does_not_know_is_honoured_by_the_new_one() -> None:
    async with failing_over() as at:
        make(at.old)
        await published(at.old, "before")
        at.take_over()
        after = await published(at.new, "after")
        _, port = await at.replica.attached(ask=AttachRequest(KEY, after=after))
        assert at.store.is_sure
        assert not port.of("session.reset")
        assert port.of("session.restored")[0]["resumed_at"] == after


async def test_a_session_that_the_old_server_does_not_know_is_not_made_anew() -> None:
    async with failing_over() as at:
        make(at.new)
        after = await published(at.new, "first")
        _, port = await at.replica.attached(ask=AttachRequest(KEY, after=after))
        assert not port.of("session.reset")
        assert port.of("session.restored")[0]["resumed_at"] == after


async def test_what_the_new_server_has_lost_is_told() -> None:
    async with failing_over() as at:
        make(at.old)
        at.take_over()
        after = await published(at.old, "lost")
        at.store.turn()
        _, port = await at.replica.attached(ask=AttachRequest(KEY, after=after))
        assert [reset["reason"] for reset in port.of("session.reset")] == ["rolled_back"]
