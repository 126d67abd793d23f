"""One key of a session is gone, or holds something of another type: what is lost is told, and the session goes on.

Keys are `m` (small things, ids among them), `l` (durable events), `d` (deltas), `v` (live state), `w` (presence), `k` (claims of devices).
"""

from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace

import pytest
from tests.store.kit import (
    CHAT,
    OWNER,
    Ear,
    append,
    create,
    delta,
    event,
    fresh_owner,
    ids_of,
    is_missing,
    page,
    patch,
    refused,
    refused_call,
    send,
    snapshot,
    verdict,
)
from tests.store.redis_kit import opened
from tests.support.redis_servers import RedisServer

from anypod.core.cursor import Reset, Resume
from anypod.core.errors import AnypodError
from anypod.core.identity import SessionKey, partition
from anypod.redis_store import RedisStore
from anypod.redis_store.keys import Keyspace
from anypod.store import Member

Spoil = Callable[[bytes], None]


@pytest.fixture(params=["valkey", "redis", "redis8"])
def server(request: pytest.FixtureRequest) -> RedisServer:
    found: RedisServer = request.getfixturevalue(f"{request.param}_server")
    return found


@pytest.fixture
async def store(server: RedisServer) -> AsyncIterator[RedisStore]:
    async with opened(server.url) as store:
        yield store


@pytest.fixture(params=["gone", "a text", "a list"])
def spoil(request: pytest.FixtureRequest, server: RedisServer) -> Spoil:
    """Do this to a key."""

    def spoil(key: bytes) -> None:
        server.command("DEL", key)
        if request.param == "a text":
            server.command("SET", key, "{}")
        elif request.param == "a list":
            server.command("RPUSH", key, "x")

    return spoil


def names(key: SessionKey) -> tuple[bytes, bytes, bytes, bytes, bytes]:
    found = Keyspace("anypod").session(key)
    return found.meta, found.log, found.deltas, found.live, found.presence


async def test_who_missed_events_of_a_lost_stream_is_told_that_they_are_trimmed(store: RedisStore, spoil: Spoil) -> None:
    key = await create(store)
    cursors = [(await append(store, key, event(f"e{n}")))[0].cursor for n in (1, 2, 3)]
    spoil(names(key)[1])
    facts = (await page(store, key, 1)).snapshot.facts
    assert (facts.oldest, facts.head.seq) == (4, 3)
    assert [await verdict(store, key, cursor) for cursor in cursors] == [Reset("trimmed"), Reset("trimmed"), Resume(3)]
    assert await verdict(store, key, "start") == Resume(3)
    assert not (await store.history(key, None, limit=5)).frames


@pytest.mark.parametrize("how", ["one", "several", "each", "first of a part"])
async def test_a_log_goes_on_after_the_loss_and_never_gives_a_seq_twice(store: RedisStore, spoil: Spoil, how: str) -> None:
    key = await create(store)
    cursors = [(await append(store, key, event(f"e{n}"), delta(f"d{n}", "part")))[1].cursor for n in (1, 2, 3)]
    spoil(names(key)[1])
    if how == "each":
        outcomes = [send(store, key, event("new1")), send(store, key, event("new2"))]
        assert [(await outcome)[0].seq for outcome in outcomes] == [7, 8]
    else:
        drafts = {"one": (event("new1"),), "several": (event("new1"), event("new2")), "first of a part": (delta("new1", "other"),)}[how]
        assert [receipt.seq for receipt in await append(store, key, *drafts)] == list(range(7, 7 + len(drafts)))
    assert [await verdict(store, key, cursor) for cursor in cursors] == [Reset("trimmed"), Reset("trimmed"), Resume(6)]
    assert (await ids_of(store, key))[0] == "new1"
    assert (await append(store, key, event("e2")))[0].is_duplicate, "its id is known"
    await store.tidy(key)
    assert (await snapshot(store, key)).facts.oldest == 7


