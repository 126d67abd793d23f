"""What an append does to the log, and what it refuses."""

import asyncio

import pytest
from msgspec import structs
from tests.store.kit import (
    CHAT,
    OWNER,
    STRANGER,
    append,
    audio,
    create,
    delta,
    event,
    fields,
    fresh_key,
    ids_of,
    log_of,
    page,
    patch,
    refused,
    send,
    snapshot,
)

from anypod.core.cursor import Cursor
from anypod.core.event import complete, position, split_binary
from anypod.store import SessionClass, Store

TINY = SessionClass("tiny", ttl_ms=600_000, live_ms=30_000, events_max=3, deltas_max=2, fold_after_ms=0)


async def test_the_first_event_has_seq_1_and_each_further_one_the_next(store: Store) -> None:
    key = await create(store)
    receipts = [(await append(store, key, event(f"e{n}")))[0] for n in range(1, 5)]
    assert [(item.id, item.seq, item.is_duplicate) for item in receipts] == [(f"e{n}", n, False) for n in range(1, 5)]
    assert [position(frame) for frame in await log_of(store, key)] == [(item.seq, item.cursor) for item in receipts]


async def test_a_cursor_names_epoch_term_seq_and_a_tag_of_ten_digits(store: Store) -> None:
    key = await create(store, epoch="abcd1234")
    cursor = Cursor.parse((await append(store, key, event("e1")))[0].cursor)
    assert cursor is not None
    assert (cursor.epoch, cursor.seq) == ("abcd1234", 1)
    assert cursor.term.startswith("1")
    assert 1_000_000_000 <= cursor.tag < 1 << 32


async def test_the_log_completes_a_draft_to_the_frame_that_everybody_gets(store: Store) -> None:
    key = await create(store)
    drafts = [event("e1"), delta("d1", "answer"), delta("d2", "answer"), event("e2", replaces="answer"), event("e3", replaces="none")]
    receipts = [(await append(store, key, item))[0] for item in drafts]
    spans = [None, None, None, (2, 3), (5, 5)]
    expected = [complete(item, got.seq, got.cursor, span) for item, got, span in zip(drafts, receipts, spans, strict=True)]
    assert await log_of(store, key) == expected


async def test_a_binary_event_keeps_its_payload_byte_for_byte(store: Store) -> None:
    key = await create(store)
    payload = bytes(range(256)) * 8
    receipts = await append(store, key, audio("a1", payload), delta("d1", "voice"), audio("a2", b"", replaces="voice"))
    first, _, last = await log_of(store, key)
    assert split_binary(first)[1] == payload
    assert position(first) == (1, receipts[0].cursor)
    assert split_binary(last)[1] == b""
    assert fields(last)["replaces"] == {"part": "voice", "first_seq": 2, "last_seq": 2}
    assert first == complete(audio("a1", payload), 1, receipts[0].cursor)


async def test_an_event_of_64_kib_is_kept_whole(store: Store) -> None:
    key = await create(store)
    await append(store, key, event("big", "x" * 65_536))
    assert fields((await log_of(store, key))[0])["data"] == "x" * 65_536


async def test_the_same_id_with_the_same_body_is_answered_with_the_first_receipt(store: Store) -> None:
    key = await create(store)
    first = (await append(store, key, event("e1", ts_ms=1)))[0]
    await append(store, key, event("e2"))
    again = (await append(store, key, event("e1", ts_ms=2)))[0]  # another attempt, at another time
    assert again == structs.replace(first, is_duplicate=True)
    assert await ids_of(store, key) == ["e1", "e2"]


async def test_the_same_id_with_another_body_is_a_conflict(store: Store) -> None:
    key = await create(store)
    await append(store, key, event("e1"))
    assert await refused(store, key, event("e1", "something else")) == "conflict"
    assert await ids_of(store, key) == ["e1"]


async def test_a_list_is_appended_whole_and_in_order(store: Store) -> None:
    key = await create(store)
    receipts = await append(store, key, *(event(f"e{n}") for n in range(300)))
    assert [item.seq for item in receipts] == list(range(1, 301))
    assert await ids_of(store, key) == [f"e{n}" for n in range(300)]


async def test_a_list_with_one_conflict_appends_nothing(store: Store) -> None:
    key = await create(store)
    await append(store, key, event("e1"))
    assert await refused(store, key, event("e2"), event("e1", "another"), event("e3")) == "conflict"
    assert await refused(store, key, event("e4"), event("e4", "another")) == "conflict"
    assert await ids_of(store, key) == ["e1"]


