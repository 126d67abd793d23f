"""Sessions are made, listed, ended and deleted; who is present in them."""

import asyncio

import pytest
from tests.store.kit import (
    CHAT,
    OWNER,
    STRANGER,
    Ear,
    append,
    create,
    event,
    fresh_key,
    fresh_owner,
    is_missing,
    log_of,
    page,
    refused,
    refused_call,
    snapshot,
)

from anypod.core.identity import SessionId, SessionKey, Subject, TenantId
from anypod.store import Creation, Member, Missing, SessionClass, Store


async def test_a_new_session_is_empty_and_says_what_it_was_made_with(store: Store) -> None:
    key, owner = fresh_key(), fresh_owner()
    found, is_new = await store.create(Creation(key, owner, CHAT, "abcd1234", 10, b'{"a":1}', b'{"l":1}', b'{"m":1}'))
    item = found.snapshot
    assert is_new
    assert (list(found.frames), found.through) == ([], 0)
    assert (item.facts.head.epoch, item.facts.head.seq, item.facts.oldest, item.facts.folded) == ("abcd1234", 0, 1, 0)
    assert (item.owner, item.class_name, item.state, item.live, item.metadata) == (owner, "chat", b'{"a":1}', b'{"l":1}', b'{"m":1}')
    assert (item.version, item.is_closed) == (1, False)
    assert item.expires_at_ms - CHAT.ttl_ms > item.live_until_ms - CHAT.live_ms - 1_000


async def test_a_session_that_its_owner_has_already_is_given_back(store: Store) -> None:
    key = await create(store, state=b'{"a":1}')
    await append(store, key, event("e1"))
    found, is_new = await store.create(Creation(key, OWNER, CHAT, "epoch002", 1_000_000, b'{"a":2}'))
    assert not is_new
    assert (found.snapshot.facts.head.epoch, found.snapshot.facts.head.seq, found.snapshot.state) == ("epoch001", 1, b'{"a":1}')
    assert (list(found.frames), found.through) == ([], 1)


async def test_a_session_of_somebody_else_is_not_given_away(store: Store) -> None:
    key = await create(store, owner=OWNER)
    assert await refused_call(store.create(Creation(key, STRANGER, CHAT, "epoch002", 10))) == "no_such_session"
    assert list(await store.sessions(key.tenant, STRANGER, before_ms=None, limit=10)) == []
    assert (await snapshot(store, key)).owner == OWNER


async def test_a_subject_has_so_many_sessions_and_no_more(store: Store) -> None:
    owner = fresh_owner()
    keys = [await create(store, owner=owner, sessions_max=2) for _ in range(2)]
    assert await refused_call(create(store, owner=owner, sessions_max=2)) == "quota_exceeded"
    _, is_new = await store.create(Creation(keys[0], owner, CHAT, "epoch002", 2))
    assert not is_new, "the one that is there costs nothing"
    await create(store, owner=fresh_owner(), sessions_max=2)
    await store.delete(keys[1], owner)
    await create(store, owner=owner, sessions_max=2)


async def test_a_refused_creation_leaves_no_trace_in_the_quota(store: Store) -> None:
    key, owner = await create(store, owner=OWNER), fresh_owner()
    for _ in range(3):
        assert await refused_call(create(store, key=key, owner=owner, sessions_max=1)) == "no_such_session"
    await create(store, owner=owner, sessions_max=1)


async def test_two_who_create_the_same_session_at_once_get_the_same_one(store: Store) -> None:
    key = fresh_key()
    results = await asyncio.gather(*(store.create(Creation(key, OWNER, CHAT, f"epoch00{n}", 10_000)) for n in range(5)))
    assert sorted(is_new for _, is_new in results) == [False] * 4 + [True]
    assert len({found.snapshot.facts.head.epoch for found, _ in results}) == 1


async def test_reading_what_was_never_there_finds_nothing(store: Store) -> None:
    assert await store.read(fresh_key(), 0, limit=1) == Missing()


async def test_ending_a_log_twice_is_the_same_as_once(store: Store, ear: Ear) -> None:
    key = await create(store)
    await store.subscribe(key)
    cursor = (await append(store, key, event("e1")))[0].cursor
    assert [await store.end(key, OWNER), await store.end(key, None)] == [cursor, cursor]
    await ear.until(lambda: bool(ear.notices(key)), "the end is told")
    assert ear.notices(key) == [{"type": "n.closed", "cursor": cursor}]
    assert (await snapshot(store, key)).is_closed
    assert len(await log_of(store, key)) == 1
    assert await refused_call(store.raise_fence(key, "t1")) == "closed"