async def test_deltas_that_come_after_the_loss_stay(store: RedisStore, spoil: Spoil) -> None:
    key = await create(store)
    last = (await append(store, key, event("e1"), delta("d1", "part")))[1]
    spoil(names(key)[1])
    for n in (2, 3):
        assert (await append(store, key, delta(f"d{n}", "part")))[0].seq == n + 1
    assert await ids_of(store, key) == ["d2", "d3"]
    assert await verdict(store, key, last.cursor) == Resume(2)
    await append(store, key, event("whole", replaces="part"))
    assert await ids_of(store, key) == ["d2", "d3", "whole"]
    assert (await snapshot(store, key)).facts.oldest == 3


async def test_events_are_counted_anew_after_the_loss(store: RedisStore, spoil: Spoil) -> None:
    key = await create(store, replace(CHAT, events_max=3))
    await append(store, key, *(event(f"e{n}") for n in range(3)))
    assert await refused(store, key, event("e3")) == "quota_exceeded"
    spoil(names(key)[1])
    assert [(await append(store, key, event(f"e{n}")))[0].seq for n in (3, 4, 5)] == [4, 5, 6]


async def test_a_lost_stream_expires_with_its_session(store: RedisStore, server: RedisServer, spoil: Spoil) -> None:
    key = await create(store)
    await append(store, key, event("e1"), delta("d1", "part"))
    meta, log, deltas, *_ = names(key)
    for n, name in enumerate((log, deltas)):
        spoil(name)
        await append(store, key, event(f"e1{n}"), delta(f"d1{n}", "other"))
    expiry = {server.command("PEXPIRETIME", name) for name in (meta, log, deltas)}
    assert len(expiry) == 1
    assert expiry != {-1}


async def test_lost_deltas_are_told_as_folded_and_the_events_among_them_stay(store: RedisStore, spoil: Spoil) -> None:
    key = await create(store)
    first = (await append(store, key, event("e1"), delta("d1", "part"), delta("d2", "part"), event("e2")))[0]
    spoil(names(key)[2])
    found = await page(store, key, 0)
    assert (found.snapshot.facts.folded, found.snapshot.facts.oldest) == (4, 1)
    assert await ids_of(store, key) == ["e1", "e2"]
    assert await verdict(store, key, first.cursor) == Resume(1)
    assert not [frame for frame in (await page(store, key, 0, fold=True)).frames if b'"token"' in frame]

    assert (await append(store, key, delta("d3", "part")))[0].seq == 5, "the part is open still"
    ending = (await append(store, key, event("whole", replaces="part")))[0]
    assert ending.seq == 6
    found = await page(store, key, 0)
    assert (found.snapshot.facts.folded, await ids_of(store, key)) == (4, ["e1", "e2", "d3", "whole"])
    await store.tidy(key)
    assert (await snapshot(store, key)).facts.folded >= 4


async def test_without_its_small_things_a_session_is_none_and_can_be_made_anew(
    store: RedisStore, server: RedisServer, spoil: Spoil
) -> None:
    key = await create(store)
    cursor = (await append(store, key, event("e1"), delta("d1", "part")))[0].cursor
    spoil(names(key)[0])
    assert is_missing(await store.read(key, 0, limit=1))
    assert await store.heads([key]) == {key: None}
    drafts = {"one": (event("e2"),), "delta": (delta("d2", "part"),), "both": (event("e2"), event("e3"))}
    assert {await refused(store, key, *some) for some in drafts.values()} == {"no_such_session"}
    each = [send(store, key, event("e4")), send(store, key, event("e5"))]
    assert {(await outcome).code for outcome in each} == {"no_such_session"}
    calls = (
        store.history(key, None, limit=1),
        store.end(key, OWNER),
        store.delete(key, OWNER),
        store.raise_fence(key, "turn"),
        store.present(key),
        store.join(key, "life", (Member("member", "a1", b"{}"),)),
    )
    assert {await refused_call(call) for call in calls} == {"no_such_session"}
    await store.tidy(key)

    await create(store, key=key, epoch="epoch002")
    assert await ids_of(store, key) == []
    assert await verdict(store, key, cursor) == Reset("expired")
    assert (await append(store, key, event("e1"), delta("d1", "part")))[0].seq == 1


