"""Cursors judged end to end: what a client that comes back is told."""

import asyncio
import time

from tests.store.backends import Backend
from tests.store.kit import Ear, append, create, delta, event, fresh_key, ids_of, refused_call, send, snapshot, verdict
from tests.support.waiting import until

from anypod.core.cursor import Cursor, Reset, Resume
from anypod.core.errors import AnypodError
from anypod.core.identity import SessionKey, partition
from anypod.store import SessionClass, Store

RETAINED = SessionClass("retained", ttl_ms=600_000, live_ms=30_000, retain_events=2, fold_after_ms=0)


async def cursors(store: Store, key: SessionKey, count: int) -> list[str]:
    """Append so many events; the cursor of each."""
    return await cursors_named(store, key, *(f"e{n}" for n in range(1, count + 1)))


async def cursors_named(store: Store, key: SessionKey, *names: str) -> list[str]:
    return [(await append(store, key, event(name)))[0].cursor for name in names]


async def answers(store: Store, key: SessionKey) -> None:
    """Wait until the server is back."""

    async def is_back() -> bool:
        try:
            await store.read(key, None, limit=0)
        except AnypodError:
            return False
        return True

    await until(is_back, "the server answers")


async def test_every_cursor_of_the_log_resumes_where_it_stands(store: Store) -> None:
    key = await create(store)
    beginning = str((await snapshot(store, key)).facts.head)
    given = [beginning, *await cursors(store, key, 5)]
    assert [await verdict(store, key, cursor) for cursor in given] == [Resume(seq) for seq in range(6)]
    assert await verdict(store, key, "start") == Resume(0)
    assert await verdict(store, key, "tail") == Resume(5)


async def test_a_cursor_of_an_earlier_life_of_the_name_is_expired(store: Store) -> None:
    key = await create(store, epoch="epoch001")
    (cursor,) = await cursors(store, key, 1)
    await store.delete(key, None)
    await create(store, key=key, epoch="epoch002")
    await cursors(store, key, 1)
    assert await verdict(store, key, cursor) == Reset("expired")


async def test_a_cursor_of_another_session_is_not_accepted(store: Store) -> None:
    one = await create(store, epoch="epoch001")
    beside = next(key for key in iter(fresh_key, None) if partition(key) == partition(one))  # so that terms are alike in a cluster too
    two = await create(store, key=beside, epoch="epoch001")
    given, _ = await cursors(store, one, 3), await cursors(store, two, 3)
    assert await verdict(store, two, given[1]) == Reset("rolled_back", None), "another tag stands there"


async def test_a_cursor_before_what_is_retained_is_trimmed_and_the_one_just_before_it_is_not(store: Store) -> None:
    key = await create(store, RETAINED)
    given = await cursors(store, key, 5)
    await store.tidy(key)
    assert [await verdict(store, key, cursor) for cursor in given] == [Reset("trimmed")] * 2 + [Resume(3), Resume(4), Resume(5)]


async def test_a_cursor_of_a_folded_delta_resumes(store: Store) -> None:
    key = await create(store, RETAINED)
    receipts = await append(store, key, event("e1"), delta("d1", "a"), event("e2", replaces="a"))
    await store.tidy(key)
    assert await verdict(store, key, receipts[1].cursor) == Resume(2)


async def test_a_restart_begins_a_term_and_every_cursor_still_resumes(own_backend: Backend) -> None:
    store = await own_backend.open()
    key = await create(store)
    given = await cursors(store, key, 3)
    await own_backend.restart()
    await answers(store, key)
    assert [await verdict(store, key, cursor) for cursor in given] == [Resume(1), Resume(2), Resume(3)]
    facts = (await snapshot(store, key)).facts
    assert [(term.number, term.first_seq) for term in facts.terms] == [(1, 1), (2, 4)], "the next event begins it"
    given.append((await append(store, key, event("after")))[0].cursor)
    last = Cursor.parse(given[-1])
    assert last is not None
    assert last.term == facts.terms[1].name
    assert [await verdict(store, key, cursor) for cursor in given] == [Resume(seq) for seq in range(1, 5)]
    await append(store, key, event("again"))
    assert len((await snapshot(store, key)).facts.terms) == 2


