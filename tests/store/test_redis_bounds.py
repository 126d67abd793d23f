"""Nothing grows without end: what waits, what is kept, what is read at once."""

import asyncio
import re

from tests.store.kit import (
    CHAT,
    STRANGER,
    append,
    create,
    delta,
    event,
    fresh_owner,
    ids_of,
    log_of,
    page,
    patch,
    refused,
    refused_call,
    send,
    seq_of,
)
from tests.store.redis_kit import holds, number_of, opened
from tests.support.redis_servers import RedisServer
from tests.support.waiting import until

from anypod.core.errors import AnypodError
from anypod.core.identity import partition
from anypod.redis_store.keys import Keyspace
from anypod.store import SUBJECT_DELETIONS_MAX, Member, SessionClass


async def test_a_page_of_large_events_ends_before_it_is_too_much_and_says_so(own_server: RedisServer) -> None:
    async with opened(own_server.url) as store:
        key = await create(store)
        for number in range(120):
            await append(store, key, event(f"e{number}", "x" * 40_000), delta(f"d{number}", "p", ts_ms=1))
        first = await page(store, key, 0, limit=1_000)
        assert sum(map(len, first.frames)) < 8 << 20
        assert first.has_more
        assert [seq_of(frame) for frame in await log_of(store, key)] == list(range(1, 241))


async def test_what_waits_is_bounded_in_number_and_in_bytes(own_server: RedisServer) -> None:
    async with opened(own_server.url, appends_max=10, append_bytes_max=100_000, append_wait_s=0.5) as store:
        key = await create(store)
        own_server.kill()
        await until(lambda: holds(not store.is_available), "the store knows")
        outcomes = [send(store, key, event(f"e{n}")) for n in range(12)]
        results = await asyncio.gather(*outcomes)
        assert [result.code for result in results if isinstance(result, AnypodError)] == ["unavailable"] * 10 + ["overloaded"] * 2
        assert await refused(store, key, event("big", "x" * 100_000)) == "overloaded"
        own_server.start()

        async def is_back() -> bool:
            return not isinstance(await send(store, key, event("after")), AnypodError)

        await until(is_back, "what was refused takes no room")


async def test_whatever_still_waits_is_refused_when_the_store_closes(own_server: RedisServer) -> None:
    async with opened(own_server.url) as store:
        key = await create(store)
        own_server.kill()
        await until(lambda: holds(not store.is_available), "the store knows")
        outcome = send(store, key, event("e1"))
        await store.close()
        refusal = await outcome
        assert isinstance(refusal, AnypodError)
        assert refusal.code == "unavailable"


async def test_every_key_expires(own_server: RedisServer) -> None:
    async with opened(own_server.url) as store:
        key = await create(store, CHAT, live=b'{"l":1}')
        fence = await store.raise_fence(key, "t1")
        await append(store, key, event("e1"), delta("d1", "a", turn="t1", fence=fence), patch=patch(1, live=b'{"l":2}'))
        await store.join(key, "life", (Member("phone", "a1", b"{}"),))
        await store.claim(key, "phone/ann")
        gone, late = await create(store), await create(store)
        await append(store, gone, event("e1"), delta("d1", "a"))
        await store.delete(gone, None)
        await append(store, late, delta("d1", "a"))
        await append(store, late, event("e1"))
        assert await refused_call(create(store, key=late, owner=STRANGER)) == "no_such_session"
        keys = own_server.command("KEYS", "*")
        assert isinstance(keys, list)
        # m, l, d, v, w, k of one and its partition's lives; m of the deleted one; m, l, d of the last; the index, the tenant's deletions.
        assert len(keys) == 15
        assert [name for name in keys if isinstance(name, bytes) and number_of(own_server.command("PTTL", name)) <= 0] == []


async def test_who_creates_and_deletes_without_end_leaves_a_bounded_number_of_keys(own_server: RedisServer) -> None:
    owner = fresh_owner()
    async with opened(own_server.url) as store:
        sizes = []
        for count in (SUBJECT_DELETIONS_MAX, 100):
            for _ in range(count):
                key = await create(store, owner=owner, sessions_max=1)
                await store.delete(key, owner)
            sizes.append(number_of(own_server.command("DBSIZE")))
        assert sizes == [SUBJECT_DELETIONS_MAX + 2] * 2, "what remembers the first thousand, and the counts of the subject and its tenant"


async def test_a_large_hash_is_a_table_whatever_the_servers_settings(own_server: RedisServer) -> None:
    own_server.command("CONFIG", "SET", "hash-max-listpack-entries", 100_000)
    own_server.command("CONFIG", "SET", "hash-max-listpack-value", 1_024)
    async with opened(own_server.url) as store:
        key = await create(store)
        for number in range(40):
            await append(store, key, event(f"e{number}"))
        meta = Keyspace("anypod").session(key).meta
        assert own_server.command("OBJECT", "ENCODING", meta) == b"hashtable"


