"""Several replicas at once on one session."""

import asyncio

from tests.store.backends import Backend
from tests.store.kit import append, create, event, fresh_owner, ids_of, log_of, patch, refused_call, send, seq_of, snapshot

from anypod.core.errors import AnypodError
from anypod.store import Store

REPLICAS = 3


async def replicas(backend: Backend) -> list[Store]:
    return [await backend.open() for _ in range(REPLICAS)]


async def test_the_same_event_published_on_every_replica_at_once_is_logged_once(backend: Backend) -> None:
    stores = await replicas(backend)
    key = await create(stores[0])
    outcomes = {f"e{n}": [send(store, key, event(f"e{n}")) for store in stores] for n in range(50)}
    for name, attempts in outcomes.items():
        receipts = [result[0] for result in await asyncio.gather(*attempts)]
        assert len({(item.seq, item.cursor) for item in receipts}) == 1, name
        assert sorted(item.is_duplicate for item in receipts) == [False, True, True]
    assert sorted(await ids_of(stores[0], key)) == sorted(outcomes)


async def test_replicas_publishing_at_once_make_one_gapless_log_and_keep_each_publishers_order(backend: Backend) -> None:
    stores = await replicas(backend)
    key = await create(stores[0])
    outcomes = [send(store, key, event(f"r{place}-{n:03}")) for n in range(100) for place, store in enumerate(stores)]
    receipts = [result[0] for result in await asyncio.gather(*outcomes)]
    assert sorted(item.seq for item in receipts) == list(range(1, 301))
    assert [seq_of(frame) for frame in await log_of(stores[1], key)] == list(range(1, 301))
    names = await ids_of(stores[2], key)
    for place in range(REPLICAS):
        mine = [name for name in names if name.startswith(f"r{place}-")]
        assert mine == sorted(mine)


async def test_lists_published_at_once_are_not_interleaved(backend: Backend) -> None:
    stores = await replicas(backend)
    key = await create(stores[0])
    lists = [[event(f"r{place}-{n}-{i}") for i in range(5)] for n in range(20) for place in range(REPLICAS)]
    await asyncio.gather(*(send(stores[number % REPLICAS], key, *drafts) for number, drafts in enumerate(lists)))
    names = await ids_of(stores[0], key)
    starts = [names[at : at + 5] for at in range(0, 300, 5)]
    assert sorted(starts) == sorted([item.id for item in drafts] for drafts in lists)


async def test_of_several_who_expect_the_same_head_one_is_first(backend: Backend) -> None:
    stores = await replicas(backend)
    key = await create(stores[0])
    head = str((await snapshot(stores[0], key)).facts.head)
    results = await asyncio.gather(*(send(store, key, event(f"e{place}"), expect=head) for place, store in enumerate(stores)))
    assert sorted(getattr(result, "code", "taken") for result in results) == ["stale", "stale", "taken"]


async def test_of_several_who_patch_the_same_version_one_is_first(backend: Backend) -> None:
    stores = await replicas(backend)
    key = await create(stores[0])
    results = await asyncio.gather(*(send(store, key, patch=patch(1, state=b'{"r":%d}' % place)) for place, store in enumerate(stores)))
    (winner,) = [place for place, result in enumerate(results) if not isinstance(result, AnypodError)]
    assert (await snapshot(stores[0], key)).state == b'{"r":%d}' % winner
    assert (await snapshot(stores[0], key)).version == 2


async def test_a_turn_taken_over_at_once_by_several_has_one_live_fence(backend: Backend) -> None:
    stores = await replicas(backend)
    key = await create(stores[0])
    fences = await asyncio.gather(*(store.raise_fence(key, "t1") for store in stores))
    assert sorted(fences) == [1, 2, 3]
    results = await asyncio.gather(
        *(send(store, key, event(f"e{fence}", turn="t1", fence=fence)) for store, fence in zip(stores, fences, strict=True))
    )
    assert [fence for fence, result in zip(fences, results, strict=True) if not isinstance(result, AnypodError)] == [3]


async def test_a_quota_holds_however_many_create_at_once(backend: Backend) -> None:
    stores, owner = await replicas(backend), fresh_owner()

    async def attempt(store: Store) -> str:
        try:
            await create(store, owner=owner, sessions_max=5)
        except AnypodError as error:
            return error.code
        return "made"

    made = await asyncio.gather(*(attempt(store) for store in stores * 5))
    assert sorted(made) == ["made"] * 5 + ["quota_exceeded"] * 10
    assert await refused_call(create(stores[0], owner=owner, sessions_max=5)) == "quota_exceeded"


async def test_what_one_replica_has_acknowledged_every_other_reads(backend: Backend) -> None:
    stores = await replicas(backend)
    key = await create(stores[0])
    for number in range(30):
        writer, reader = stores[number % REPLICAS], stores[(number + 1) % REPLICAS]
        (receipt,) = await append(writer, key, event(f"e{number}"))
        head = (await reader.heads([key]))[key]
        assert head is not None
        assert head.cursor == receipt.cursor
