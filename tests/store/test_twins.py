"""The memory store and the scripts are twins: whatever is asked of both, they answer alike.

Random deeds over few names, so that ids repeat, parts overlap, quotas are met and fences are lost. A difference names its seed.
"""

import random
import re
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from tests.store.backends import MemoryBackend, RedisBackend
from tests.store.kit import OWNER, STRANGER, audio, delta, event, fresh_key, send

from anypod.core.errors import AnypodError
from anypod.core.event import Draft, Receipt, is_binary
from anypod.core.identity import SessionKey
from anypod.store import Append, BackwardPage, Creation, Page, Patch, SessionClass, Snapshot, Store

WORLDS = 120
DEEDS = 50
FOREVER_MS = 10**9
FENCES = 100  # no answer that is a fence is larger
AUTHORS = [OWNER, OWNER, STRANGER]
_CURSOR = re.compile(rb'"cursor":"[^"]*"')

Deed = Callable[[Store, SessionKey], Awaitable[object]]


def a_class(rng: random.Random) -> SessionClass:
    """Quotas only where nothing can be folded or trimmed between two drafts of one call: the scripts judge first and write then."""
    fold_after_ms, retain_ms, retain_events = rng.choice([0, FOREVER_MS]), rng.choice([None, None, 0]), rng.choice([None, None, 5])
    is_trimmed = retain_ms is not None or retain_events is not None
    return SessionClass(
        "twin",
        ttl_ms=600_000,
        live_ms=600_000,
        events_max=rng.choice([8, 10_000]) if not is_trimmed else 10_000,
        deltas_max=rng.choice([6, 10_000]) if fold_after_ms and not is_trimmed else 10_000,
        part_open_ms=rng.choice([0, FOREVER_MS, FOREVER_MS]),
        retain_events=retain_events,
        retain_ms=retain_ms,
        fold_after_ms=fold_after_ms,
        dedup_ms=rng.choice([0, FOREVER_MS]),
    )


def a_draft(rng: random.Random, *, has_quotas: bool) -> Draft:
    """Where a quota may refuse the draft that begins a part, whose it would be is asked in another order: no own ends there."""
    name, text = f"e{rng.randrange(200)}", rng.choice(["one", "one", "one", "two"])
    turn = rng.choice([None, None, "t1", "t2"])
    scope: dict[str, Any] = {} if turn is None else {"turn": turn, "fence": rng.randint(1, 3)}
    part = f"p{rng.randrange(3)}"
    match rng.randrange(7):
        case 0 | 1 | 2:
            if rng.random() < 0.6:
                return delta(name, part, ts_ms=1, author=rng.choice(AUTHORS), **scope)
            return event(name, text, kind=rng.choice(["message", "turn_finished"]), ts_ms=rng.choice([1, None]), **scope)
        case 3:
            return event(name, text, replaces=part, author=rng.choice(AUTHORS), is_own=not has_quotas and rng.random() < 0.5, **scope)
        case 4:
            return audio(name, text.encode(), **({"replaces": part} if rng.random() < 0.5 else {}))
        case _:
            return event(name, text)


def a_deed(rng: random.Random, *, has_quotas: bool) -> Deed:
    """One thing to do, the same for both."""
    drafts = [a_draft(rng, has_quotas=has_quotas) for _ in range(rng.choice([1, 1, 1, 2, 3, 12]))]
    each = list({item.id: item for item in drafts}.values())
    owner = rng.choice([None, None, OWNER, OWNER, STRANGER])
    seq, limit, is_so = rng.randrange(60), rng.randrange(20), rng.random() < 0.5
    version, turn = rng.randint(1, 3), rng.choice(["t1", "t2"])
    deeds: list[tuple[float, Deed]] = [
        (1, lambda store, key: store.raise_fence(key, turn)),
        (1, lambda store, key: store.tidy(key)),
        (0.15, lambda store, key: store.end(key, owner)),
        (2, lambda store, key: store.read(key, seq, limit=limit, fold=is_so)),
        (1, lambda store, key: store.history(key, seq or None, limit=limit + 1)),
        (1, lambda store, key: _send(store, Append(key, drafts, owner, patch=Patch(version, state=b'{"v":%d}' % seq)))),
        (1, lambda store, key: _send(store, Append(key, (), owner, patch=Patch(version, live=b'{"l":%d}' % seq)))),
        (1, lambda store, key: _with_head(store, key, drafts, is_right=is_so)),
        (3, lambda store, key: _together(store, key, drafts)),
        (9, lambda store, key: _send(store, Append(key, drafts, owner))),
        (3, lambda store, key: _each(store, Append(key, each, owner, is_atomic=False))),
    ]
    weights = [weight for weight, _ in deeds]
    return rng.choices([deed for _, deed in deeds], weights)[0]


