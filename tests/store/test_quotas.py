"""What a session, a subject and a tenant may store, and that it is given back."""

from dataclasses import replace

from tests.store.kit import (
    CHAT,
    append,
    create,
    delta,
    event,
    fresh_key,
    fresh_owner,
    is_missing,
    refused,
    refused_call,
    send,
)

from anypod.core.errors import AnypodError
from anypod.core.identity import SessionKey, Subject, TenantId
from anypod.store import SUBJECT_DELETIONS_MAX, Missing, Store

KIB = 1 << 10
LARGE = "x" * (8 * KIB)
BOUND = replace(CHAT, bytes_max=256 * KIB, event_bytes=16 * KIB)


async def test_a_session_holds_so_many_bytes_and_no_more(store: Store) -> None:
    key = await create(store, BOUND)
    outcomes = [await send(store, key, event(f"e{number}", LARGE)) for number in range(40)]
    count = sum(not isinstance(outcome, AnypodError) for outcome in outcomes)
    assert 24 <= count <= 32, "256 KiB of 8 KiB each, and what the store needs beside them"
    assert await refused(store, key, event("more", LARGE)) == "quota_exceeded"
    assert await refused(store, key, delta("delta", "part"), event("beside", LARGE)) == "quota_exceeded"


async def test_a_session_that_is_trimmed_goes_on_within_its_bytes(store: Store) -> None:
    key = await create(store, replace(BOUND, retain_events=4))
    for number in range(60):
        await append(store, key, event(f"e{number}", LARGE))


async def test_folding_gives_bytes_back(store: Store) -> None:
    key = await create(store, replace(BOUND, fold_after_ms=0))
    for number in range(10):
        for part in range(4):
            await append(store, key, event(f"d{number}.{part}", LARGE, kind="token", part="p"))
        await append(store, key, event(f"e{number}", "done", replaces="p"))


async def test_what_a_subject_and_its_tenant_hold_is_known_and_given_back(store: Store) -> None:
    key, owner, other = fresh_key(f"tenant-{fresh_key().session}"), fresh_owner(), fresh_owner()
    tenant = key.tenant
    await create(store, key=key, owner=owner)
    second = await create(store, key=SessionKey(tenant, fresh_key().session), owner=owner)
    third = await create(store, key=SessionKey(tenant, fresh_key().session), owner=other)
    for session in (key, second, third):
        for number in range(10):
            await append(store, session, event(f"e{number}", LARGE))
        touched = await store.touch(session)
    assert touched is not None
    usage = touched
    assert usage.owner == other
    assert 80 * KIB <= usage.subject_bytes < 120 * KIB
    assert 240 * KIB <= usage.tenant_bytes < 360 * KIB
    usage = await store.usage(tenant, owner)
    assert (usage.owner, 160 * KIB <= usage.subject_bytes < 240 * KIB) == (owner, True)
    await store.delete(second, owner)
    assert 80 * KIB <= (await store.usage(tenant, owner)).subject_bytes < 120 * KIB
    assert 160 * KIB <= (await store.usage(tenant, other)).tenant_bytes < 240 * KIB
    await store.delete(key, owner)
    await store.delete(third, other)
    assert await store.usage(tenant, owner) == (owner, 0, 0)


async def test_a_touch_of_what_is_not_there_says_so(store: Store) -> None:
    assert await store.touch(fresh_key()) is None


async def test_of_so_many_deletions_in_a_day_the_owner_is_told_and_of_further_ones_nothing_is_left(store: Store) -> None:
    owner, keys = fresh_owner(), []
    for _ in range(SUBJECT_DELETIONS_MAX + 20):
        keys.append(key := await create(store, owner=owner, sessions_max=1))
        await store.delete(key, owner)
    told = [await store.read(key, None, limit=0) for key in keys]
    assert all(map(is_missing, told))
    is_told = [found == Missing(was_deleted=True, owner=owner) for found in told]
    assert is_told == [True] * SUBJECT_DELETIONS_MAX + [False] * 20


async def test_who_deletes_again_is_told_that_nothing_is_there_and_its_place_is_free(store: Store) -> None:
    owner = fresh_owner()
    key = await create(store, owner=owner, sessions_max=1)
    await store.delete(key, owner)
    assert await refused_call(store.delete(key, owner)) == "no_such_session"
    assert await refused_call(store.delete(key, Subject("stranger"))) == "no_such_session"
    await create(store, owner=owner, sessions_max=1)
    assert len(await store.sessions(TenantId("acme"), owner, before_ms=None, limit=9)) == 1
