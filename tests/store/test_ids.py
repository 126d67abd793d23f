"""Which ids of events are remembered, where several came in one call."""

from tests.store.kit import append, create, event

from anypod.store import SessionClass, Store

REMEMBERED = 64  # ids, however old


def remembering(dedup_ms: int) -> SessionClass:
    return SessionClass("remembering", ttl_ms=600_000, live_ms=30_000, dedup_ms=dedup_ms)


async def test_ids_that_came_together_are_forgotten_one_by_one_as_others_come(store: Store) -> None:
    key = await create(store, remembering(0))
    await append(store, key, *(event(f"e{n}") for n in range(1, 101)))
    for head in (110, 140, 164):
        last = (await store.heads([key]))[key]
        assert last is not None
        for number in range(int(last.cursor.split("-")[2]) + 1, head + 1):
            await append(store, key, event(f"e{number}"))
        await store.tidy(key)
        known = range(head - REMEMBERED + 1, head + 1)
        assert all([(await append(store, key, event(f"e{n}")))[0].is_duplicate for n in known])
    assert not (await append(store, key, event("e100")))[0].is_duplicate, "64 came after it"


async def test_ids_that_came_together_are_kept_for_the_time_that_the_class_says(store: Store) -> None:
    key = await create(store, remembering(3_600_000))
    await append(store, key, *(event(f"e{n}") for n in range(1, 101)))
    for number in range(101, 301):
        await append(store, key, event(f"e{number}"))
    await store.tidy(key)
    assert all([(await append(store, key, event(f"e{n}")))[0].is_duplicate for n in (1, 50, 100, 101, 300)])
