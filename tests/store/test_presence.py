"""Who is present in a session: entries, the lives that keep them, and what whoever listens is told."""

import asyncio
import json

from tests.store.kit import Ear, create, fresh_key, refused_call
from tests.support.waiting import until

from anypod.core.identity import SessionKey, partition
from anypod.store import Lives, Member, Store

PHONE = Member("phone", "a1", b'{"id":"phone","author":"ann"}')
DESK = Member("desk", "b1", b'{"id":"desk","author":"ann"}')


async def present(store: Store, key: SessionKey) -> dict[str, tuple[str, bytes]]:
    return {member.name: (life, member.entry) for life, member in await store.present(key)}


async def test_entries_are_set_renewed_and_removed(store: Store) -> None:
    key = await create(store)
    await store.join(key, "one", (PHONE,))
    await store.join(key, "two", (DESK,))
    assert await present(store, key) == {"phone": ("one", PHONE.entry), "desk": ("two", DESK.entry)}
    await store.join(key, "one", (PHONE._replace(entry=b"{}"),))
    await store.leave(key, "two", "desk", "b1")
    await store.leave(key, "two", "nobody", "b1")
    assert await present(store, key) == {"phone": ("one", b"{}")}
    assert await refused_call(store.join(fresh_key(), "one", (PHONE,))) == "no_such_session"


async def test_an_attachment_that_is_not_the_entrys_any_more_does_not_remove_it(store: Store) -> None:
    key = await create(store)
    await store.join(key, "one", (PHONE,))
    await store.join(key, "two", (PHONE._replace(attachment="a2"),))
    await store.leave(key, "one", "phone", "a1")
    assert await present(store, key) == {"phone": ("two", PHONE.entry)}
    await store.leave(key, "two", "phone", "a2")
    assert await present(store, key) == {}


async def test_whoever_listens_is_told_what_changes_and_nothing_else(store: Store, ear: Ear) -> None:
    key = await create(store)
    await store.subscribe(key)
    await store.join(key, "one", (PHONE,))
    await store.join(key, "one", (PHONE, DESK))
    await store.join(key, "one", (PHONE, DESK))
    await store.join(key, "one", (PHONE._replace(entry=b'{"id":"phone","author":"ann","data":1}'),))
    await store.leave(key, "one", "desk", "b1")
    await ear.until(lambda: len(ear.notices(key)) == 4, "four notices")
    told = [(notice.get("origin"), notice["life"], notice["frame"]) for notice in ear.notices(key)]
    phone, layer, frame = json.loads(PHONE.entry), json.loads(DESK.entry), {"type": "presence"}
    assert told == [
        ("a1", "one", {**frame, "joined": [phone]}),
        (None, "one", {**frame, "joined": [layer]}),
        ("a1", "one", {**frame, "updated": [{**phone, "data": 1}]}),
        ("b1", "one", {**frame, "left": [layer]}),
    ]


async def test_a_life_holds_for_ten_seconds_and_its_entries_with_it(store: Store) -> None:
    key = await create(store)
    number = partition(key)
    await store.join(key, "short", (PHONE,))
    lives = await store.keep_life("long", (number,))
    assert lives[number].was_alive is ("long" in lives[number].lives - {"long"})
    assert {"short", "long"} <= lives[number].lives
    await store.join(key, "long", (DESK,))
    await store.bury(key, "short", ("phone",))
    assert (await present(store, key)).keys() == {"phone", "desk"}, "a life that holds is not buried"

    async def is_over() -> bool:
        held = (await store.keep_life("long", (number,)))[number]
        return isinstance(held, Lives) and held.was_alive and "short" not in held.lives

    for _ in range(2):  # a wait of the kit is ten seconds
        try:
            await until(is_over, "the end of a life")
        except AssertionError:
            continue
        break
    assert await present(store, key) == {"desk": ("long", DESK.entry)}
    await store.bury(key, "short", ("phone", "desk"))
    await store.keep_life("short", (number,))
    assert await present(store, key) == {"desk": ("long", DESK.entry)}, "an entry that was buried comes back"


async def test_ten_thousand_are_present_and_no_more(store: Store) -> None:
    key = await create(store)
    for start in range(0, 10_000, 1_000):
        calls = [[Member(f"m{start + first + n}", "a", b'{"id":"m"}') for n in range(100)] for first in range(0, 1_000, 100)]
        await asyncio.gather(*(store.join(key, "one", members) for members in calls))
    assert len(await present(store, key)) == 10_000
    assert await refused_call(store.join(key, "one", (PHONE,))) == "quota_exceeded"
    await store.leave(key, "one", "m0", "a")
    await store.join(key, "one", (PHONE,))