async def test_only_the_owner_ends_and_deletes_where_one_is_named(store: Store) -> None:
    key = await create(store, owner=OWNER)
    assert await refused_call(store.end(key, STRANGER)) == "no_such_session"
    assert await refused_call(store.delete(key, STRANGER)) == "no_such_session"
    assert not (await snapshot(store, key)).is_closed
    await store.delete(key, None)
    assert is_missing(await store.read(key, 0, limit=1))


async def test_what_is_deleted_is_gone_and_its_owner_can_be_told(store: Store, ear: Ear) -> None:
    key = await create(store, owner=OWNER)
    await store.subscribe(key)
    await append(store, key, event("e1"))
    await store.join(key, "life", (Member("phone", "a1", b"{}"),))
    await store.delete(key, OWNER)
    assert await store.read(key, 0, limit=1) == Missing(was_deleted=True, owner=OWNER)
    await ear.until(lambda: len(ear.notices(key)) == 2, "the deletion is told")
    assert [notice["type"] for notice in ear.notices(key)] == ["n.signal", "n.deleted"]
    assert await refused(store, key, event("e2")) == "no_such_session"
    for call in (store.end(key, None), store.delete(key, None), store.raise_fence(key, "t"), store.history(key, None, limit=1)):
        assert await refused_call(call) == "no_such_session"
    assert await refused_call(store.join(key, "life", (Member("phone", "a1", b"{}"),))) == "no_such_session"
    assert await store.heads([key]) == {key: None}
    assert key not in [item.key for item in await store.sessions(key.tenant, OWNER, before_ms=None, limit=1_000_000)]


async def test_a_deleted_name_is_free_and_the_new_session_knows_nothing_of_the_old(store: Store) -> None:
    key = await create(store, owner=OWNER)
    await append(store, key, event("e1"))
    await store.delete(key, OWNER)
    await create(store, key=key, owner=STRANGER, epoch="epoch002")
    assert (await append(store, key, event("e1")))[0].cursor.startswith("epoch002-1")
    assert (await snapshot(store, key)).owner == STRANGER


async def test_sessions_are_listed_by_subject_latest_first_and_in_pages(store: Store) -> None:
    owner = fresh_owner()
    keys = []
    for _ in range(3):
        keys.append(await create(store, owner=owner))
        await asyncio.sleep(0.002)  # so that no two have the same millisecond
    listed = await store.sessions(TenantId("acme"), owner, before_ms=None, limit=10)
    assert [item.key for item in listed] == keys[::-1]
    first = await store.sessions(TenantId("acme"), owner, before_ms=None, limit=2)
    second = await store.sessions(TenantId("acme"), owner, before_ms=first[-1].active_ms, limit=2)
    assert [item.key for item in (*first, *second)] == keys[::-1]
    assert list(await store.sessions(TenantId("other"), owner, before_ms=None, limit=10)) == []


async def test_a_touch_within_the_minute_changes_nothing(store: Store) -> None:
    owner = fresh_owner()
    old = await create(store, owner=owner)
    await asyncio.sleep(0.002)
    new = await create(store, owner=owner)
    await store.touch(old)
    listed = await store.sessions(TenantId("acme"), owner, before_ms=None, limit=10)
    assert [item.key for item in listed] == [new, old]


@pytest.mark.parametrize("name", ["ann/x", "ann}x{", "a:b c", "ann\n", "Änne", "*"])
async def test_a_subject_may_be_any_text(store: Store, name: str) -> None:
    owner = Subject(f"{name}{fresh_owner()}")
    key = await create(store, owner=owner)
    assert (await snapshot(store, key)).owner == owner
    assert [item.key for item in await store.sessions(key.tenant, owner, before_ms=None, limit=10)] == [key]
    assert (await append(store, key, event("e1"), owner=owner))[0].seq == 1


async def test_the_same_name_in_two_tenants_is_two_sessions(store: Store) -> None:
    name = fresh_key().session
    one = await create(store, key=SessionKey(TenantId("one"), name))
    two = await create(store, key=SessionKey(TenantId("two"), name))
    await append(store, one, event("e1"))
    assert (await page(store, two)).frames == []
    assert is_missing(await store.read(SessionKey(TenantId("three"), SessionId(name)), 0, limit=1))


async def test_fences_are_counted_from_one_for_each_turn(store: Store) -> None:
    key = await create(store)
    assert [await store.raise_fence(key, turn) for turn in ("a", "a", "b", "a")] == [1, 2, 1, 3]
    assert await refused_call(store.raise_fence(fresh_key(), "a")) == "no_such_session"


async def test_a_session_without_a_limit_on_age_or_number_keeps_everything(store: Store) -> None:
    key = await create(store, SessionClass("plain", ttl_ms=600_000, live_ms=1_000))
    await append(store, key, *(event(f"e{n}", ts_ms=1) for n in range(100)))
    await store.tidy(key)
    assert len(await log_of(store, key)) == 100
