"""What the memory store adds to the suite of every store: its order, its delays, and the faults that a simulation asks for."""

import asyncio
import random
from collections.abc import Sequence
from itertools import count

import pytest

from anypod.core.cursor import Reset, Resume, judge, parse_after
from anypod.core.errors import AnypodError
from anypod.core.event import Draft, Receipt, author_json, draft, position
from anypod.core.identity import SessionId, SessionKey, Subject, TenantId
from anypod.memory_store import MemoryServer, MemoryStore
from anypod.memory_store.contents import SWEEP_MIN, ServerContents
from anypod.memory_store.log import Log
from anypod.memory_store.store import WAITING_MAX
from anypod.store import Append, Creation, Missing, Page, SessionClass, reraise

KEY = SessionKey(TenantId("acme"), SessionId("chat"))
OTHER = SessionKey(TenantId("acme"), SessionId("other"))
ANN = Subject("ann")
CHAT = SessionClass("chat", ttl_ms=600_000, live_ms=30_000)


class SteppedClock:
    """Time that moves when it is told to."""

    def __init__(self) -> None:
        self.ms = 1_700_000_000_000

    def now(self) -> float:
        return asyncio.get_running_loop().time()

    def wall_ms(self) -> int:
        return self.ms

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


class Ear:
    """A sink that writes down what it hears, and when a barrier came in between."""

    def __init__(self) -> None:
        self.heard: list[int | str] = []
        self.changed = asyncio.Event()

    def on_batch(self, batch: Sequence[tuple[SessionKey, bytes]]) -> None:
        self.heard += [position(frame).seq for _, frame in batch]
        self.changed.set()

    def on_barrier(self, keys: Sequence[SessionKey]) -> None:
        self.heard.append("barrier")
        self.changed.set()


def event(name: str) -> Draft:
    return draft(name, "message", b"1", author=author_json("ann"), ts_ms=1)


async def opened(server: MemoryServer, ear: Ear | None = None, *, wait_s: float = 5.0) -> MemoryStore:
    store = MemoryStore(server, wait_s)
    await store.open(ear or Ear())
    return store


@pytest.fixture
def clock() -> SteppedClock:
    return SteppedClock()


@pytest.fixture
def server(clock: SteppedClock) -> MemoryServer:
    return MemoryServer(clock, random.Random(1))


async def create(store: MemoryStore, key: SessionKey = KEY, session_class: SessionClass = CHAT) -> None:
    await store.create(Creation(key, ANN, session_class, "epoch001", 1_000_000))


def send(store: MemoryStore, *drafts: Draft) -> "asyncio.Future[Sequence[Receipt | AnypodError] | AnypodError]":
    outcome: asyncio.Future[Sequence[Receipt | AnypodError] | AnypodError] = asyncio.get_running_loop().create_future()
    store.append(Append(KEY, drafts), lambda _, result: outcome.set_result(result))
    return outcome


async def names(store: MemoryStore) -> list[str]:
    found = await store.read(KEY, 0, limit=1_000)
    assert isinstance(found, Page)
    return [frame.split(b'"id":"')[1].split(b'"')[0].decode() for frame in found.frames]


async def judged(store: MemoryStore, cursor: str) -> Resume | Reset:
    after = parse_after(cursor)
    assert not isinstance(after, str)
    found = await store.read(KEY, after.seq, limit=0)
    assert isinstance(found, Page)
    return judge(after, found.snapshot.facts)


async def settled(ear: Ear, *expected: int | str) -> None:
    """Wait until exactly this was heard."""
    async with asyncio.timeout(5):
        while len(ear.heard) < len(expected):
            ear.changed.clear()
            await ear.changed.wait()
    assert ear.heard == list(expected)


async def test_whatever_order_the_loop_runs_its_callbacks_in_the_feed_keeps_the_logs(server: MemoryServer) -> None:
    ear = Ear()
    store, other = await opened(server, ear), await opened(server)
    await create(store)
    await store.subscribe(KEY)
    loop, rng = asyncio.get_running_loop(), random.Random(7)
    outcomes = []
    for number in range(60):
        outcomes.append(send(rng.choice([store, other]), event(f"e{number}")))
        for _ in range(rng.randrange(3)):
            loop.call_soon(lambda: None)
            await asyncio.sleep(0)
    await asyncio.gather(*outcomes)
    await settled(ear, *range(1, 61))


async def test_a_cut_feed_loses_what_was_on_its_way_and_says_so(server: MemoryServer) -> None:
    ear = Ear()
    store = await opened(server, ear)
    await create(store)
    await store.subscribe(KEY)
    await send(store, event("e1"))
    await settled(ear, 1)
    server.append(Append(KEY, [event("e2")]))
    server.cut_feeds()
    server.append(Append(KEY, [event("e3")]))
    await settled(ear, 1, "barrier")
    server.append(Append(KEY, [event("e4")]))
    await settled(ear, 1, "barrier", 4)


async def test_a_stopped_server_is_silent_until_it_is_started(server: MemoryServer) -> None:
    ear = Ear()
    store = await opened(server, ear)
    await create(store)
    await store.subscribe(KEY)
    server.stop()
    assert not store.is_available
    with pytest.raises(AnypodError) as caught:
        await store.read(KEY, 0, limit=1)
    assert caught.value.code == "unavailable"
    outcome = send(store, event("e1"))
    for _ in range(20):
        await asyncio.sleep(0)
    assert not outcome.done()
    server.start()
    assert reraise(await outcome)[0].seq == 1
    await settled(ear, "barrier", 1)


