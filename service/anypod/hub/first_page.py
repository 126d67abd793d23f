"""The first page that a client gets, and the verdict on the history that it comes with.

Owns where the page begins, and on whose word a history is called lost: for a moment of a failover the old server may still answer,
whose log lacks what the new one has. Must not know transports, nor what is told.
"""

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

from anypod.core.cursor import After, Cursor, Reset, Resume, judge
from anypod.core.errors import AnypodError
from anypod.core.event import position
from anypod.core.identity import SessionKey
from anypod.hub.attach_request import AttachRequest, folds
from anypod.store import Missing, Page, Store

if TYPE_CHECKING:
    from anypod.hub.hub import Hub


async def verified_read(store: Store, after: After, read: Callable[[], Awaitable[Page]]) -> tuple[Page, Resume | Reset]:
    """The page that `read` gives, and the verdict by it: a cursor that it cannot honour is judged again by a log that was confirmed."""
    page = await read()
    verdict = judge(after, page.snapshot.facts)
    if isinstance(verdict, Reset) and isinstance(after, Cursor):
        await store.confirm()
        page = await read()
        verdict = judge(after, page.snapshot.facts)
    return page, verdict


async def _before_latest(store: Store, key: SessionKey, count: int) -> int | None:
    """The seq after which the latest `count` durable events begin; None: the head. Read page by page, of which none is kept."""
    first: int | None = None
    while count > 0:
        page = await store.history(key, first, limit=count)
        if page.frames:
            first = position(page.frames[0]).seq
        count = count - len(page.frames) if page.has_more else 0
    return None if first is None else first - 1


async def first_page(hub: "Hub", ask: AttachRequest, after: After) -> tuple[Page, int, Resume | Reset]:
    """The page from where the client asks, the seq after which it begins, and the verdict. Raises AnypodError."""
    seq = after.seq if isinstance(after, Cursor) else 0 if after == "start" else None
    if after == "start" and ask.history is not None:
        seq = await _before_latest(hub.store, ask.key, ask.history)

    async def read() -> Page:
        page = await hub.catch_up.replays.read(ask.key, seq, fold=folds(ask))
        if isinstance(page, Missing):
            raise AnypodError("unavailable", "the session has just ended; attach again", retry_after_ms=100)
        return page

    page, verdict = await verified_read(hub.store, after, read)
    facts = page.snapshot.facts
    if seq is None:
        return page, facts.head.seq, verdict
    return page, max(seq, facts.oldest - 1) if after == "start" else seq, verdict
