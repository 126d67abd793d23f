"""One replica's connection to the memory server.

Owns the order of what passes through it and every delay: requests and replies are queues, each emptied by one scheduled
callback, so that nothing is answered before the call returns and nothing overtakes. Must not know the rules of the log.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import Final, NamedTuple, TypeVar

from anypod.core.errors import AnypodError, unavailable
from anypod.core.identity import SessionKey, Subject, TenantId
from anypod.memory_store.feed import Feed
from anypod.memory_store.server import MemoryServer
from anypod.store import (
    DRAFTS_MAX,
    PAGE_BYTES_MAX,
    Append,
    BackwardPage,
    Creation,
    Done,
    Due,
    Erased,
    Listing,
    Lives,
    LogHead,
    Member,
    Missing,
    Page,
    Results,
    Sink,
    Usage,
)

WAIT_S: Final = 5.0  # an append waits this long for the server to come back: about one failover
WAITING_MAX: Final = 10_000  # appends without an answer; a further one is `overloaded`
WAITING_BYTES_MAX: Final = 64 << 20  # and their bytes

T = TypeVar("T")


class _Reply(NamedTuple):
    request: Append
    result: Results | AnypodError


class MemoryStore:
    def __init__(self, server: MemoryServer, wait_s: float = WAIT_S) -> None:
        self._server = server
        self._wait_s = wait_s
        self._feed: Feed | None = None
        self._requests: deque[Append] = deque()
        self._replies: deque[_Reply] = deque()
        self._waiting_bytes = 0
        self._is_committing = False
        self._is_answering = False
        self._expiry: asyncio.TimerHandle | None = None

    async def open(self, sink: Sink) -> None:
        await self._hop()
        self._feed = Feed(sink)
        self._server.attach(self)

    async def close(self) -> None:
        if self._feed is None:
            return
        self._server.detach(self)
        self._feed.close()
        self._feed = None
        self._refuse_all()
        await self._hop()

    @property
    def is_available(self) -> bool:
        return self._feed is not None and self._server.is_running

    # The feed.
    async def subscribe(self, key: SessionKey) -> None:
        feed = self._open_feed
        feed.ask(key)
        try:
            await self._call(lambda: feed.subscribe(key))
        except AnypodError:
            feed.unsubscribe(key)
            raise

    def unsubscribe(self, key: SessionKey) -> None:
        if self._feed is not None:
            self._feed.unsubscribe(key)

    def notify(self, key: SessionKey, notice: bytes) -> None:
        if self.is_available:
            self._server.publish(key, notice)

    # The log.
    def append(self, request: Append, done: Done) -> None:
        request.begin(done, self._server.clock.now())
        if request.patch is not None:
            request.nonce = next(self._server.nonces)
        self._waiting_bytes += request.size
        if len(request.drafts) > DRAFTS_MAX:
            self._reply(request, AnypodError("too_large", f"more than {DRAFTS_MAX} events at once"))
        elif self._feed is None:
            self._reply(request, unavailable())
        elif len(self._requests) + len(self._replies) >= WAITING_MAX or self._waiting_bytes > WAITING_BYTES_MAX:
            self._reply(request, AnypodError("overloaded", retry_after_ms=1_000))
        else:
            self._requests.append(request)
            self._schedule_commit()

    async def read(
        self, key: SessionKey, after: int | None, *, limit: int, fold: bool = False, bytes_max: int = PAGE_BYTES_MAX
    ) -> Page | Missing:
        return await self._call(lambda: self._server.read(key, after, limit=limit, fold=fold, bytes_max=bytes_max))

    async def verify_primary(self) -> None:
        """There is one log."""

    async def history(self, key: SessionKey, before: int | None, *, limit: int, bytes_max: int = PAGE_BYTES_MAX) -> BackwardPage:
        return await self._call(lambda: self._server.history(key, before, limit=limit, bytes_max=bytes_max))

    async def heads(self, keys: Sequence[SessionKey]) -> Mapping[SessionKey, LogHead | None]:
        return await self._call(lambda: self._server.heads(keys))

    # Sessions.
    async def create(self, creation: Creation) -> tuple[Page, bool]:
        return await self._call(lambda: self._server.create(creation))

    async def end(self, key: SessionKey, owner: Subject | None) -> str:
        return await self._call(lambda: self._server.end(key, owner))

    async def delete(self, key: SessionKey, owner: Subject | None) -> None:
        await self._call(lambda: self._server.delete(key, owner))

    async def sessions(self, tenant: TenantId, owner: Subject, *, before_ms: int | None, limit: int) -> Sequence[Listing]:
        return await self._call(lambda: self._server.sessions(tenant, owner, before_ms=before_ms, limit=limit))

    async def touch(self, key: SessionKey) -> Usage | None:
        return await self._call(lambda: self._server.touch(key))

    async def usage(self, tenant: TenantId, owner: Subject) -> Usage:
        return await self._call(lambda: self._server.usage(tenant, owner))

    async def raise_fence(self, key: SessionKey, turn: str) -> int:
        return await self._call(lambda: self._server.raise_fence(key, turn))

    async def keep(self, key: SessionKey) -> int:
        return await self._call(lambda: self._server.keep(key))

    # Housekeeping.
    async def tidy(self, key: SessionKey, turn: str = "") -> int | None:
        return await self._call(lambda: self._server.tidy(key, turn))

    def schedule(self, key: SessionKey, in_ms: int) -> None:
        if self.is_available:
            self._server.schedule(key, in_ms)

    async def due(self, number: int, *, limit: int) -> Sequence[Due]:
        return await self._call(lambda: self._server.due(number, limit))

    # Devices.
    async def claim(self, key: SessionKey, place: str) -> int:
        return await self._call(lambda: self._server.claim(key, place))

    async def claims(self, places: Sequence[tuple[SessionKey, str]]) -> Sequence[int]:
        return await self._call(lambda: self._server.claims(places))

    def withdraw(self, key: SessionKey, place: str, number: int) -> None:
        if self.is_available:
            self._server.withdraw(key, place, number)

    # Erasure.
    async def erase(self, tenant: TenantId, owner: Subject | None, cursor: str, *, limit: int) -> Erased:
        return await self._call(lambda: self._server.erase(tenant, owner, cursor, limit=limit))

    async def erasures(self) -> Mapping[str, bytes]:
        return await self._call(self._server.erasures)

    async def swap_erasure(self, name: str, before: bytes | None, after: bytes | None, *, ttl_ms: int) -> bool:
        return await self._call(lambda: self._server.swap_erasure(name, before, after, ttl_ms=ttl_ms))

    # Presence.
    async def join(self, key: SessionKey, life: str, members: Sequence[Member]) -> None:
        await self._call(lambda: self._server.join(key, life, members))

    async def present(self, key: SessionKey) -> Sequence[tuple[str, Member]]:
        return await self._call(lambda: self._server.present(key))

    async def leave(self, key: SessionKey, life: str, name: str, attachment: str) -> None:
        await self._call(lambda: self._server.leave(key, life, name, attachment))

    async def bury(self, key: SessionKey, life: str, names: Sequence[str]) -> None:
        await self._call(lambda: self._server.bury(key, life, names))

    async def keep_life(self, life: str, partitions: Sequence[int]) -> Mapping[int, Lives]:
        return await self._call(lambda: self._server.keep_life(life, partitions))

    # Replicas.
    async def announce(self, life: str, entry: bytes, *, ttl_ms: int) -> Sequence[bytes]:
        return await self._call(lambda: self._server.announce(life, entry, ttl_ms=ttl_ms))

    # Notes.
    async def swap_note(self, name: str, note: bytes | None, *, ttl_ms: int) -> bytes | None:
        return await self._call(lambda: self._server.swap_note(name, note, ttl_ms=ttl_ms))

    # What the server calls.
    def offer(self, key: SessionKey, payload: bytes) -> None:
        self._open_feed.offer(key, payload)

    def cut(self, *, is_feed_only: bool) -> None:
        """The server is gone, or the feed's connection. Replies on their way are lost: their requests go out again, by id."""
        self._open_feed.cut()
        if not is_feed_only:
            lost = [reply.request for reply in self._replies if not _is_own(reply)]
            self._requests.extendleft(reversed(lost))
            self._replies = deque(reply for reply in self._replies if _is_own(reply))
            self._schedule_expiry()

    def restore(self) -> None:
        self._open_feed.restore()
        self._schedule_commit()

    @property
    def _open_feed(self) -> Feed:
        if self._feed is None:
            raise unavailable()
        return self._feed

    async def _call(self, operation: Callable[[], T]) -> T:
        """A request and its reply: others may run before the server has it, and again before its answer is here."""
        await self._hop()
        if not self.is_available:
            raise unavailable()
        result = operation()
        await self._hop()
        if not self.is_available:
            raise unavailable()
        return result

    async def _hop(self) -> None:
        await asyncio.sleep(0)

    def _schedule_commit(self) -> None:
        if self._requests and not self._is_committing:
            self._is_committing = True
            asyncio.get_running_loop().call_soon(self._commit)

    def _commit(self) -> None:
        """All appends of one tick, in their order."""
        self._is_committing = False
        if not self._server.is_running:
            self._schedule_expiry()
            return
        while self._requests:
            request = self._requests.popleft()
            self._reply(request, self._outcome(request))

    def _outcome(self, request: Append) -> Results | AnypodError:
        try:
            return self._server.append(request)
        except AnypodError as error:
            return error if request.is_atomic else [error] * len(request.drafts)

    def _reply(self, request: Append, result: Results | AnypodError) -> None:
        self._replies.append(_Reply(request, result))
        if not self._is_answering:
            self._is_answering = True
            asyncio.get_running_loop().call_soon(self._answer)

    def _answer(self) -> None:
        self._is_answering = False
        replies, self._replies = self._replies, deque()
        for reply in replies:
            self._waiting_bytes -= reply.request.size
            reply.request.done(reply.request, reply.result)

    def _schedule_expiry(self) -> None:
        if self._requests and self._expiry is None:
            wait_s = max(0.0, self._requests[0].since + self._wait_s - self._server.clock.now())
            self._expiry = asyncio.get_running_loop().call_later(wait_s, self._expire)

    def _expire(self) -> None:
        self._expiry = None
        if self._server.is_running:
            return
        now = self._server.clock.now()
        while self._requests and self._requests[0].since + self._wait_s <= now:
            self._reply(self._requests.popleft(), unavailable())
        self._schedule_expiry()

    def _refuse_all(self) -> None:
        if self._expiry is not None:
            self._expiry.cancel()
        while self._requests:
            self._reply(self._requests.popleft(), unavailable())


def _is_own(reply: _Reply) -> bool:
    """Made by this side rather than by the server."""
    return isinstance(reply.result, AnypodError) and reply.result.code in ("unavailable", "overloaded", "too_large")
