"""Parts that no event ends: by age, by a raised fence, by the end of their turn; and who may end whose."""

import asyncio
from typing import Any

from tests.store.kit import OWNER, STRANGER, append, create, delta, event, fields, ids_of, log_of, page, refused, send, snapshot

from anypod.core.errors import AnypodError
from anypod.store import SessionClass, Store

PARTS_MAX = 256  # open at once


def short(part_open_ms: int, *, fold_after_ms: int = 0, **limits: int) -> SessionClass:
    return SessionClass("short", ttl_ms=600_000, live_ms=30_000, fold_after_ms=fold_after_ms, part_open_ms=part_open_ms, **limits)


async def test_a_part_that_gets_no_delta_for_long_has_ended_and_folds(store: Store) -> None:
    key = await create(store, short(150))
    await append(store, key, event("e1"), delta("d1", "abandoned"), event("e2"))
    await store.tidy(key)
    assert await ids_of(store, key) == ["e1", "d1", "e2"], "it is young"
    await asyncio.sleep(0.2)
    await store.tidy(key)
    assert await ids_of(store, key) == ["e1", "e2"]
    assert (await snapshot(store, key)).facts.folded == 2, "and whoever reads is told so"
    assert [seq for seq in (await page(store, key, 0, fold=True)).frames if b"token" in seq] == []


async def test_a_part_that_goes_on_stays_open_however_old_it_is(store: Store) -> None:
    key = await create(store, short(300))
    for number in range(6):
        await append(store, key, delta(f"d{number}", "slow"))
        await store.tidy(key)
        await asyncio.sleep(0.1)
    assert len(await ids_of(store, key)) == 6
    await append(store, key, event("end", replaces="slow"))
    assert fields((await log_of(store, key))[-1])["replaces"] == {"part": "slow", "first_seq": 1, "last_seq": 6}


async def test_an_abandoned_part_no_longer_keeps_the_deltas_of_others_from_folding(store: Store) -> None:
    key = await create(store, short(100, deltas_max=10))
    await append(store, key, delta("d0", "abandoned"))
    await store.tidy(key)
    await asyncio.sleep(0.15)
    for number in range(1, 40):  # far more than the class keeps
        await append(store, key, delta(f"d{number}", "p"), event(f"end{number}", replaces="p"))
    await store.tidy(key)
    assert (await ids_of(store, key))[0] == "end1"


async def test_a_delta_that_comes_after_the_end_begins_another_part_of_that_name(store: Store) -> None:
    key = await create(store, short(100))
    await append(store, key, delta("d1", "p"))
    await store.tidy(key)
    await asyncio.sleep(0.15)
    await store.tidy(key)
    await append(store, key, delta("d2", "p"), event("end", replaces="p"), event("late", replaces="p"))
    spans = [fields(frame)["replaces"] for frame in (await log_of(store, key))[-2:]]
    assert [(span["first_seq"], span["last_seq"]) for span in spans] == [(2, 2), (4, 4)], "what comes still later replaces nothing"


async def test_a_raised_fence_ends_the_parts_of_the_attempts_before(store: Store) -> None:
    key = await create(store, short(600_000))
    fence, other = await store.raise_fence(key, "t1"), await store.raise_fence(key, "t10")
    await append(store, key, delta("d1", "a", turn="t1", fence=fence), delta("d2", "b", turn="t1", fence=fence))
    await append(store, key, delta("d3", "a", turn="t10", fence=other), delta("d4", "a"))
    later = await store.raise_fence(key, "t1")
    await store.tidy(key)
    assert await ids_of(store, key) == ["d3", "d4"], "the parts of another turn and of none stay"
    assert (await snapshot(store, key)).facts.folded == 2
    await append(store, key, delta("d5", "a", turn="t1", fence=later), event("end", turn="t1", fence=later, replaces="a"))
    assert fields((await log_of(store, key))[-1])["replaces"]["first_seq"] == 5


async def test_the_end_of_a_turn_ends_its_parts(store: Store) -> None:
    key = await create(store, short(600_000))
    fence = await store.raise_fence(key, "t1")
    await append(store, key, delta("d1", "a", turn="t1", fence=fence), delta("d2", "a"))
    await append(store, key, event("end", kind="turn_finished", turn="t1", fence=fence))
    await store.tidy(key)
    assert await ids_of(store, key) == ["d2", "end"]


async def test_a_turn_that_ends_in_the_call_that_begins_a_part_ends_that_too(store: Store) -> None:
    key = await create(store, short(600_000))
    fence = await store.raise_fence(key, "t1")
    scope: dict[str, Any] = {"turn": "t1", "fence": fence}
    await append(store, key, delta("d1", "a", **scope), event("end", kind="turn_finished", **scope), delta("d2", "a", **scope))
    await append(store, key, event("whole", replaces="a", **scope))
    assert fields((await log_of(store, key))[-1])["replaces"] == {"part": "a", "first_seq": 3, "last_seq": 3}


async def test_parts_that_were_abandoned_make_room_when_there_are_too_many(store: Store) -> None:
    key = await create(store, short(150))
    await append(store, key, *(delta(f"d{number}", f"p{number}") for number in range(PARTS_MAX)))
    assert await refused(store, key, delta("more", "one-more")) == "quota_exceeded", "they are young, each may go on"
    await asyncio.sleep(0.3)
    assert (await append(store, key, delta("more", "one-more")))[0].seq == PARTS_MAX + 1
    assert await ids_of(store, key) == ["more"]


async def test_a_part_is_ended_by_its_own_author_or_by_who_may_end_any(store: Store) -> None:
    key = await create(store)
    await append(store, key, delta("d1", "a"), delta("d2", "b"), delta("d3", "c", author=STRANGER))
    assert await refused(store, key, event("e1", replaces="a", author=STRANGER, is_own=True)) == "not_allowed"
    assert await refused(store, key, event("e0"), event("e1", replaces="a", author=STRANGER, is_own=True)) == "not_allowed"
    assert await ids_of(store, key) == ["d1", "d2", "d3"], "all or none"
    await append(store, key, event("e1", replaces="a", author=OWNER, is_own=True))
    await append(store, key, event("e2", replaces="b", author=STRANGER))
    await append(store, key, event("e3", replaces="c", author=STRANGER, is_own=True))
    await append(store, key, event("e4", replaces="never", author=STRANGER, is_own=True))
    spans = [fields(frame)["replaces"]["first_seq"] for frame in (await log_of(store, key))[-4:]]
    assert spans == [1, 2, 3, 7]


async def test_whose_part_it_is_is_known_within_one_call_too(store: Store) -> None:
    key = await create(store)
    drafts = [
        delta("d1", "a"),
        event("no", replaces="a", author=STRANGER, is_own=True),
        event("end", replaces="a", is_own=True),
        event("after", replaces="a", author=STRANGER, is_own=True),
        delta("d2", "a", author=STRANGER),
        event("not-mine", replaces="a", is_own=True),
    ]
    outcome = await send(store, key, *drafts, is_atomic=False)
    assert [item.code if isinstance(item, AnypodError) else item.seq for item in outcome] == [1, "not_allowed", 2, 3, 4, "not_allowed"]


async def test_an_author_may_have_any_name(store: Store) -> None:
    key = await create(store)
    for number, name in enumerate(['"', '","ts":1', "\\", "- 1", "a b", "é"]):
        await append(store, key, delta(f"d{number}", f"p{number}", author=name))
        assert await refused(store, key, event(f"x{number}", replaces=f"p{number}", author="other", is_own=True)) == "not_allowed"
        await append(store, key, event(f"e{number}", replaces=f"p{number}", author=name, is_own=True))
