"""What a replica hears of the sessions that it has subscribed to."""

import asyncio

from tests.store.backends import Backend
from tests.store.kit import Ear, append, create, delta, event, fields, log_of, patch, send, seq_of

from anypod.core.event import position
from anypod.core.identity import SessionKey
from anypod.store import Store


async def test_after_a_subscription_every_event_is_heard_as_the_log_has_it(store: Store, ear: Ear) -> None:
    key = await create(store)
    await append(store, key, event("before"))
    await store.subscribe(key)
    await append(store, key, event("e1"), delta("d1", "a"), event("e2", replaces="a"))
    await ear.until(lambda: len(ear.frames(key)) == 3, "three events")
    assert ear.frames(key) == (await log_of(store, key))[1:]


async def test_events_are_heard_in_the_order_of_the_log_by_every_replica(backend: Backend) -> None:
    ears = [Ear(), Ear(), Ear()]
    stores = [await backend.open(ear) for ear in ears]
    key = await create(stores[0])
    await asyncio.gather(*(store.subscribe(key) for store in stores))
    await asyncio.gather(*(send(store, key, event(f"e{place}-{n}")) for n in range(50) for place, store in enumerate(stores)))
    for ear in ears:
        await ear.until(lambda ear=ear: len(ear.frames(key)) == 150, "150 events")  # type: ignore[misc]
        assert [seq_of(frame) for frame in ear.frames(key)] == list(range(1, 151))
    assert ears[0].frames(key) == ears[1].frames(key) == ears[2].frames(key)


async def test_nothing_is_heard_of_sessions_that_nobody_asked_for(store: Store, ear: Ear) -> None:
    one, two = await create(store), await create(store)
    await store.subscribe(two)
    await append(store, one, event("e1"))
    await append(store, two, event("e2"))
    await ear.until(lambda: bool(ear.heard), "one event")
    assert [heard for heard, _ in ear.heard] == [two]


async def test_after_the_end_of_a_subscription_nothing_more_is_heard(store: Store, ear: Ear) -> None:
    key, other = await create(store), await create(store)
    await asyncio.gather(store.subscribe(key), store.subscribe(other))
    store.unsubscribe(key)
    await append(store, key, event("e1"))
    await append(store, other, event("e2"))
    await ear.until(lambda: bool(ear.of(other)), "the other session's event")
    assert ear.of(key) == []


async def test_a_subscription_taken_back_and_made_again_holds(store: Store, ear: Ear) -> None:
    key = await create(store)
    for _ in range(3):
        await store.subscribe(key)
        store.unsubscribe(key)
    await store.subscribe(key)
    await append(store, key, event("e1"))
    await ear.until(lambda: len(ear.frames(key)) == 1, "one event, once")


async def test_subscribing_twice_is_the_same_as_once(store: Store, ear: Ear) -> None:
    key = await create(store)
    await asyncio.gather(store.subscribe(key), store.subscribe(key))
    await store.subscribe(key)
    await append(store, key, event("e1"))
    await append(store, key, event("e2"))
    await ear.until(lambda: len(ear.frames(key)) >= 2, "two events")
    assert [seq_of(frame) for frame in ear.frames(key)] == [1, 2]
    assert ear.barriers == []


async def test_a_notice_reaches_every_replica_that_has_subscribed_and_the_sender_too(backend: Backend) -> None:
    ears = [Ear(), Ear(), Ear()]
    stores = [await backend.open(ear) for ear in ears]
    key = await create(stores[0])
    await asyncio.gather(stores[0].subscribe(key), stores[1].subscribe(key))
    stores[0].notify(key, b'{"type":"n.signal","frame":{"x":1}}')
    for ear in ears[:2]:
        await ear.until(lambda ear=ear: bool(ear.notices(key)), "the notice")  # type: ignore[misc]
        assert ear.notices(key) == [{"type": "n.signal", "frame": {"x": 1}}]
    assert ears[2].heard == []


async def test_nothing_is_heard_before_the_call_that_causes_it_returns(store: Store, ear: Ear) -> None:
    key = await create(store)
    await store.subscribe(key)
    outcome = send(store, key, event("e1"), patch=patch(1, state=b"{}"))
    store.notify(key, b'{"type":"n.deleted"}')
    assert ear.heard == []
    await outcome
    await ear.until(lambda: len(ear.of(key)) == 3, "event and two notices")


async def test_events_of_one_read_come_together(store: Store, ear: Ear) -> None:
    key = await create(store)
    await store.subscribe(key)
    await append(store, key, *(event(f"e{n}") for n in range(200)))
    await ear.until(lambda: len(ear.frames(key)) == 200, "200 events")
    assert ear.batches <= 20


async def test_after_an_interruption_a_barrier_names_every_subscribed_session(backend: Backend) -> None:
    ear = Ear()

    def named() -> list[SessionKey]:
        return [key for barrier in ear.barriers for key in barrier]

    store = await backend.open(ear)
    keys = [await create(store) for _ in range(3)]
    gone = await create(store)
    await asyncio.gather(*(store.subscribe(key) for key in (*keys, gone)))
    store.unsubscribe(gone)
    backend.cut_feeds()
    await ear.until(lambda: len(named()) >= len(keys), "a barrier, of a cluster one from each node")
    assert sorted(named()) == sorted(keys)
    for number, key in enumerate(keys):
        await append(store, key, event(f"e{number}"))
    await ear.until(lambda: all(ear.frames(key) for key in keys), "events after the barrier")
    assert sorted(named()) == sorted(keys), "each once"


async def test_whatever_an_interruption_swallowed_is_in_the_log_once_the_barrier_comes(backend: Backend) -> None:
    ear = Ear()
    store, writer = await backend.open(ear), await backend.open()
    key = await create(store)
    await store.subscribe(key)
    sent = 0
    for _ in range(3):
        barriers = len(ear.barriers)
        outcomes = [send(writer, key, event(f"e{sent + n}")) for n in range(20)]
        backend.cut_feeds()
        await asyncio.gather(*outcomes)
        sent += 20
        await ear.until(lambda barriers=barriers: len(ear.barriers) > barriers, "a barrier")  # type: ignore[misc]
    await append(writer, key, event("last"))
    await ear.until(lambda: bool(ear.frames(key)) and fields(ear.frames(key)[-1])["id"] == "last", "the last event")
    logged = await log_of(store, key)
    assert [position(frame).seq for frame in logged] == list(range(1, sent + 2))
    assert set(ear.frames(key)) <= set(logged)


async def test_a_subscription_made_during_an_interruption_holds(backend: Backend) -> None:
    ear = Ear()
    store = await backend.open(ear)
    old, new = await create(store), await create(store)
    await store.subscribe(old)
    backend.cut_feeds()
    await store.subscribe(new)
    await append(store, new, event("e1"))
    await ear.until(lambda: bool(ear.frames(new)), "the new session's event")
