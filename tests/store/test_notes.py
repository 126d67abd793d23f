"""Notes stand beside all sessions, for a moment, and are taken by one."""

import asyncio
import time
from itertools import count

import pytest
from tests.store.backends import Backend
from tests.store.kit import refused_call
from tests.support.waiting import until
from tests.unit.hub.kit import TestClock

from anypod.core.errors import AnypodError
from anypod.memory_store.contents import NOTES_MAX, ServerContents
from anypod.store import Store

MINUTE_MS = 60_000
_numbers = count(1)


def fresh_name() -> str:
    return f"note-{time.time_ns()}-{next(_numbers)}"


async def test_a_note_is_taken_once(store: Store) -> None:
    name = fresh_name()
    assert await store.swap_note(name, b"\x00 hello", ttl_ms=MINUTE_MS) is None
    assert await store.swap_note(name, None, ttl_ms=0) == b"\x00 hello"
    assert await store.swap_note(name, None, ttl_ms=0) is None


async def test_a_new_note_takes_the_place_of_the_old_one_and_gives_it_back(store: Store) -> None:
    name = fresh_name()
    assert await store.swap_note(name, b"1", ttl_ms=MINUTE_MS) is None
    assert await store.swap_note(name, b"2", ttl_ms=MINUTE_MS) == b"1"
    assert await store.swap_note(name, None, ttl_ms=0) == b"2"


async def test_notes_of_different_names_do_not_meet(store: Store) -> None:
    one, other = fresh_name(), fresh_name()
    await store.swap_note(one, b"1", ttl_ms=MINUTE_MS)
    assert await store.swap_note(other, None, ttl_ms=0) is None
    assert await store.swap_note(one, None, ttl_ms=0) == b"1"


async def test_of_many_replicas_that_want_a_note_at_once_one_gets_it(backend: Backend) -> None:
    stores = [await backend.open() for _ in range(4)]
    for _ in range(20):
        name = fresh_name()
        await stores[0].swap_note(name, b"mine", ttl_ms=MINUTE_MS)
        taken = await asyncio.gather(*(store.swap_note(name, None, ttl_ms=0) for store in stores * 4))
        assert [note for note in taken if note is not None] == [b"mine"]


async def test_a_note_is_gone_when_its_time_is_over(store: Store) -> None:
    kept, brief = fresh_name(), fresh_name()
    await store.swap_note(kept, b"kept", ttl_ms=MINUTE_MS)
    await store.swap_note(brief, b"brief", ttl_ms=50)
    since = time.monotonic()

    async def has_gone() -> bool:
        """Looks by taking, and lays back what it took for the time that is left."""
        note = await store.swap_note(brief, None, ttl_ms=0)
        left_ms = 50 - int((time.monotonic() - since) * 1_000)
        if note is not None and left_ms > 0:
            await store.swap_note(brief, note, ttl_ms=left_ms)
        return note is None

    await until(has_gone, "the end of the note")
    assert time.monotonic() - since > 0.04
    assert await store.swap_note(kept, None, ttl_ms=0) == b"kept"


async def test_while_the_store_is_away_nobody_gets_a_note(own_backend: Backend) -> None:
    store = await own_backend.open(wait_s=0.2)
    await store.swap_note("n", b"mine", ttl_ms=MINUTE_MS)
    await own_backend.stop()
    assert await refused_call(store.swap_note("n", None, ttl_ms=0)) == "unavailable"


def test_the_memory_of_one_replica_holds_so_many_notes_and_forgets_what_is_over() -> None:
    clock, contents = TestClock(), ServerContents()
    for number in range(NOTES_MAX):
        contents.swap_note(f"n{number}", b"x", ttl_ms=1_000, now_ms=clock.wall_ms())
    with pytest.raises(AnypodError) as refused:
        contents.swap_note("one more", b"x", ttl_ms=1_000, now_ms=clock.wall_ms())
    assert refused.value.code == "storage_full"
    clock.move(1.0)
    contents.swap_note("later", b"x", ttl_ms=1_000, now_ms=clock.wall_ms())
    assert len(contents.notes) == 1
