"""Parts and their deltas: what ends them, what folds them, and what a reader is told of the holes."""

from tests.store.kit import append, create, delta, event, fields, id_of, ids_of, log_of, page, seq_of, snapshot
from tests.support.waiting import until

from anypod.store import SessionClass, Store

AT_ONCE = SessionClass("fast", ttl_ms=600_000, live_ms=30_000, fold_after_ms=0)
SOON = SessionClass("soon", ttl_ms=600_000, live_ms=30_000, fold_after_ms=120)
LATE = SessionClass("late", ttl_ms=600_000, live_ms=30_000, fold_after_ms=600_000)


async def test_what_ends_a_part_carries_the_span_of_its_deltas(store: Store) -> None:
    key = await create(store, LATE)
    await append(store, key, delta("d1", "a"), delta("d2", "b"), delta("d3", "a"), event("e1"), delta("d4", "a"))
    await append(store, key, event("end", replaces="a"))
    assert fields((await log_of(store, key))[-1])["replaces"] == {"part": "a", "first_seq": 1, "last_seq": 5}


async def test_a_part_is_named_within_its_turn(store: Store) -> None:
    key = await create(store, LATE)
    one, two = await store.raise_fence(key, "t1"), await store.raise_fence(key, "t2")
    await append(store, key, delta("d1", "a", turn="t1", fence=one), delta("d2", "a", turn="t2", fence=two), delta("d3", "a"))
    await append(store, key, event("end2", turn="t2", fence=two, replaces="a"), event("end", replaces="a"))
    spans = [fields(frame)["replaces"] for frame in (await log_of(store, key))[-2:]]
    assert spans == [{"part": "a", "first_seq": 2, "last_seq": 2}, {"part": "a", "first_seq": 3, "last_seq": 3}]


async def test_a_part_begun_again_after_its_end_is_another_one(store: Store) -> None:
    key = await create(store, LATE)
    await append(
        store,
        key,
        delta("d1", "a"),
        event("end1", replaces="a"),
        delta("d2", "a"),
        event("end2", replaces="a"),
        event("end3", replaces="a"),
    )
    spans = [fields(frame)["replaces"] for frame in await log_of(store, key) if "replaces" in fields(frame)]
    assert [(span["first_seq"], span["last_seq"]) for span in spans] == [(1, 1), (3, 3), (5, 5)]


async def test_deltas_of_an_ended_part_are_folded_and_the_mark_says_up_to_where(store: Store) -> None:
    key = await create(store, AT_ONCE)
    await append(store, key, event("e1"), delta("d1", "a"), delta("d2", "a"), event("end", replaces="a"), event("e2"))
    assert (await snapshot(store, key)).facts.folded == 0
    await store.tidy(key)
    assert await ids_of(store, key) == ["e1", "end", "e2"]
    assert (await snapshot(store, key)).facts.folded == 3, "the last delta that is gone, and no more"


async def test_deltas_are_kept_for_a_while_after_the_end_of_their_part(store: Store) -> None:
    key = await create(store, SOON)
    await append(store, key, delta("d1", "a"), event("end", replaces="a"))
    await store.tidy(key)
    assert await ids_of(store, key) == ["d1", "end"]

    async def is_folded() -> bool:
        await store.tidy(key)
        return await ids_of(store, key) == ["end"]

    await until(is_folded, "the delta is folded")
    assert (await snapshot(store, key)).facts.folded == 1


async def test_nothing_from_the_oldest_open_part_on_is_folded(store: Store) -> None:
    key = await create(store, AT_ONCE)
    await append(store, key, delta("d1", "a"), delta("d2", "b"), delta("d3", "a"), delta("d4", "c"))
    await append(store, key, event("end-a", replaces="a"), event("end-c", replaces="c"))
    await store.tidy(key)
    assert await ids_of(store, key) == ["d2", "d3", "d4", "end-a", "end-c"], "b is open since seq 2"
    assert (await snapshot(store, key)).facts.folded == 1
    await append(store, key, event("end-b", replaces="b"))
    await store.tidy(key)
    assert await ids_of(store, key) == ["end-a", "end-c", "end-b"]
    assert (await snapshot(store, key)).facts.folded == 4


async def test_appends_fold_by_themselves_now_and_then(store: Store) -> None:
    key = await create(store, AT_ONCE)
    await append(store, key, delta("d1", "a"), event("end", replaces="a"))
    for number in range(40):
        await append(store, key, event(f"e{number}"))
    assert "d1" not in await ids_of(store, key)
    assert (await snapshot(store, key)).facts.folded == 1


async def test_a_reader_who_folds_gets_no_deltas_of_ended_parts_and_is_told_so(store: Store) -> None:
    key = await create(store, LATE)
    await append(store, key, delta("d1", "a"), event("e1"), delta("d2", "a"), event("end", replaces="a"), event("e2"))
    found = await page(store, key, fold=True)
    assert [id_of(frame) for frame in found.frames] == ["e1", "end", "e2"]
    assert (found.snapshot.facts.folded, found.through) == (3, 5)
    assert (await page(store, key)).snapshot.facts.folded == 0, "another reader has no hole"


async def test_a_reader_who_folds_gets_every_delta_from_the_oldest_open_part_on(store: Store) -> None:
    key = await create(store, LATE)
    await append(store, key, delta("d1", "a"), event("end", replaces="a"), delta("d2", "b"), delta("d3", "c"), event("end-c", replaces="c"))
    found = await page(store, key, fold=True)
    assert [id_of(frame) for frame in found.frames] == ["end", "d2", "d3", "end-c"]
    assert found.snapshot.facts.folded == 1


async def test_a_folded_read_in_pages_is_the_folded_log(store: Store) -> None:
    key = await create(store, LATE)
    for number in range(6):
        await append(store, key, delta(f"d{number}", f"p{number}"), event(f"e{number}"), event(f"end{number}", replaces=f"p{number}"))
    await append(store, key, delta("open", "last"))
    seqs, after = list[int](), 0
    while True:
        found = await page(store, key, after, limit=4, fold=True)
        assert len(found.frames) <= 4
        seqs += [seq_of(frame) for frame in found.frames]
        after = found.through
        if not found.has_more:
            break
    assert seqs == [n for n in range(1, 20) if n % 3 != 1 or n == 19]


async def test_many_parts_ended_at_once_are_folded_together(store: Store) -> None:
    key = await create(store, SOON)
    for number in range(60):
        await append(
            store, key, *(item for n in range(10) for item in (delta(f"d{number}-{n}", f"p{n}"), event(f"e{number}-{n}", replaces=f"p{n}")))
        )

    async def is_folded() -> bool:
        await store.tidy(key)
        return len(await log_of(store, key)) == 600

    await until(is_folded, "all 600 deltas are folded")
    assert (await snapshot(store, key)).facts.folded == 1_199
