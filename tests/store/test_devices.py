"""Claims of devices: their order, and how long they are remembered."""

import asyncio

from tests.store.kit import create, fresh_key, refused_call

from anypod.store import Store


async def test_every_claim_is_newer_than_all_before_it_and_the_newest_of_each_place_is_known(store: Store) -> None:
    key, other = await create(store), await create(store)
    numbers = [await store.claim(key, place) for place in ("phone/ann", "desk/ann", "phone/ann", "phone/bob")]
    assert numbers == sorted(set(numbers))
    asked = [(key, "phone/ann"), (key, "desk/ann"), (key, "phone/bob"), (key, "desk/bob"), (other, "phone/ann")]
    assert await store.claims(asked) == [numbers[2], numbers[1], numbers[3], 0, 0]


async def test_claims_at_once_have_different_numbers(store: Store) -> None:
    key = await create(store)
    numbers = await asyncio.gather(*(store.claim(key, "phone/ann") for _ in range(50)))
    assert len(set(numbers)) == 50
    assert await store.claims([(key, "phone/ann")]) == [max(numbers)]


async def test_the_head_tells_of_the_newest_claim(store: Store) -> None:
    key = await create(store)
    before = (await store.heads([key]))[key]
    number = await store.claim(key, "phone/ann")
    after = (await store.heads([key]))[key]
    assert before is not None
    assert after is not None
    assert (before.claim, after.claim) == (0, number)


async def test_a_claim_that_is_withdrawn_is_forgotten_unless_there_is_a_newer_one(store: Store) -> None:
    key = await create(store)
    first = await store.claim(key, "phone/ann")
    second = await store.claim(key, "phone/ann")
    store.withdraw(key, "phone/ann", first)
    assert await store.claims([(key, "phone/ann")]) == [second]
    store.withdraw(key, "phone/ann", second)
    assert await store.claims([(key, "phone/ann")]) == [0]
    assert await store.claim(key, "phone/ann") > second


async def test_only_a_session_has_devices(store: Store) -> None:
    assert await refused_call(store.claim(fresh_key(), "phone/ann")) == "no_such_session"


async def test_of_very_many_places_the_oldest_claim_is_forgotten(store: Store) -> None:
    key = await create(store)
    for start in range(0, 10_000, 500):
        await asyncio.gather(*(store.claim(key, f"d{number}/ann") for number in range(start, start + 500)))
    assert 0 not in await store.claims([(key, f"d{number}/ann") for number in range(10_000)])
    newest = await store.claim(key, "one more/ann")
    found = await store.claims([(key, f"d{number}/ann") for number in range(10_000)])
    assert found.count(0) == 1
    assert found.index(0) < 500
    assert (await store.claims([(key, "one more/ann")])) == [newest]
