"""What a session forgets with time: events beyond its limits, ids, and itself."""

import asyncio
import time

import pytest
from msgspec import structs
from tests.store.kit import (
    OWNER,
    append,
    create,
    delta,
    event,
    fields,
    ids_of,
    is_missing,
    log_of,
    patch,
    refused,
    refused_call,
    snapshot,
)
from tests.support.waiting import until

from anypod.store import SessionClass, Store

HOUR_MS = 3_600_000


def limited(**limits: int) -> SessionClass:
    return SessionClass("limited", ttl_ms=600_000, live_ms=30_000, **limits)


async def test_durable_events_beyond_the_number_retained_are_trimmed_with_the_deltas_among_them(store: Store) -> None:
    key = await create(store, limited(retain_events=2))
    await append(store, key, event("e1"), delta("d1", "a"), event("e2"), delta("d2", "a"), event("e3"), event("e4"))
    await store.tidy(key)
    assert await ids_of(store, key) == ["d2", "e3", "e4"]
    assert (await snapshot(store, key)).facts.oldest == 4


async def test_events_that_the_log_has_had_for_longer_than_is_retained_are_trimmed(store: Store) -> None:
    key = await create(store, limited(retain_ms=400))
    await append(store, key, event("old1"), delta("d1", "a"), event("old2"))
    await store.tidy(key)
    assert await ids_of(store, key) == ["old1", "d1", "old2"]
    await asyncio.sleep(0.45)
    await append(store, key, event("e1"))
    await store.tidy(key)
    assert await ids_of(store, key) == ["e1"]
    assert (await snapshot(store, key)).facts.oldest == 4


@pytest.mark.parametrize("wrong_ms", [-HOUR_MS, HOUR_MS])
async def test_a_replica_whose_clock_is_an_hour_wrong_changes_nothing_about_what_is_retained(store: Store, wrong_ms: int) -> None:
    key = await create(store, limited(retain_ms=400))
    now_ms = time.time_ns() // 1_000_000
    await append(store, key, event("e1", ts_ms=now_ms + wrong_ms))
    await store.tidy(key)
    assert await ids_of(store, key) == ["e1"], "it came just now"
    await asyncio.sleep(0.45)
    await append(store, key, event("e2", ts_ms=now_ms + wrong_ms))
    await store.tidy(key)
    assert await ids_of(store, key) == ["e2"], "it came too long ago"


async def test_an_event_is_retained_for_its_time_however_often_others_come(store: Store) -> None:
    key = await create(store, limited(retain_ms=600))
    until, number = time.monotonic() + 1.5, 0
    while time.monotonic() < until:
        number += 1
        await append(store, key, event(f"e{number}"))
        await store.tidy(key)
        await asyncio.sleep(0.02)
    ages = [time.time_ns() // 1_000_000 - fields(frame)["ts"] for frame in await log_of(store, key)]
    assert 500 < max(ages) < 900, "no sooner, and only a little later"


async def test_a_log_can_be_trimmed_to_nothing_and_goes_on(store: Store) -> None:
    key = await create(store, limited(retain_ms=50))
    await append(store, key, *(event(f"old{n}") for n in range(300)))
    await store.tidy(key)
    await asyncio.sleep(0.1)
    await store.tidy(key)
    assert await log_of(store, key) == []
    assert (await snapshot(store, key)).facts.oldest == 301
    assert (await append(store, key, event("e1")))[0].seq == 301
    assert await ids_of(store, key) == ["e1"]


async def test_appends_trim_by_themselves_now_and_then(store: Store) -> None:
    key = await create(store, limited(retain_events=10))
    for number in range(100):
        await append(store, key, event(f"e{number}"))
    kept = await ids_of(store, key)
    assert 10 <= len(kept) <= 41
    assert kept[-1] == "e99"
    assert (await snapshot(store, key)).facts.oldest == 101 - len(kept)


async def test_a_session_that_is_trimmed_by_number_meets_no_quota(store: Store) -> None:
    key = await create(store, limited(retain_events=3, events_max=3))
    for number in range(20):
        await append(store, key, event(f"e{number}"))
    await store.tidy(key)
    assert await ids_of(store, key) == ["e17", "e18", "e19"]


async def test_an_event_that_was_trimmed_is_still_known_by_its_id(store: Store) -> None:
    key = await create(store, limited(retain_events=1))
    first = (await append(store, key, event("e1")))[0]
    await append(store, key, event("e2"))
    await store.tidy(key)
    assert (await append(store, key, event("e1")))[0] == structs.replace(first, is_duplicate=True)


async def test_the_last_64_ids_are_known_however_old_they_are(store: Store) -> None:
    key = await create(store, limited(dedup_ms=0))
    await append(store, key, *(event(f"e{n}") for n in range(1, 201)))
    await store.tidy(key)
    assert all([(await append(store, key, event(f"e{n}")))[0].is_duplicate for n in range(137, 201)])
    assert not (await append(store, key, event("e136")))[0].is_duplicate, "it came before them"


async def test_an_id_is_known_for_the_time_that_the_class_says(store: Store) -> None:
    key = await create(store, limited(dedup_ms=HOUR_MS))
    first = (await append(store, key, event("e1")))[0]
    await append(store, key, *(event(f"x{n}") for n in range(500)))
    await store.tidy(key)
    assert (await append(store, key, event("e1")))[0] == structs.replace(first, is_duplicate=True)


async def test_appends_forget_old_ids_by_themselves(store: Store) -> None:
    key = await create(store, limited(dedup_ms=0))
    await append(store, key, event("first"))
    for number in range(130):
        await append(store, key, event(f"e{number}"))
    assert not (await append(store, key, event("first")))[0].is_duplicate


async def test_a_session_expires_a_while_after_its_last_append_or_patch(store: Store) -> None:
    key = await create(store, SessionClass("brief", ttl_ms=250, live_ms=100))
    for number in range(6):
        await append(store, key, event(f"e{number}"))
        assert (await snapshot(store, key)).expires_at_ms >= time.time_ns() // 1_000_000 + 200
    await append(store, key, patch=patch(1, state=b'{"a":1}'))

    async def is_gone() -> bool:
        return is_missing(await store.read(key, 0, limit=1))

    await until(is_gone, "the session has expired")
    assert await refused(store, key, event("late")) == "no_such_session"
    assert await refused_call(store.history(key, None, limit=1)) == "no_such_session"
    assert await store.heads([key]) == {key: None}
    found = await store.read(key, 0, limit=1)
    assert is_missing(found)
    assert not getattr(found, "was_deleted", None), "expired is not deleted"


async def test_an_expired_session_can_be_created_anew_and_remembers_nothing(store: Store) -> None:
    brief = SessionClass("brief", ttl_ms=100, live_ms=50)
    key = await create(store, brief, state=b'{"a":1}')
    await append(store, key, event("e1"), delta("d1", "a"))

    async def is_gone() -> bool:
        return is_missing(await store.read(key, 0, limit=1))

    await until(is_gone, "the session has expired")
    await create(store, brief, key=key, owner=OWNER, epoch="epoch002")
    assert (await append(store, key, event("e1")))[0].seq == 1
    assert (await snapshot(store, key)).state == b"{}"
    assert await ids_of(store, key) == ["e1"]
