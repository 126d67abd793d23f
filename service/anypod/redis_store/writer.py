"""Appends on their way to the server.

Owns the queue of appends, their grouping into calls, the calls without an answer and their fate when the connection is
lost. Must not know how a call is packed.

All appends of one tick of the loop leave in one write. After a lost connection everything unanswered is sent again in the same
order: the ids make that harmless. What has no answer at its deadline is refused; whether the log has it, a retry by id tells.
"""

import asyncio
from collections import deque
from collections.abc import Iterable, Iterator
from typing import Final

from anypod.clock import Clock
from anypod.core.errors import AnypodError, unavailable
from anypod.core.identity import SessionKey
from anypod.redis_store.connection import Connection, Reply
from anypod.redis_store.keys import Keyspace
from anypod.redis_store.log import AppendCalls, is_simple, results
from anypod.redis_store.options import RedisOptions
from anypod.redis_store.replies import is_passing
from anypod.store import DRAFTS_MAX, Append, Done, Results
from anypod.telemetry import Metrics

GROUP_MAX: Final = 64  # drafts in one call of several requests: half a millisecond in which the server does nothing else
EXPIRY_S: Final = 0.25  # how late a deadline may be noticed
OVERLOADED_RETRY_MS: Final = 1_000


class _Pending:
    """An append without an answer. `patch_id` tells a repeated patch from another one."""

    __slots__ = ("done", "is_joinable", "is_over", "patch_id", "request", "size", "until")

    def __init__(self, request: Append, done: Done, patch_id: int, until: float) -> None:
        drafts = request.drafts
        self.request = request
        self.done = done
        self.patch_id = patch_id
        self.until = until
        self.size = drafts[0].size if len(drafts) == 1 else sum(item.size for item in drafts)
        # One draft is atomic by itself.
        self.is_joinable = (len(drafts) == 1 or not request.is_atomic) and request.expect is None and request.patch is None
        self.is_over = False


class _Call:
    """Appends that travel in one call. `ids` are collected once a second one wants to come along."""

    __slots__ = ("drafts", "ids", "is_joinable", "pendings")

    def __init__(self, pending: _Pending) -> None:
        self.pendings = [pending]
        self.drafts = list(pending.request.drafts)
        self.is_joinable = pending.is_joinable
        self.ids: set[str] | None = None

    def join(self, pending: _Pending) -> bool:
        """Whether another request travels along: one of the same owner, that expects nothing, with ids that are not here yet."""
        request = pending.request
        if not (self.is_joinable and pending.is_joinable) or request.owner != self.pendings[0].request.owner:
            return False
        if self.ids is None:
            self.ids = {item.id for item in self.drafts}
        if len(self.drafts) + len(request.drafts) > GROUP_MAX or any(item.id in self.ids for item in request.drafts):
            return False
        self.ids.update(item.id for item in request.drafts)
        self.drafts += request.drafts
        self.pendings.append(pending)
        return True

    def answers(self, reply: Reply) -> Iterable[tuple[_Pending, Results | AnypodError]]:
        """The part of each request in the reply."""
        found = results(self.drafts, reply)
        if len(self.pendings) == 1:
            return ((self.pendings[0], _told(self.pendings[0].request, found)),)
        return self._parts(found)

    def _parts(self, found: Results | AnypodError) -> Iterator[tuple[_Pending, Results | AnypodError]]:
        start = 0
        for pending in self.pendings:
            end = start + len(pending.request.drafts)
            yield pending, _told(pending.request, found if isinstance(found, AnypodError) else found[start:end])
            start = end


