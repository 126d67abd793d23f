"""Everything of a subject or of a tenant is taken away: the store's part, page by page."""

from tests.store.backends import Backend
from tests.store.kit import Ear, append, create, event, fresh_key, fresh_owner, log_of, refused_call

from anypod.core.identity import SessionKey, Subject, TenantId
from anypod.store import Member, Missing, Store


async def erase(store: Store, tenant: TenantId, owner: Subject | None, *, limit: int = 10) -> tuple[int, int]:
    """One pass: sessions and records."""
    cursor, sessions, records = "", 0, 0
    while True:
        page = await store.erase(tenant, owner, cursor, limit=limit)
        sessions, records, cursor = sessions + page.sessions, records + page.records, page.cursor
        if not cursor:
            return sessions, records


async def is_gone(store: Store, key: SessionKey) -> bool:
    """Without even a tombstone, which would name its owner."""
    found = await store.read(key, None, limit=0)
    return found == Missing()


async def test_of_a_subject_every_session_goes_and_the_others_stay(backend: Backend) -> None:
    ear = Ear()
    store = await backend.open(ear)
    tenant = TenantId(f"t{fresh_key().session}"[:64])
    ann, bob = fresh_owner(), fresh_owner()
    theirs = [await create(store, key=fresh_key(tenant), owner=ann, live=b'{"a":1}') for _ in range(25)]
    others = await create(store, key=fresh_key(tenant), owner=bob)
    elsewhere = await create(store, key=fresh_key(f"{tenant}x"[-64:]), owner=ann)
    for key in (*theirs, others, elsewhere):
        await append(store, key, event("e1"))
        await store.touch(key)
    await store.join(theirs[0], "life", [Member("member", "attachment", b"{}")])
    await store.delete(theirs[1], ann)  # its tombstone names her
    await store.subscribe(theirs[2])
    assert await erase(store, tenant, ann) == (24, 25)
    assert [await is_gone(store, key) for key in theirs] == [True] * 25
    assert await store.sessions(tenant, ann, before_ms=None, limit=100) == []
    assert (await store.usage(tenant, ann)).subject_bytes == 0
    assert len(await log_of(store, others)) == len(await log_of(store, elsewhere)) == 1
    assert len(await store.sessions(tenant, bob, before_ms=None, limit=100)) == 1
    await ear.until(lambda: [notice["type"] for notice in ear.notices(theirs[2])] == ["n.deleted"], "who is attached is told")
    assert await erase(store, tenant, ann) == (0, 0)


async def test_of_a_tenant_everything_goes_and_its_neighbours_keep_all(backend: Backend) -> None:
    store = await backend.open()
    tenant = TenantId("note")  # as a part of a key is called, too
    neighbours = [TenantId("notes"), TenantId("not"), TenantId("n.te"), TenantId("all")]
    owner = fresh_owner()
    theirs = [await create(store, key=fresh_key(tenant), owner=fresh_owner()) for _ in range(12)]
    kept = [await create(store, key=fresh_key(name), owner=owner) for name in neighbours]
    for key in (*theirs, *kept):
        await append(store, key, event("e1"))
        await store.touch(key)
    await store.swap_note("a-ticket", b"{}", ttl_ms=60_000)
    sessions, records = await erase(store, tenant, None)
    assert sessions == 12
    assert records >= 12
    assert [await is_gone(store, key) for key in theirs] == [True] * 12
    assert [len(await log_of(store, key)) for key in kept] == [1] * 4
    assert [len(await store.sessions(name, owner, before_ms=None, limit=9)) for name in neighbours] == [1] * 4
    assert await store.swap_note("a-ticket", None, ttl_ms=1) == b"{}"
    assert await erase(store, tenant, None) == (0, 0)
    for key in kept:
        await store.delete(key, owner)


async def test_a_record_of_an_erasure_is_changed_by_compare_and_swap(backend: Backend) -> None:
    one, two = await backend.open(), await backend.open()
    name = f"erasure-{fresh_key().session}"
    assert await one.swap_erasure(name, None, b"first", ttl_ms=60_000)
    assert not await two.swap_erasure(name, None, b"other", ttl_ms=60_000)
    assert await two.swap_erasure(name, b"first", b"second", ttl_ms=60_000)
    assert not await one.swap_erasure(name, b"first", b"third", ttl_ms=60_000)
    assert (await one.erasures())[name] == b"second"
    assert await one.swap_erasure(name, b"second", None, ttl_ms=60_000)
    assert name not in await two.erasures()


async def test_there_are_no_more_records_of_erasures_than_a_thousand(backend: Backend) -> None:
    store = await backend.open()
    names = [f"many-{number}" for number in range(1_000 - len(await store.erasures()))]
    for name in names:
        assert await store.swap_erasure(name, None, b"{}", ttl_ms=60_000)
    assert await refused_call(store.swap_erasure("one too many", None, b"{}", ttl_ms=60_000)) == "quota_exceeded"
    for name in names:
        await store.swap_erasure(name, b"{}", None, ttl_ms=60_000)
