"""What the conformance suite says and hears: drafts, sessions, a sink that remembers, and waits for conditions."""

import asyncio
import json
import time
from collections.abc import Awaitable, Callable, Sequence
from itertools import count
from typing import Any, Final

from anypod.core.cursor import Reset, Resume, judge, parse_after
from anypod.core.errors import AnypodError, Code
from anypod.core.event import NO_DETAILS, Details, Draft, Receipt, author_json, draft, is_binary, position, split_binary
from anypod.core.identity import SessionId, SessionKey, Subject, TenantId
from anypod.core.notices import is_notice
from anypod.store import PAGE_BYTES_MAX, Append, Creation, Missing, Page, Patch, SessionClass, Snapshot, Store, reraise

WAIT_S: Final = 10.0
OWNER: Final = Subject("ann")
STRANGER: Final = Subject("bob")
CHAT: Final = SessionClass("chat", ttl_ms=600_000, live_ms=30_000)

_numbers = count(1)


def fresh_key(tenant: str = "acme") -> SessionKey:
    """A session that no other test knows."""
    return SessionKey(TenantId(tenant), SessionId(f"s{time.time_ns()}-{next(_numbers)}"))


def fresh_owner() -> Subject:
    return Subject(f"subject {time.time_ns()}/{next(_numbers)}")


def event(
    event_id: str, text: str = "hello", *, kind: str = "message", ts_ms: int | None = None, author: str = OWNER, **details: Any
) -> Draft:
    """An event's draft; `details` are the fields of `Details`."""
    now_ms = time.time_ns() // 1_000_000 if ts_ms is None else ts_ms
    data = json.dumps(text).encode()
    return draft(event_id, kind, data, author=author_json(author), ts_ms=now_ms, details=Details(**details) if details else NO_DETAILS)


def delta(event_id: str, part: str, **details: Any) -> Draft:
    return event(event_id, kind="token", part=part, **details)


def audio(event_id: str, payload: bytes, **details: Any) -> Draft:
    given = Details(**details) if details else NO_DETAILS
    return draft(event_id, "audio", payload, author=author_json(OWNER), ts_ms=1, details=given, is_binary=True)


async def create(
    store: Store,
    session_class: SessionClass = CHAT,
    *,
    key: SessionKey | None = None,
    owner: Subject = OWNER,
    epoch: str = "epoch001",
    sessions_max: int = 1_000_000,
    **values: bytes,
) -> SessionKey:
    key = key or fresh_key()
    await store.create(Creation(key, owner, session_class, epoch, sessions_max, **values))
    return key


def send(store: Store, key: SessionKey, *drafts: Draft, **request: Any) -> asyncio.Future[Any]:
    """Queue an append; the outcome comes as it is: receipts, or the error."""
    outcome: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
    store.append(Append(key, drafts, **request), lambda _, result: outcome.set_result(result))
    assert not outcome.done(), "done was called before append returned"
    return outcome


async def append(store: Store, key: SessionKey, *drafts: Draft, **request: Any) -> Sequence[Receipt]:
    return reraise(await send(store, key, *drafts, **request))


async def refused(store: Store, key: SessionKey, *drafts: Draft, **request: Any) -> Code:
    """The code with which an append is refused."""
    outcome = await send(store, key, *drafts, **request)
    assert isinstance(outcome, AnypodError), f"not refused: {outcome}"
    return outcome.code


async def refused_call(call: Awaitable[object]) -> Code:
    try:
        result = await call
    except AnypodError as error:
        return error.code
    raise AssertionError(f"not refused: {result}")


async def page(
    store: Store, key: SessionKey, after: int | None = 0, *, limit: int = 1_000, fold: bool = False, bytes_max: int = PAGE_BYTES_MAX
) -> Page:
    found = await store.read(key, after, limit=limit, fold=fold, bytes_max=bytes_max)
    assert isinstance(found, Page), f"missing: {found}"
    return found


async def snapshot(store: Store, key: SessionKey) -> Snapshot:
    return (await page(store, key, None)).snapshot


async def log_of(store: Store, key: SessionKey) -> list[bytes]:
    """Every frame that is kept."""
    frames, after = list[bytes](), 0
    while True:
        found = await page(store, key, after)
        frames += found.frames
        after = found.through
        if not found.has_more:
            return frames


async def ids_of(store: Store, key: SessionKey) -> list[str]:
    return [id_of(frame) for frame in await log_of(store, key)]


async def verdict(store: Store, key: SessionKey, cursor: str) -> Resume | Reset:
    """What a client with that cursor is told."""
    after = parse_after(cursor)
    found = await page(store, key, None if isinstance(after, str) else after.seq)
    return judge(after, found.snapshot.facts)


def id_of(frame: bytes) -> str:
    return str(fields(frame)["id"])


def seq_of(frame: bytes) -> int:
    return position(frame).seq


def fields(frame: bytes) -> dict[str, Any]:
    """A frame or notice, decoded."""
    decoded: dict[str, Any] = json.loads(split_binary(frame)[0] if is_binary(frame) else frame)
    return decoded


class Ear:
    """A sink that remembers what it heard, and lets a test wait for it."""

    def __init__(self) -> None:
        self.heard: list[tuple[SessionKey, bytes]] = []
        self.barriers: list[list[SessionKey]] = []
        self.batches = 0
        self._changed = asyncio.Event()

    def on_batch(self, batch: Sequence[tuple[SessionKey, bytes]]) -> None:
        assert batch
        self.batches += 1
        self.heard += batch
        self._changed.set()

    def on_barrier(self, keys: Sequence[SessionKey]) -> None:
        self.barriers.append(list(keys))
        self._changed.set()

    def of(self, key: SessionKey) -> list[bytes]:
        return [payload for heard, payload in self.heard if heard == key]

    def frames(self, key: SessionKey) -> list[bytes]:
        return [payload for payload in self.of(key) if not is_notice(payload)]

    def notices(self, key: SessionKey) -> list[dict[str, Any]]:
        return [fields(payload) for payload in self.of(key) if is_notice(payload)]

    async def until(self, condition: Callable[[], bool], what: str) -> None:
        async with asyncio.timeout(WAIT_S):
            while not condition():
                self._changed.clear()
                await self._changed.wait()
        assert condition(), what


def patch(version: int, **values: bytes) -> Patch:
    return Patch(version, **values)


def is_missing(found: Page | Missing) -> bool:
    return isinstance(found, Missing)