async def test_live_state_and_presence_that_are_gone_are_empty(store: RedisStore, spoil: Spoil) -> None:
    key = await create(store, live=b'{"a":1}')
    await store.join(key, "life", (Member("ann", "a1", b'{"name":"ann"}'),))
    spoil(names(key)[3])
    spoil(names(key)[4])
    assert (await snapshot(store, key)).live == b"{}"
    assert await store.present(key) == []
    await append(store, key, patch=patch(1, state=b'{"b":1}'))
    await append(store, key, patch=patch(2, live=b'{"c":1}'))
    assert (await snapshot(store, key)).live == b'{"c":1}'
    bob = Member("bob", "a2", b'{"name":"bob"}')
    await store.join(key, "life", (bob,))
    assert await store.present(key) == [("life", bob)]


async def test_the_lives_of_a_partition_that_are_gone_come_back_with_the_next_sign_of_life(store: RedisStore, spoil: Spoil) -> None:
    key = await create(store)
    ann = Member("ann", "a1", b'{"name":"ann"}')
    await store.join(key, "life", (ann,))
    spoil(Keyspace("anypod").lives(partition(key)))
    assert await store.present(key) == []
    assert not (await store.keep_life("life", (partition(key),)))[partition(key)].was_alive
    assert await store.present(key) == [("life", ann)]


async def test_a_subjects_index_that_is_gone_is_made_again_by_what_its_sessions_do(store: RedisStore, spoil: Spoil) -> None:
    owner = fresh_owner()
    key = await create(store, owner=owner)
    for name in Keyspace("anypod").index(key.tenant, owner):
        spoil(name)
    assert await store.sessions(key.tenant, owner, before_ms=None, limit=5) == []
    await store.touch(key)
    other = await create(store, owner=owner)
    assert [item.key for item in await store.sessions(key.tenant, owner, before_ms=None, limit=5)] == [other]
    await store.delete(key, owner)


async def test_whoever_is_attached_hears_on(server: RedisServer, spoil: Spoil) -> None:
    ear = Ear()
    async with opened(server.url, ear) as store:
        key = await create(store)
        await store.subscribe(key)
        await append(store, key, event("e1"))
        spoil(names(key)[1])
        await append(store, key, event("e2"))
        await ear.until(lambda: len(ear.frames(key)) == 2, "both events")
        assert not ear.barriers


@pytest.mark.parametrize("letter", ["meta", "log", "deltas", "live", "presence", "claims"])
async def test_something_of_another_type_is_never_refused_with_an_internal_error(store: RedisStore, spoil: Spoil, letter: str) -> None:
    """Every call about the session, after which the log has the last word: there is no such session, or it goes on."""
    key = await create(store)
    await append(store, key, event("e1"), delta("d1", "part"))
    number = await store.claim(key, "place")
    await store.join(key, "life", (Member("member", "a1", b"{}"),))
    spoil(getattr(Keyspace("anypod").session(key), letter))
    calls: list[Callable[[], Awaitable[object]]] = [
        lambda: store.keep(key),
        lambda: store.tidy(key),
        lambda: store.touch(key),
        lambda: store.heads([key]),
        lambda: store.claim(key, "other"),
        lambda: store.claims([(key, "place")]),
        lambda: store.present(key),
        lambda: store.join(key, "life", (Member("other", "a2", b"{}"),)),
        lambda: store.leave(key, "life", "member", "a1"),
        lambda: store.history(key, None, limit=5),
        lambda: store.read(key, None, limit=5),
        lambda: append(store, key, event("e2")),
        lambda: store.raise_fence(key, "turn"),
        lambda: store.end(key, None),
        lambda: store.delete(key, None),
    ]
    store.withdraw(key, "place", number)
    for call in calls:
        try:
            await call()
        except AnypodError as error:
            assert error.code in ("no_such_session", "closed"), error  # noqa: PT017 - most calls raise nothing
