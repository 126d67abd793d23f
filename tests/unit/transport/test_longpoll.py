"""A poll goes over several reads of the log: what is lost between any two of them is told, as other transports tell it.

One session over a memory server that loses it right before the read that a test chooses.
"""

import asyncio
import json
import random
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import pytest
from starlette.requests import Request
from tests.store.kit import append, event
from tests.unit.hub.kit import CHAT, KEY, BehindTheTimes, TestClock, TestReplica, until, who

from anypod.api.dependencies import Dependencies
from anypod.api.events import EventRoutes, PageQuery, StreamOptions
from anypod.api.guard import Caller
from anypod.core.errors import AnypodError
from anypod.core.identity import Subject
from anypod.memory_store import MemoryServer, MemoryStore
from anypod.store import Creation, Missing, Page

WAIT_S = 30.0  # longer than any test: who waits for its end has missed what should have ended it
READS = 3  # of a poll that has to wait: its page, the attachment to a session that nobody else has loaded, its page again


class LossyServer(MemoryServer):
    """Loses everything before the read of that number. `then`: what somebody does at once. `rival`: who is quicker to make a session."""

    def __init__(self, clock: TestClock) -> None:
        super().__init__(clock, random.Random(7))
        self._nothing = self.snapshot()
        self.reads = 0
        self.loses_before = 0
        self.has_lost = False
        self.then: Callable[[], object] = lambda: None
        self.rival: Subject | None = None

    def read(self, *args: Any, **options: Any) -> Page | Missing:
        self.reads += 1
        if self.reads == self.loses_before:
            self.lose()
        return super().read(*args, **options)

    def create(self, creation: Creation) -> tuple[Page, bool]:
        rival, self.rival = self.rival, None
        if rival is not None:
            super().create(replace(creation, owner=rival))
        return super().create(creation)

    def lose(self) -> None:
        self.fail_over(self._nothing)
        self.has_lost = True
        self.then()

    def make(self, epoch: str) -> None:
        self.create(Creation(KEY, Subject("ann"), CHAT, epoch, sessions_max=10))


class Polled:
    """One replica with its routes, as ann asks them."""

    def __init__(self, server: LossyServer, clock: TestClock, store: MemoryStore | None = None) -> None:
        self.server = server
        self.replica = TestReplica(store or server, clock, "r0")
        context = Dependencies(self.replica.layer, random.Random(7))
        self._routes = EventRoutes(context, StreamOptions(outbox_bytes_max=1 << 16, max_s=60.0, poll_s_max=WAIT_S))

    async def poll(self, after: str | None, wait_s: float = WAIT_S) -> dict[str, Any]:
        request = Request({"type": "http", "method": "GET", "headers": []}, _stays)
        response = await self._routes.read(
            Caller(who("ann"), "read", self.replica.hub.accounts.of(who("ann")), KEY),
            request,
            KEY.session,
            PageQuery.model_validate({"after": after, "wait": wait_s}),
        )
        found: dict[str, Any] = json.loads(bytes(response.body))
        return found

    async def begun(self) -> str:
        """The session with its first event. The cursor of it."""
        self.server.make("epoch001")
        return await self.publish("first")

    async def publish(self, event_id: str) -> str:
        return (await append(self.replica.store, KEY, event(event_id)))[0].cursor

    @property
    def is_waiting(self) -> bool:
        """Has a poller attached, and heard all there is?"""
        session = self.replica.hub.sessions.get(KEY)
        return session is not None and bool(session.live)

    async def told(self, polling: "asyncio.Task[dict[str, Any]]") -> str:
        """The reason of the reset that the poll ends with. Who waits is woken by an event, as long as the log is there."""
        await until(lambda: polling.done() or (self.is_waiting and not self.server.has_lost))
        if not polling.done():
            await self.publish("second")
        refusal = await refusal_of(polling)
        assert refusal.reset is not None, refusal
        return str(json.loads(refusal.reset)["reason"])


async def refusal_of(polling: "asyncio.Task[dict[str, Any]]") -> AnypodError:
    """Before the poll has waited as long as it may."""
    with pytest.raises(AnypodError) as refusal:
        async with asyncio.timeout(WAIT_S / 3):
            await polling
    return refusal.value


async def _stays() -> dict[str, Any]:
    """The client does not go away."""
    return await asyncio.get_running_loop().create_future()  # type: ignore[no-any-return]


@asynccontextmanager
async def polled() -> AsyncIterator[Polled]:
    clock = TestClock()
    made = Polled(LossyServer(clock), clock)
    await made.replica.hub.start()
    yield made
    await made.replica.hub.close()


async def test_a_poll_that_waits_goes_over_so_many_reads() -> None:
    async with polled() as at:
        after = await at.begun()
        at.server.reads = 0
        polling = asyncio.create_task(at.poll(after))
        await until(lambda: at.is_waiting)
        await at.publish("second")
        assert [event["id"] for event in (await polling)["events"]] == ["second"]
        assert at.server.reads == READS


@pytest.mark.parametrize("is_made_anew", [False, True])
@pytest.mark.parametrize("read", range(1, READS + 1))
async def test_a_log_that_is_lost_before_any_read_of_a_poll_is_told_as_expired(read: int, is_made_anew: bool) -> None:
    async with polled() as at:
        after = await at.begun()
        if is_made_anew:
            at.server.then = lambda: at.server.make("epoch002")
        at.server.reads, at.server.loses_before = 0, read
        assert await at.told(asyncio.create_task(at.poll(after))) == "expired"
        assert at.server.has_lost


@pytest.mark.parametrize("is_made_anew", [False, True])
async def test_a_log_that_is_lost_while_a_poll_waits_ends_the_wait(is_made_anew: bool) -> None:
    async with polled() as at:
        polling = asyncio.create_task(at.poll(await at.begun()))
        await until(lambda: at.is_waiting)
        if is_made_anew:
            at.server.then = lambda: at.server.make("epoch002")
        at.server.lose()
        assert await at.told(polling) == "expired"


async def test_a_session_that_is_deleted_while_a_poll_waits_is_not_there() -> None:
    async with polled() as at:
        polling = asyncio.create_task(at.poll(await at.begun()))
        await until(lambda: at.is_waiting)
        at.server.delete(KEY, Subject("ann"))
        assert (await refusal_of(polling)).code == "no_such_session"


async def test_whoever_is_not_the_first_to_make_a_session_reads_it_all_the_same() -> None:
    async with polled() as at:
        at.server.rival = Subject("bob")
        page = await at.poll(None, wait_s=0)
        assert (page["events"], page["closed"]) == ([], False)
        assert at.server.rival is None


@pytest.mark.parametrize("is_known", [True, False])
async def test_for_a_moment_of_a_failover_a_poll_is_not_judged_by_the_old_server(is_known: bool) -> None:
    clock = TestClock()
    old, new = LossyServer(clock), LossyServer(clock)
    at = Polled(old, clock, BehindTheTimes(old, new))
    await at.replica.hub.start()
    if is_known:
        await at.begun()
        new.fail_over(old.snapshot())
    there = Polled(new, clock)
    await there.replica.hub.start()
    after = await (there.publish("second") if is_known else there.begun())
    assert (await at.poll(after, wait_s=0))["cursor"] == after
    await there.replica.hub.close()
    await at.replica.hub.close()
