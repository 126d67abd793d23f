"""Patches: state, live and metadata beside the log."""

import asyncio

from tests.store.backends import MemoryBackend
from tests.store.kit import CHAT, Ear, append, create, event, ids_of, log_of, patch, refused, send, snapshot
from tests.support.waiting import until

from anypod.store import SessionClass, Store

BRIEF = SessionClass("voice", ttl_ms=600_000, live_ms=150)


async def test_a_patch_sets_whole_values_and_counts_the_version(store: Store) -> None:
    key = await create(store, state=b'{"a":1}', live=b'{"l":1}', metadata=b'{"m":1}')
    before = await snapshot(store, key)
    assert (before.version, before.state, before.live, before.metadata) == (1, b'{"a":1}', b'{"l":1}', b'{"m":1}')
    assert await append(store, key, patch=patch(1, state=b'{"a":2}')) == []
    after = await snapshot(store, key)
    assert (after.version, after.state, after.live, after.metadata) == (2, b'{"a":2}', b'{"l":1}', b'{"m":1}')
    await append(store, key, patch=patch(2, live=b'{"l":2}', metadata=b'{"m":2}'))
    last = await snapshot(store, key)
    assert (last.version, last.state, last.live, last.metadata) == (3, b'{"a":2}', b'{"l":2}', b'{"m":2}')


async def test_a_patch_made_from_an_older_version_is_stale_and_changes_nothing(store: Store) -> None:
    key = await create(store)
    await append(store, key, patch=patch(1, state=b'{"a":1}'))
    assert await refused(store, key, event("e1"), patch=patch(1, state=b'{"a":2}')) == "stale"
    assert (await snapshot(store, key)).state == b'{"a":1}'
    assert await log_of(store, key) == []


async def test_a_patch_and_its_event_are_one_and_a_repetition_changes_nothing(store: Store) -> None:
    key = await create(store)
    await append(store, key, event("e1"), patch=patch(1, state=b'{"a":1}'))
    again = await append(store, key, event("e1"), patch=patch(1, state=b'{"a":1}'))
    assert again[0].is_duplicate
    assert (await snapshot(store, key)).version == 2
    assert await ids_of(store, key) == ["e1"]


async def test_everybody_who_listens_is_told_the_new_values_after_the_event(store: Store, ear: Ear) -> None:
    key = await create(store)
    await store.subscribe(key)
    await append(store, key, event("e1"), patch=patch(1, state=b'{"a":1}', live=b'{"l":1}'))
    await append(store, key, patch=patch(2, metadata=b'{"m":1}'))
    await ear.until(lambda: len(ear.of(key)) == 3, "one event and two notices")
    assert [len(ear.frames(key)), len(ear.notices(key))] == [1, 2]
    first, second = ear.notices(key)
    assert ear.of(key)[0] == ear.frames(key)[0]
    assert (first["type"], first["version"], first["state"], first["live"]) == ("n.state", 2, {"a": 1}, {"l": 1})
    assert (second["version"], second["state"], second["live"]) == (3, {"a": 1}, {"l": 1})
    assert 0 < first["live_ms"] <= CHAT.live_ms


async def test_live_is_forgotten_some_time_after_its_last_patch(store: Store, ear: Ear) -> None:
    key = await create(store, BRIEF, state=b'{"a":1}', live=b'{"l":1}')
    assert (await snapshot(store, key)).live_until_ms > 0

    async def is_forgotten() -> bool:
        return (await snapshot(store, key)).live == b"{}"

    await until(is_forgotten, "live is empty")
    assert (await snapshot(store, key)).live_until_ms == 0
    assert (await snapshot(store, key)).state == b'{"a":1}'
    await store.subscribe(key)
    await append(store, key, patch=patch(1, state=b'{"a":2}'))
    await ear.until(lambda: bool(ear.notices(key)), "a notice")
    assert (ear.notices(key)[0]["live"], ear.notices(key)[0]["live_ms"]) == ({}, 0)


async def test_an_empty_live_holds_for_no_time(store: Store) -> None:
    key = await create(store, live=b'{"l":1}')
    await append(store, key, patch=patch(1, live=b"{}"))
    assert ((await snapshot(store, key)).live, (await snapshot(store, key)).live_until_ms) == (b"{}", 0)


async def test_the_head_tells_the_version(store: Store) -> None:
    key = await create(store)
    await append(store, key, event("e1"), patch=patch(1, state=b'{"a":1}'))
    head = (await store.heads([key]))[key]
    assert head is not None
    assert head.version == 2


async def test_a_silent_patch_whose_reply_was_lost_in_memory_does_not_undo_one_that_came_after_it() -> None:
    backend = MemoryBackend()
    two, one = await backend.open(), await backend.open()  # what waits at the first goes first when the server is back
    key = await create(one)
    outcome = send(one, key, patch=patch(1, state=b'{"of":"one"}'))
    await asyncio.sleep(0)  # the server has it, and the answer is on its way
    await backend.stop()
    later = send(two, key, patch=patch(2, state=b'{"of":"two"}'))
    await backend.restart()
    assert [await outcome, await later] == [[], []]
    assert ((await snapshot(two, key)).version, (await snapshot(two, key)).state) == (3, b'{"of":"two"}')
    await backend.close()