async def test_who_holds_a_lost_tail_is_told_the_last_common_event(own_backend: Backend) -> None:
    store = await own_backend.open()
    key = await create(store)
    kept = await cursors(store, key, 3)
    lost = await own_backend.lose(store, key, 4)
    await answers(store, key)
    assert await ids_of(store, key) == ["e1", "e2", "e3"]
    assert [await verdict(store, key, cursor) for cursor in kept] == [Resume(1), Resume(2), Resume(3)]
    assert [await verdict(store, key, cursor) for cursor in lost] == [Reset("rolled_back", 3)] * 4

    for number in range(6):
        await append(store, key, event(f"new{number}"))
    assert [await verdict(store, key, cursor) for cursor in lost] == [Reset("rolled_back", 3)] * 4, "other events stand there now"
    assert [await verdict(store, key, cursor) for cursor in kept] == [Resume(1), Resume(2), Resume(3)]
    assert await ids_of(store, key) == ["e1", "e2", "e3", *(f"new{n}" for n in range(6))]


async def test_a_publisher_who_retries_a_lost_event_by_id_appends_it_again(own_backend: Backend) -> None:
    store = await own_backend.open()
    key = await create(store)
    await cursors(store, key, 1)
    await own_backend.lose(store, key, 2)
    await answers(store, key)
    receipts = [(await append(store, key, event(f"lost{n}")))[0] for n in (1, 2)]
    assert [(item.seq, item.is_duplicate) for item in receipts] == [(2, False), (3, False)]


async def test_after_many_incarnations_the_first_and_the_latest_terms_are_known(own_backend: Backend) -> None:
    store = await own_backend.open()
    key = await create(store)
    given = list[str]()
    for number in range(1, 35):
        given += await cursors_named(store, key, f"e{number}")
        own_backend.next_incarnation()

        async def is_known(number: int = number) -> bool:
            await answers(store, key)
            return (await snapshot(store, key)).facts.terms[-1].number == number + 1

        await until(is_known, "the new term")
    terms = (await snapshot(store, key)).facts.terms
    assert [term.number for term in terms] == [1, *range(5, 36)]
    assert await verdict(store, key, given[0]) == Resume(1)
    assert await verdict(store, key, given[-1]) == Resume(34)
    assert await verdict(store, key, given[2]) == Reset("rolled_back", 3), "forgotten, and so not accepted"
    assert (await append(store, key, event("e34")))[0].is_duplicate


async def test_while_the_server_is_away_reads_are_refused_and_appends_wait(own_backend: Backend) -> None:
    store = await own_backend.open(wait_s=0.7)
    key = await create(store)
    await own_backend.stop()

    async def is_away() -> bool:
        return not store.is_available

    await until(is_away, "the store knows")
    began = time.monotonic()
    outcome = send(store, key, event("e1"))
    assert await refused_call(store.read(key, 0, limit=1)) == "unavailable"
    refusal = await outcome
    assert isinstance(refusal, AnypodError)
    assert (refusal.code, refusal.retry_after_ms is not None) == ("unavailable", True)
    assert 0.6 < time.monotonic() - began < 2.5


async def test_appends_that_waited_for_the_server_are_carried_out_in_order_when_it_is_back(own_backend: Backend) -> None:
    ear = Ear()
    store = await own_backend.open(ear, wait_s=60.0)
    key = await create(store)
    await store.subscribe(key)
    await append(store, key, event("e0"))
    restart = asyncio.ensure_future(own_backend.restart())
    outcomes = [send(store, key, event(f"e{n}")) for n in range(1, 101)]
    outcomes += [send(store, key, event("list1"), event("list2"))]
    results = await asyncio.gather(*outcomes)
    await restart
    assert all(isinstance(result, list) for result in results)
    assert await ids_of(store, key) == [f"e{n}" for n in range(101)] + ["list1", "list2"]
    await ear.until(lambda: bool(ear.barriers), "a barrier")
