"""Replicas tell each other that they serve, and are forgotten when they no longer do."""

import time
from itertools import count

import pytest
from tests.store.backends import Backend
from tests.store.kit import refused_call
from tests.support.waiting import until

from anypod.store import Store

MINUTE_MS = 60_000
_numbers = count(1)


def fresh_life() -> str:
    return f"life-{time.time_ns()}-{next(_numbers)}"


async def test_every_replica_hears_of_every_other_and_of_itself(backend: Backend) -> None:
    one, other = await backend.open(), await backend.open()
    lives = [fresh_life(), fresh_life()]
    first, second = (f'{{"replica":"{life}"}}'.encode() for life in lives)
    assert first in await one.announce(lives[0], first, ttl_ms=MINUTE_MS)
    assert {first, second} <= set(await other.announce(lives[1], second, ttl_ms=MINUTE_MS))
    assert {first, second} <= set(await one.announce(lives[0], first, ttl_ms=MINUTE_MS))
    for life in lives:
        await one.announce(life, b"", ttl_ms=0)


async def test_a_newer_entry_takes_the_place_of_the_older_one(store: Store) -> None:
    life = fresh_life()
    older, newer = f'{{"n":1,"life":"{life}"}}'.encode(), f'{{"n":2,"life":"{life}"}}'.encode()
    await store.announce(life, older, ttl_ms=MINUTE_MS)
    heard = await store.announce(life, newer, ttl_ms=MINUTE_MS)
    assert newer in heard
    assert older not in heard
    await store.announce(life, b"", ttl_ms=0)


async def test_who_says_goodbye_is_heard_of_no_more(store: Store) -> None:
    life = fresh_life()
    entry = f'{{"replica":"{life}"}}'.encode()
    await store.announce(life, entry, ttl_ms=MINUTE_MS)
    assert entry not in await store.announce(life, b"", ttl_ms=0)


async def test_who_dies_is_forgotten_when_its_entry_is_over_however_often_others_announce(store: Store) -> None:
    dead, alive = fresh_life(), fresh_life()
    entry, own = f'{{"replica":"{dead}"}}'.encode(), f'{{"replica":"{alive}"}}'.encode()
    since = time.monotonic()
    assert entry in await store.announce(dead, entry, ttl_ms=100)

    async def is_forgotten() -> bool:
        return entry not in await store.announce(alive, own, ttl_ms=MINUTE_MS)

    await until(is_forgotten, "the end of the entry")
    assert time.monotonic() - since > 0.09
    await store.announce(alive, b"", ttl_ms=0)


async def test_an_entry_that_is_soon_over_takes_no_other_with_it(store: Store) -> None:
    brief, lasting = fresh_life(), fresh_life()
    await store.announce(lasting, lasting.encode(), ttl_ms=MINUTE_MS)
    await store.announce(brief, brief.encode(), ttl_ms=50)

    async def is_over() -> bool:
        return brief.encode() not in await store.announce("asks", b"", ttl_ms=0)

    await until(is_over, "the end of the brief entry")
    assert lasting.encode() in await store.announce("asks", b"", ttl_ms=0)
    await store.announce(lasting, b"", ttl_ms=0)


@pytest.mark.parametrize("how_many", [200])
async def test_hundreds_of_replicas_are_heard_of_at_once(store: Store, how_many: int) -> None:
    lives = [fresh_life() for _ in range(how_many)]
    for life in lives:
        heard = await store.announce(life, life.encode(), ttl_ms=MINUTE_MS)
    assert {life.encode() for life in lives} <= set(heard)
    for life in lives:
        heard = await store.announce(life, b"", ttl_ms=0)
    assert not {life.encode() for life in lives} & set(heard)


async def test_while_the_store_is_away_an_announcement_is_refused(own_backend: Backend) -> None:
    store = await own_backend.open(wait_s=0.2)
    await store.announce("life", b"{}", ttl_ms=MINUTE_MS)
    await own_backend.stop()
    assert await refused_call(store.announce("life", b"{}", ttl_ms=MINUTE_MS)) == "unavailable"
