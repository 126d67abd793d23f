"""Housekeeping that no replica has to remember: the calendar says whose turn it is, and whoever asks does it."""

import asyncio

from tests.store.backends import Backend
from tests.store.kit import append, create, delta, event, ids_of, refused_call
from tests.support.waiting import until

from anypod.core.identity import SessionKey, partition
from anypod.store import Due, SessionClass, Store

SOON = SessionClass("soon", ttl_ms=600_000, live_ms=30_000, fold_after_ms=200, part_open_ms=1_500, dedup_ms=600_000)


async def due(store: Store, key: SessionKey) -> list[Due]:
    """Of this session: the calendar is shared with those of other tests."""
    return [item for item in await store.due(partition(key), limit=1_000) if item.key == key]


async def until_due(store: Store, key: SessionKey) -> Due:
    found = list[Due]()

    async def is_due() -> bool:
        found.extend(await due(store, key))
        return bool(found)

    await until(is_due, "the session is due")
    return found[0]


async def test_a_session_is_due_at_its_time_and_taken_by_one_who_asks(store: Store, backend: Backend) -> None:
    other = await backend.open()
    key = await create(store)
    store.schedule(key, 200)
    await store.keep(key)  # goes the same way, later
    assert await due(other, key) == []
    await until_due(other, key)
    assert await due(store, key) == [], "its turn has been taken"


async def test_what_was_scheduled_for_an_earlier_time_is_not_put_off(store: Store) -> None:
    key = await create(store)
    store.schedule(key, 1)
    store.schedule(key, 600_000)
    await until_due(store, key)


async def test_housekeeping_says_when_to_come_again_until_there_is_nothing_to_do(store: Store) -> None:
    key = await create(store, SOON)
    await append(store, key, delta("d1", "abandoned"), delta("d2", "p"), event("end", replaces="p"))
    store.schedule(key, 1)
    waits = list[int]()
    for _ in range(20):
        item = await until_due(store, key)
        in_ms = await store.tidy(key, item.turn)
        if in_ms is None:
            break
        waits.append(in_ms)
    assert await ids_of(store, key) == ["end"], "both parts have folded, with nobody but the calendar to ask for it"
    assert all(1_000 <= in_ms <= 1_500 for in_ms in waits)
    await asyncio.sleep(1.1)
    assert await due(store, key) == []


async def test_a_session_that_was_put_there_in_the_meantime_stays(store: Store) -> None:
    key = await create(store)
    store.schedule(key, 1)
    item = await until_due(store, key)
    store.schedule(key, 1)
    assert await store.tidy(key, item.turn) is None
    await until_due(store, key)


async def test_more_ids_than_one_round_looks_at_take_more_rounds_at_once(store: Store) -> None:
    key = await create(store, SessionClass("brief", ttl_ms=600_000, live_ms=30_000, dedup_ms=1_000))
    for start in range(0, 3_000, 500):
        await append(store, key, *(event(f"e{number}") for number in range(start, start + 500)))
    await asyncio.sleep(1.1)
    rounds = 1
    while await store.tidy(key) == 0:
        rounds += 1
    assert rounds <= 4
    assert not (await append(store, key, event("e2000")))[0].is_duplicate
    assert (await append(store, key, event("e2999")))[0].is_duplicate


async def test_a_session_that_has_gone_leaves_the_calendar(store: Store) -> None:
    key = await create(store)
    store.schedule(key, 1)
    await store.delete(key, None)
    item = await until_due(store, key)
    assert await store.tidy(key, item.turn) is None


async def test_a_session_that_is_kept_does_not_expire(store: Store) -> None:
    key = await create(store, SessionClass("brief", ttl_ms=300, live_ms=100))
    for _ in range(8):
        assert 290 < await store.keep(key) <= 320
        await asyncio.sleep(0.1)
    assert (await append(store, key, event("e1")))[0].seq == 1
    await asyncio.sleep(0.4)
    assert await refused_call(store.keep(key)) == "no_such_session"