class Writer:
    def __init__(
        self,
        options: RedisOptions,
        clock: Clock,
        keyspace: Keyspace,
        calls: AppendCalls,
        *,
        patch_ids: Iterator[int],
        metrics: Metrics,
    ) -> None:
        self._metrics = metrics
        self._options = options
        self._clock = clock
        self._keyspace = keyspace
        self._calls = calls
        self._patch_ids = patch_ids
        self._connection: Connection | None = None
        self._queue: deque[_Pending] = deque()
        self._sent: deque[_Call] = deque()
        self._count = 0
        self._bytes = 0
        self._is_scheduled = False
        self._expiry: asyncio.TimerHandle | None = None

    def append(self, request: Append, done: Done) -> None:
        loop = asyncio.get_running_loop()
        patch_id = 0 if request.patch is None else next(self._patch_ids)
        pending = _Pending(request, done, patch_id, self._clock.now() + self._options.append_wait_s)
        if len(request.drafts) > DRAFTS_MAX:
            loop.call_soon(done, AnypodError("too_large", f"more than {DRAFTS_MAX} events at once"))
            return
        if self._count >= self._options.appends_max or self._bytes + pending.size > self._options.append_bytes_max:
            loop.call_soon(done, AnypodError("overloaded", retry_after_ms=OVERLOADED_RETRY_MS))
            return
        self._count += 1
        self._bytes += pending.size
        self._queue.append(pending)
        if not self._is_scheduled:
            self._is_scheduled = True
            loop.call_soon(self._flush)
        if self._expiry is None:
            self._expiry = loop.call_later(EXPIRY_S, self._expire)

    def on_up(self, connection: Connection) -> None:
        self._connection = connection
        self._flush()

    def on_down(self) -> None:
        """Whatever was sent goes back to the head of the queue."""
        self._connection = None
        unanswered = [pending for call in self._sent for pending in call.pendings if not pending.is_over]
        self._sent.clear()
        self._metrics.append_retries += len(unanswered)
        self._queue.extendleft(reversed(unanswered))

    def close(self) -> None:
        """Refuse everything that has no answer."""
        self.on_down()
        if self._expiry is not None:
            self._expiry.cancel()
            self._expiry = None
        while self._queue:
            self._finish(self._queue.popleft(), unavailable())

    def _flush(self) -> None:
        """All appends of one tick in one write."""
        self._is_scheduled = False
        connection, queue = self._connection, self._queue
        if connection is None or not queue:
            return
        calls = _grouped(pending for pending in queue if not pending.is_over)
        queue.clear()
        self._sent.extend(calls)
        connection.send(b"".join(map(self._pack, calls)), self._on_reply, len(calls))

    def _pack(self, call: _Call) -> bytes:
        request = call.pendings[0].request
        names = self._keyspace.session(request.key)
        if not call.is_joinable:
            return self._calls.whole(names, request, call.pendings[0].patch_id)
        if len(call.drafts) == 1 and is_simple(call.drafts[0]):
            return self._calls.one(names, request.owner, call.drafts[0])
        return self._calls.each(names, request.owner, call.drafts)

    def _on_reply(self, reply: Reply) -> None:
        if self._connection is None:
            return  # of a lost connection: its calls are in the queue again
        if is_passing(reply):
            self._connection.abort()  # the next one finds out whether the server serves, and loads the library
            return
        for pending, result in self._sent.popleft().answers(reply):
            self._finish(pending, result)

    def _finish(self, pending: _Pending, result: Results | AnypodError) -> None:
        if pending.is_over:
            return
        pending.is_over = True
        self._count -= 1
        self._bytes -= pending.size
        pending.done(result)

    def _expire(self) -> None:
        """Refuse what has waited too long: the oldest come first, in the calls and in the queue."""
        self._expiry = None
        now = self._clock.now()
        for pending in self._oldest_first():
            if pending.until > now:
                break
            self._finish(pending, unavailable())
        while self._queue and self._queue[0].is_over:
            self._queue.popleft()
        if self._count:
            self._expiry = asyncio.get_running_loop().call_later(EXPIRY_S, self._expire)

    def _oldest_first(self) -> Iterator[_Pending]:
        for call in list(self._sent):
            yield from call.pendings
        yield from list(self._queue)


def _told(request: Append, found: Results | AnypodError) -> Results | AnypodError:
    """Of a request that is all or nothing one error stands for all, of another one each draft has its own."""
    if not request.is_atomic:
        return [found] * len(request.drafts) if isinstance(found, AnypodError) else found
    if not isinstance(found, AnypodError) and found and isinstance(found[0], AnypodError):
        return found[0]
    return found


def _grouped(pendings: Iterable[_Pending]) -> list[_Call]:
    """As few calls as there can be. Those of one session keep the order of its appends."""
    calls, latest = list[_Call](), dict[SessionKey, _Call]()
    for pending in pendings:
        key = pending.request.key
        call = latest.get(key)
        if call is None or not call.join(pending):
            call = latest[key] = _Call(pending)
            calls.append(call)
    return calls