async def _send(store: Store, request: Append) -> object:
    return await send(
        store,
        request.key,
        *request.drafts,
        owner=request.owner,
        expect=request.expect,
        patch=request.patch,
        is_atomic=request.is_atomic,
    )


async def _together(store: Store, key: SessionKey, drafts: list[Draft]) -> object:
    """Each by itself, queued in one turn of the loop."""
    outcomes = [send(store, key, item) for item in drafts]
    answers = [await outcome for outcome in outcomes]
    await store.tidy(key)
    return answers


async def _each(store: Store, request: Append) -> object:
    answers = await _send(store, request)
    await store.tidy(request.key)  # when housekeeping comes by itself depends on how many travel in one call
    return answers


async def _with_head(store: Store, key: SessionKey, drafts: list[Draft], *, is_right: bool) -> object:
    head = (await store.heads([key]))[key]
    expected = head.cursor if head and is_right else "epoch001-1abcdef-1-1000000000"
    return await _send(store, Append(key, drafts, expect=expected))


def alike(answer: object) -> object:
    """An answer without what may differ: cursors, times and the messages of errors."""
    told: object = answer
    match answer:
        case AnypodError():
            told = answer.code
        case Receipt():
            told = (answer.id, answer.seq, answer.is_duplicate)
        case Page():
            told = (alike_snapshot(answer.snapshot), [alike(frame) for frame in answer.frames], answer.through)
        case BackwardPage():
            told = ([alike(frame) for frame in answer.frames], answer.has_more)
        case bytes():
            told = _CURSOR.sub(b"", answer[4:] if is_binary(answer) else answer)  # the length counts the cursor
        case str():
            told = answer.split("-")[2]  # a cursor's seq
        case list():
            told = [alike(item) for item in answer]
        case int() if answer > FENCES:
            told = round(answer / 60_000)  # when to come again: a clock ticks between the two
    return told


def alike_snapshot(item: Snapshot) -> object:
    folded = max(item.facts.folded, item.facts.oldest - 1)  # below `oldest` it says nothing
    facts = (item.facts.head.seq, item.facts.oldest, folded, len(item.facts.terms), item.facts.tag_at is None)
    return (facts, item.owner, item.class_name, item.state, item.live, item.metadata, item.version, item.is_closed)


async def did(store: Store, key: SessionKey, deed: Deed) -> object:
    try:
        return alike(await deed(store, key))
    except AnypodError as error:
        return error.code


@pytest.mark.parametrize("kind", ["valkey", "redis"])
async def test_memory_and_server_answer_alike_whatever_is_asked(kind: str, request: pytest.FixtureRequest) -> None:
    memory, server = MemoryBackend(), RedisBackend(request.getfixturevalue(f"{kind}_server"))
    one, two = await memory.open(), await server.open()
    codes = set[object]()
    for seed in range(WORLDS):
        codes |= await compare(one, two, seed)
    await memory.close()
    await server.close()
    assert codes >= {"conflict", "stale", "closed", "fenced", "not_allowed", "quota_exceeded", "no_such_session"}, "every refusal was met"


async def compare(one: Store, two: Store, seed: int) -> set[object]:
    """One world on both; the codes that were met."""
    rng, key, codes = random.Random(seed), fresh_key(), set[object]()
    creation = Creation(key, OWNER, a_class(rng), "epoch001", 1_000_000)
    has_quotas = min(creation.session_class.events_max, creation.session_class.deltas_max) < 10_000
    await one.create(creation)
    await two.create(creation)
    for number in range(DEEDS):
        deed = a_deed(rng, has_quotas=has_quotas)
        answers = await did(one, key, deed), await did(two, key, deed)
        assert answers[0] == answers[1], f"seed {seed}, deed {number}: memory and server differ"
        if isinstance(answers[0], str):
            codes.add(answers[0])
        logs = [await did(store, key, lambda store, key: store.read(key, 0, limit=1_000)) for store in (one, two)]
        assert logs[0] == logs[1], f"seed {seed}, after deed {number}: the logs differ"
    return codes