async def test_a_list_that_was_partly_there_appends_only_the_rest(store: Store) -> None:
    key = await create(store)
    first = (await append(store, key, event("e1")))[0]
    receipts = await append(store, key, event("e1"), event("e2"), event("e2"))
    assert receipts[0] == structs.replace(first, is_duplicate=True)
    assert [(item.seq, item.is_duplicate) for item in receipts] == [(1, True), (2, False), (2, True)]
    assert await ids_of(store, key) == ["e1", "e2"]


async def test_an_append_to_a_session_that_is_not_there_is_refused(store: Store) -> None:
    assert await refused(store, fresh_key(), event("e1")) == "no_such_session"


async def test_an_append_to_a_foreign_session_is_refused_as_if_it_was_not_there(store: Store) -> None:
    key = await create(store, owner=OWNER)
    assert await refused(store, key, event("e1"), owner=STRANGER) == "no_such_session"
    assert (await append(store, key, event("e1"), owner=OWNER))[0].seq == 1


async def test_an_expected_head_that_holds_is_accepted_and_another_is_stale(store: Store) -> None:
    key = await create(store)
    beginning = str((await snapshot(store, key)).facts.head)
    first = (await append(store, key, event("e1"), expect=beginning))[0]
    assert await refused(store, key, event("e2"), expect=beginning) == "stale"
    assert (await append(store, key, event("e2"), expect=first.cursor))[0].seq == 2


async def test_a_repeated_append_is_answered_whatever_head_it_expected(store: Store) -> None:
    key = await create(store)
    beginning = str((await snapshot(store, key)).facts.head)
    await append(store, key, event("e1"), expect=beginning)
    assert (await append(store, key, event("e1"), expect=beginning))[0].is_duplicate


async def test_a_closed_log_takes_nothing_new_and_still_knows_what_it_has(store: Store) -> None:
    key = await create(store)
    await append(store, key, event("e1"))
    await store.end(key, OWNER)
    assert await refused(store, key, event("e2")) == "closed"
    assert await refused(store, key, event("e1"), event("e2")) == "closed"
    assert await refused(store, key, patch=patch(1, state=b'{"a":1}')) == "closed"
    assert (await append(store, key, event("e1")))[0].is_duplicate, "a lost reply must not turn into a refusal"


async def test_what_carries_a_turn_needs_the_fence_raised_last(store: Store) -> None:
    key = await create(store)
    assert await refused(store, key, event("e1", turn="t1")) == "fenced"
    assert await refused(store, key, event("e1", turn="t1", fence=1)) == "fenced", "nobody has claimed it"
    first = await store.raise_fence(key, "t1")
    assert (await append(store, key, event("e1", turn="t1", fence=first)))[0].seq == 1
    second = await store.raise_fence(key, "t1")
    assert (first, second) == (1, 2)
    assert await refused(store, key, event("e2", turn="t1", fence=first)) == "fenced"
    assert await refused(store, key, event("e2", turn="t1")) == "fenced"
    assert (await append(store, key, event("e2", turn="t1", fence=second)))[0].seq == 2
    assert await store.raise_fence(key, "t2") == 1, "each turn has its own"
    assert await refused(store, key, event("e3"), event("e4", turn="t2", fence=7)) == "fenced"
    assert await ids_of(store, key) == ["e1", "e2"]


async def test_a_delta_of_an_open_part_needs_the_live_fence_too(store: Store) -> None:
    key = await create(store)
    fence = await store.raise_fence(key, "t1")
    for number in range(3):
        await append(store, key, delta(f"d{number}", "p", turn="t1", fence=fence))
    assert await refused(store, key, delta("d3", "p", turn="t1", fence=fence + 1)) == "fenced"
    later = await store.raise_fence(key, "t1")
    assert await refused(store, key, delta("d3", "p", turn="t1", fence=fence)) == "fenced"
    assert await refused(store, key, delta("d3", "p", turn="t1")) == "fenced"
    assert (await append(store, key, delta("d3", "p", turn="t1", fence=later)))[0].seq == 4
    assert (await append(store, key, delta("d1", "p", turn="t1", fence=fence)))[0].is_duplicate
    assert await refused(store, key, delta("d1", "q", turn="t1", fence=later)) == "conflict"
    assert await refused(store, key, delta("d4", "p", turn="t1", fence=later), owner=STRANGER) == "no_such_session"
    await append(store, key, event("end", turn="t1", fence=later, replaces="p"))
    spanned = fields((await log_of(store, key))[-1])["replaces"]
    assert spanned == {"part": "p", "first_seq": 4, "last_seq": 4}, "the raised fence had ended the part of the attempt before"