async def test_an_append_whose_reply_was_lost_is_carried_out_once(server: MemoryServer) -> None:
    store = await opened(server)
    await create(store)
    outcomes = [send(store, event(f"e{number}")) for number in range(5)]
    await asyncio.sleep(0)  # the server has them, the replies are on their way
    server.restart()
    results = [reraise(await outcome)[0] for outcome in outcomes]
    assert [(item.seq, item.is_duplicate) for item in results] == [(number, True) for number in range(1, 6)]
    assert await names(store) == [f"e{number}" for number in range(5)]


async def test_a_wait_for_the_server_ends(server: MemoryServer) -> None:
    store = await opened(server, wait_s=0.05)
    await create(store)
    server.stop()
    outcomes = [send(store, event("e1")), send(store, event("e2"))]
    for outcome in outcomes:
        refusal = await outcome
        assert isinstance(refusal, AnypodError)
        assert refusal.code == "unavailable"


async def test_a_restart_begins_a_term_and_loses_nothing(server: MemoryServer) -> None:
    store = await opened(server)
    await create(store)
    first = reraise(await send(store, event("e1")))[0]
    server.restart()
    second = reraise(await send(store, event("e2")))[0]
    assert first.cursor.split("-")[1] != second.cursor.split("-")[1]
    assert [await judged(store, item.cursor) for item in (first, second)] == [Resume(1), Resume(2)]


async def test_a_failover_takes_back_everything_since_the_snapshot(server: MemoryServer) -> None:
    store = await opened(server)
    await create(store)
    first = reraise(await send(store, event("e1")))[0]
    lagging = server.snapshot()
    second = reraise(await send(store, event("e2")))[0]
    await create(store, OTHER)
    await store.raise_fence(KEY, "t1")
    server.fail_over(lagging)
    assert await names(store) == ["e1"]
    assert await store.read(OTHER, 0, limit=1) == Missing()
    assert await store.raise_fence(KEY, "t1") == 1
    again = reraise(await send(store, event("e3")))[0]
    assert again.seq == second.seq
    assert [await judged(store, item.cursor) for item in (first, second, again)] == [Resume(1), Reset("rolled_back", 1), Resume(2)]


async def test_a_snapshot_can_be_failed_over_to_more_than_once(server: MemoryServer) -> None:
    store = await opened(server)
    await create(store)
    lagging = server.snapshot()
    for name in ("e1", "e2"):
        await send(store, event(name))
        server.fail_over(lagging)
        assert await names(store) == []


async def test_what_waits_is_bounded(server: MemoryServer) -> None:
    store = await opened(server, wait_s=0.05)
    await create(store)
    server.stop()
    item = event("e1")
    outcomes = [send(store, item) for _ in range(WAITING_MAX + 1)]
    last = await outcomes[-1]
    assert isinstance(last, AnypodError)
    assert last.code == "overloaded"
    await asyncio.gather(*outcomes)


async def test_a_closed_store_refuses_what_waited_and_hears_nothing_more(server: MemoryServer) -> None:
    ear = Ear()
    store, other = await opened(server, ear), await opened(server)
    await create(store)
    await store.subscribe(KEY)
    server.stop()
    outcome = send(store, event("e1"))
    await store.close()
    await store.close()
    refusal = await outcome
    assert isinstance(refusal, AnypodError)
    server.start()
    await send(other, event("e2"))
    assert ear.heard == []
    assert not store.is_available


async def test_time_is_the_clocks_so_that_a_simulation_can_pass_days(server: MemoryServer, clock: SteppedClock) -> None:
    store = await opened(server)
    await create(store)
    await send(store, event("e1"))
    clock.ms += CHAT.ttl_ms
    assert await names(store) == ["e1"], "never earlier than it was said"
    clock.ms += CHAT.ttl_ms // 16 + 1
    assert await store.read(KEY, 0, limit=1) == Missing()


async def test_a_deleted_session_is_remembered_for_a_day(server: MemoryServer, clock: SteppedClock) -> None:
    store = await opened(server)
    await create(store)
    await store.delete(KEY, ANN)
    clock.ms += 86_399_999
    assert await store.read(KEY, 0, limit=1) == Missing(was_deleted=True, owner=ANN)
    clock.ms += 1
    assert await store.read(KEY, 0, limit=1) == Missing()


async def test_a_touch_is_recorded_once_a_minute(server: MemoryServer, clock: SteppedClock) -> None:
    store = await opened(server)
    await create(store)
    created_ms = clock.ms
    clock.ms += 59_999
    await store.touch(KEY)
    assert (await store.sessions(KEY.tenant, ANN, before_ms=None, limit=1))[0].active_ms == created_ms
    clock.ms += 1
    await store.touch(KEY)
    assert (await store.sessions(KEY.tenant, ANN, before_ms=None, limit=1))[0].active_ms == created_ms + 60_000


async def test_an_expired_session_costs_no_quota(server: MemoryServer, clock: SteppedClock) -> None:
    store = await opened(server)
    await store.create(Creation(KEY, ANN, CHAT, "epoch001", 1))
    clock.ms += 2 * CHAT.ttl_ms
    await store.create(Creation(OTHER, ANN, CHAT, "epoch001", 1))
    assert [item.key for item in await store.sessions(KEY.tenant, ANN, before_ms=None, limit=9)] == [OTHER]


def test_sessions_that_nobody_asks_for_again_do_not_stay_for_ever() -> None:
    contents, numbers = ServerContents(), count()
    for now_ms in range(0, 100_000, 10):
        key = SessionKey(TenantId("acme"), SessionId(f"s{next(numbers)}"))
        owner = Subject(f"u{now_ms}")
        contents.add(key, Log.begin(Creation(key, owner, SessionClass("brief", 100, 10), "epoch001", 1), now_ms, "aaaaaa"), now_ms)
    assert len(contents.logs) <= 2 * SWEEP_MIN
    assert len(contents.index) <= 2 * SWEEP_MIN
