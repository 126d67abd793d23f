"""Pages forwards and backwards, and heads."""

import pytest
from tests.store.kit import append, create, delta, event, fresh_key, id_of, page, refused_call, seq_of

from anypod.store import SessionClass, Store

LATE = SessionClass("late", ttl_ms=600_000, live_ms=30_000, fold_after_ms=600_000)


async def test_a_page_has_at_most_the_limit_and_says_up_to_where_it_goes(store: Store) -> None:
    key = await create(store, LATE)
    await append(store, key, event("e1"), delta("d2", "a"), delta("d3", "a"), event("e4"), event("e5"), delta("d6", "b"))
    first = await page(store, key, 0, limit=4)
    assert [seq_of(frame) for frame in first.frames] == [1, 2, 3, 4]
    assert (first.through, first.has_more) == (4, True)
    second = await page(store, key, first.through, limit=4)
    assert [seq_of(frame) for frame in second.frames] == [5, 6]
    assert (second.through, second.has_more) == (6, False)


async def test_a_page_that_is_just_full_has_no_more(store: Store) -> None:
    key = await create(store)
    await append(store, key, event("e1"), event("e2"))
    found = await page(store, key, 0, limit=2)
    assert (len(found.frames), found.through, found.has_more) == (2, 2, False)


@pytest.mark.parametrize("after", [None, 2, 3, 99])
async def test_at_the_head_and_beyond_it_there_is_nothing(store: Store, after: int | None) -> None:
    key = await create(store)
    receipts = await append(store, key, event("e1"), event("e2"))
    found = await page(store, key, after)
    assert (list(found.frames), found.through, found.has_more) == ([], 2, False)
    assert str(found.snapshot.facts.head) == receipts[-1].cursor


async def test_a_page_of_nothing_only_asks_for_the_snapshot(store: Store) -> None:
    key = await create(store)
    await append(store, key, event("e1"), event("e2"))
    found = await page(store, key, 1, limit=0)
    assert (list(found.frames), found.through, found.has_more) == ([], 1, True)


async def test_the_facts_tell_the_tag_of_the_event_that_was_asked_about(store: Store) -> None:
    key = await create(store, LATE)
    receipts = await append(store, key, event("e1"), delta("d2", "a"), event("e3", replaces="a"))
    tags = [int(item.cursor.rsplit("-", 1)[1]) for item in receipts]
    for is_folded in (False, True):
        told = [(await page(store, key, seq, fold=is_folded)).snapshot.facts.tag_at for seq in range(5)]
        assert told == [None, *tags, None]
    assert (await page(store, key, None)).snapshot.facts.tag_at == tags[-1]


async def test_history_goes_backwards_over_durable_events_oldest_first_within_a_page(store: Store) -> None:
    key = await create(store, LATE)
    await append(store, key, event("e1"), event("e2"), delta("d3", "a"), event("e4"), event("e5"))
    newest = await store.history(key, None, limit=2)
    assert ([id_of(frame) for frame in newest.frames], newest.has_more) == (["e4", "e5"], True)
    middle = await store.history(key, seq_of(newest.frames[0]), limit=1)
    assert ([id_of(frame) for frame in middle.frames], middle.has_more) == (["e2"], True)
    oldest = await store.history(key, 2, limit=10)
    assert ([id_of(frame) for frame in oldest.frames], oldest.has_more) == (["e1"], False)
    assert list((await store.history(key, 1, limit=10)).frames) == []


async def test_history_of_a_session_that_is_not_there_is_refused(store: Store) -> None:
    assert await refused_call(store.history(fresh_key(), None, limit=1)) == "no_such_session"


async def test_heads_of_many_sessions_come_in_the_order_that_they_were_asked_for(store: Store) -> None:
    keys = [await create(store) for _ in range(5)]
    cursors = [(await append(store, key, *(event(f"e{n}") for n in range(place + 1))))[-1].cursor for place, key in enumerate(keys)]
    nobody = fresh_key()
    heads = await store.heads([keys[3], nobody, keys[0], keys[4]])
    found = {key: head and head.cursor for key, head in heads.items()}
    assert found == {keys[3]: cursors[3], nobody: None, keys[0]: cursors[0], keys[4]: cursors[4]}
    assert not await store.heads([])


@pytest.mark.parametrize("bytes_max", [1, 5_000, 20_000, 200_000])
@pytest.mark.parametrize("fold", [False, True])
async def test_a_page_ends_by_bytes_and_holds_less_than_one_event_more(store: Store, bytes_max: int, fold: bool) -> None:
    """Durable events and deltas are counted together; small and large ones come in any order, and pages of them make up the log."""
    key = await create(store, LATE)
    sizes = [10] * 20 + [30_000, 10, 3_000] * 12 + [10] * 70 + [30_000] * 5
    for start in range(0, len(sizes), 10):
        drafts = [
            event(f"e{n}", "x" * sizes[n]) if n % 3 else event(f"d{n}", "x" * sizes[n], kind="token", part="a")
            for n in range(start, min(start + 10, len(sizes)))
        ]
        await append(store, key, *drafts)
    seqs, after = list[int](), 0
    while True:
        found = await page(store, key, after, fold=fold, bytes_max=bytes_max)
        assert found.frames
        assert sum(map(len, found.frames[:-1])) < bytes_max
        assert not found.has_more or sum(map(len, found.frames)) >= bytes_max
        seqs += map(seq_of, found.frames)
        after = found.through
        if not found.has_more:
            break
    assert seqs == list(range(1, len(sizes) + 1))


async def test_a_page_of_usual_events_is_not_cut_by_bytes(store: Store) -> None:
    key = await create(store)
    for start in range(0, 1_000, 100):
        await append(store, key, *(event(f"e{n}") for n in range(start, start + 100)))
    assert len((await page(store, key, 0, limit=1_000)).frames) == 1_000


@pytest.mark.parametrize("bytes_max", [1, 5_000, 20_000, 200_000])
async def test_a_page_of_history_ends_by_bytes_and_holds_less_than_one_event_more(store: Store, bytes_max: int) -> None:
    key = await create(store)
    sizes = [10] * 20 + [30_000, 10, 3_000] * 6
    for start in range(0, len(sizes), 10):
        await append(store, key, *(event(f"e{n}", "x" * sizes[n]) for n in range(start, min(start + 10, len(sizes)))))
    seqs, before = list[int](), None
    while True:
        found = await store.history(key, before, limit=1_000, bytes_max=bytes_max)
        assert found.frames
        assert sum(map(len, found.frames[1:])) < bytes_max
        assert not found.has_more or sum(map(len, found.frames)) >= bytes_max
        seqs = [*map(seq_of, found.frames), *seqs]
        before = seqs[0]
        if not found.has_more:
            break
    assert seqs == list(range(1, len(sizes) + 1))