async def test_what_the_log_has_of_a_lost_attempt_is_still_answered(store: Store) -> None:
    key = await create(store)
    fence = await store.raise_fence(key, "t1")
    await append(store, key, event("e1", turn="t1", fence=fence))
    await store.raise_fence(key, "t1")
    assert (await append(store, key, event("e1", turn="t1", fence=fence)))[0].is_duplicate


async def test_durable_events_beyond_the_quota_are_refused_and_deltas_are_counted_apart(store: Store) -> None:
    key = await create(store, TINY)
    await append(store, key, event("e1"), event("e2"))
    assert await refused(store, key, event("e3"), event("e4")) == "quota_exceeded", "a list is appended whole or not"
    await append(store, key, event("e3"))
    assert await refused(store, key, event("e4")) == "quota_exceeded"
    await append(store, key, delta("d1", "p"), delta("d2", "p"))
    assert await refused(store, key, delta("d3", "p")) == "quota_exceeded"
    assert (await append(store, key, event("e1")))[0].is_duplicate
    assert len(await log_of(store, key)) == 5


async def test_folded_deltas_make_room_for_others(store: Store) -> None:
    key = await create(store, TINY)
    await append(store, key, delta("d1", "p"), delta("d2", "p"))
    assert await refused(store, key, delta("d3", "q")) == "quota_exceeded"
    await append(store, key, event("e1", replaces="p"))
    await append(store, key, delta("d3", "q"), delta("d4", "q"))
    assert await refused(store, key, delta("d5", "q")) == "quota_exceeded"
    assert await ids_of(store, key) == ["e1", "d3", "d4"]


async def test_of_appends_queued_together_those_beyond_the_quota_are_refused_and_the_others_kept(store: Store) -> None:
    key = await create(store, TINY)
    outcomes = await asyncio.gather(*(send(store, key, event(f"e{n}")) for n in range(6)))
    assert [isinstance(outcome, list) for outcome in outcomes] == [True] * 3 + [False] * 3
    assert await ids_of(store, key) == ["e0", "e1", "e2"]


async def test_appends_queued_together_are_carried_out_in_their_order(store: Store) -> None:
    key = await create(store)
    outcomes = [send(store, key, event(f"a{n}")) for n in range(100)]
    outcomes.append(send(store, key, event("list1"), event("list2")))
    outcomes += [send(store, key, event(f"b{n}")) for n in range(100)]
    await asyncio.gather(*outcomes)
    assert await ids_of(store, key) == [f"a{n}" for n in range(100)] + ["list1", "list2"] + [f"b{n}" for n in range(100)]


async def test_of_appends_queued_together_one_refusal_spoils_no_neighbour(store: Store) -> None:
    key = await create(store)
    await append(store, key, event("old"))
    outcomes = await asyncio.gather(
        send(store, key, event("e1")),
        send(store, key, event("old", "another")),
        send(store, key, event("old")),
        send(store, key, event("e2", turn="t9", fence=1)),
        send(store, key, event("e1")),
        send(store, key, event("e1", "another")),
        send(store, key, event("e3"), owner=STRANGER),
        send(store, key, event("e4"), expect="nonsense"),
        send(store, key, event("e5")),
    )
    told = [outcome[0].is_duplicate if isinstance(outcome, list) else outcome.code for outcome in outcomes]
    assert told == [False, "conflict", True, "fenced", True, "conflict", "no_such_session", "stale", False]
    assert await ids_of(store, key) == ["old", "e1", "e5"]


async def test_a_session_has_no_more_than_256_open_parts(store: Store) -> None:
    key = await create(store)
    await append(store, key, *(delta(f"d{n}", f"part{n}") for n in range(256)))
    assert await refused(store, key, delta("d256", "part256")) == "quota_exceeded"
    await append(store, key, delta("more", "part7"))
    await append(store, key, event("done", replaces="part7"))
    assert (await append(store, key, delta("d256", "part256")))[0].seq == 259


async def test_more_than_a_thousand_events_at_once_are_refused_by_one_word(store: Store) -> None:
    key = await create(store)
    assert await refused(store, key, *(event(f"e{n}") for n in range(1_001))) == "too_large"


@pytest.mark.parametrize("size", [1, 16, 1_000])
async def test_a_list_of_any_size_is_answered_event_by_event(store: Store, size: int) -> None:
    key = await create(store, CHAT)
    fence = await store.raise_fence(key, "turn")
    drafts = [delta(f"d{n}", "p", turn="turn", fence=fence) for n in range(size)]
    assert [item.seq for item in await append(store, key, *drafts)] == list(range(1, size + 1))
    assert len((await page(store, key)).frames) == size