async def test_the_hash_of_a_session_does_not_grow_with_its_log(own_server: RedisServer) -> None:
    forgetful = SessionClass("forgetful", ttl_ms=600_000, live_ms=1_000, dedup_ms=0, fold_after_ms=0, retain_events=10)
    async with opened(own_server.url) as store:
        key = await create(store, forgetful)
        for number in range(600):
            await append(store, key, delta(f"d{number}", "p"), event(f"e{number}", replaces="p"))
        names = Keyspace("anypod").session(key)
        assert number_of(own_server.command("HLEN", names.meta)) < 2 * (64 + 96) + 40
        assert number_of(own_server.command("XLEN", names.log)) < 10 + 40
        assert number_of(own_server.command("XLEN", names.deltas)) < 40


async def test_the_memory_of_remembered_ids_ends_with_their_window(own_server: RedisServer) -> None:
    """An answer of 1,000 words, folded, in a session to which nothing is appended any more: housekeeping finds it by the calendar."""
    answer = SessionClass("answer", ttl_ms=600_000, live_ms=1_000, fold_after_ms=0, dedup_ms=1_500)
    async with opened(own_server.url) as store:
        key = await create(store, answer)
        await append(store, key, event("question"))
        for number in range(1_000):
            await append(store, key, delta(f"01890a5d-ac96-774b-bcce-{number:012d}", "answer"))
        await append(store, key, event("whole", "word " * 1_000, replaces="answer"))
        names = Keyspace("anypod").session(key)
        keys = (names.meta, names.log, names.deltas)
        within = sum(number_of(own_server.command("MEMORY", "USAGE", name, "SAMPLES", 0) or 0) for name in keys)
        store.schedule(key, 1)

        async def is_over() -> bool:
            for item in await store.due(partition(key), limit=10):
                while await store.tidy(item.key, item.turn) == 0:
                    pass
            return number_of(own_server.command("HLEN", names.meta)) < 2 * 64 + 32

        await until(is_over, "the ids are forgotten")
        held = {name[-1:].decode(): own_server.command("MEMORY", "USAGE", name, "SAMPLES", 0) for name in keys}
        total = sum(number_of(held_bytes or 0) for held_bytes in held.values())
        print(f"within the window {within} bytes, after it {held}")
        assert within > 100_000
        assert total <= 20 << 10, held
        whole = event("whole", "word " * 1_000, replaces="answer")
        assert (await append(store, key, whole))[0].is_duplicate, "64 ids stay, however old"
        assert number_of(own_server.command("PTTL", names.meta)) > 500_000
        for number in range(100):
            await append(store, key, event(f"e{number}"))
        assert (await append(store, key, event("e36")))[0].is_duplicate
        assert own_server.command("OBJECT", "ENCODING", names.meta) == b"hashtable"


async def test_a_large_session_is_deleted_without_holding_the_server_up(own_server: RedisServer) -> None:
    async with opened(own_server.url) as store:
        key = await create(store, SessionClass("large", ttl_ms=600_000, live_ms=1_000, events_max=100_000))
        for start in range(0, 50_000, 500):
            await append(store, key, *(event(f"e{number}", "x" * 200) for number in range(start, start + 500)))
        log = Keyspace("anypod").session(key).log
        own_server.command("CONFIG", "SET", "lazyfree-lazy-user-del", "no")
        own_server.command("COPY", log, log + b"2")
        before = freed_beside(own_server)
        own_server.command("DEL", log + b"2")
        assert freed_beside(own_server) == before, "a DEL frees it while everything else waits"
        await store.delete(key, None)
        async with asyncio.timeout(10):
            while freed_beside(own_server) == before:  # noqa: ASYNC110 - another process does it
                await asyncio.sleep(0.01)


def freed_beside(server: RedisServer) -> int:
    """How many values the server has freed in a thread beside the one that serves."""
    memory = server.command("INFO", "memory")
    assert isinstance(memory, bytes)
    found = re.search(rb"lazyfreed_objects:(\d+)", memory)
    assert found is not None
    return int(found[1])


async def test_a_clock_that_is_set_forward_ends_no_open_part(own_server: RedisServer) -> None:
    """The last look and what it saw lie an hour back, as if the clock had been set forward by one since: the age begins anew."""
    async with opened(own_server.url) as store:
        key = await create(store, SessionClass("slow", ttl_ms=600_000, live_ms=1_000, fold_after_ms=0, part_open_ms=300))
        await append(store, key, event("e1"), delta("d1", "part"))
        await store.tidy(key)
        meta = Keyspace("anypod").session(key).meta
        seen, seen_ms, author = hash_field(own_server, meta, b"&/part").split(b" ", 2)
        hour_ago = b"%d" % (int(seen_ms) - 3_600_000)
        own_server.command("HSET", meta, "L", hour_ago, "&/part", b" ".join((seen, hour_ago, author)))
        await store.tidy(key)
        assert await ids_of(store, key) == ["e1", "d1"]
        await asyncio.sleep(0.35)
        await store.tidy(key)
        assert await ids_of(store, key) == ["e1"], "from then on it counts"


def hash_field(server: RedisServer, key: bytes, field: bytes) -> bytes:
    found = server.command("HGET", key, field)
    assert isinstance(found, bytes)
    return found
