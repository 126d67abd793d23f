"""Appends on their way to the server: ordering per session, batching, pipelining, retry.

Owns the queue of appends, their batching into calls, the calls without an answer and their fate when the connection is lost. Must not
know how a call is packed.

1. All appends of one iteration of the loop leave in one write; those that can be judged one by one share calls.
2. After a lost connection everything unanswered is sent again in the same order: the ids make that harmless. What has no answer at its
   deadline is refused; whether the log has it, a retry by id tells.
3. While slots move, a server may refuse one call and take the one behind it, when it becomes the owner of their slot in between. So after
   a refusal, and after a change of servers, a session's next call goes alone, and the others once that one is answered.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import chain, takewhile
from typing import Final, Literal

from anypod.clock import Clock
from anypod.core.errors import AnypodError, unavailable
from anypod.core.event import Draft, Receipt
from anypod.core.identity import SessionKey
from anypod.redis_store.config import RedisOptions
from anypod.redis_store.keys import Keyspace
from anypod.redis_store.log.append_codec import AppendCalls, is_simple, result_of, results
from anypod.redis_store.wire.connection import CommandPipe, Reply
from anypod.redis_store.wire.errors import UNCONFIRMED, is_moving, is_passing
from anypod.store import DRAFTS_MAX, Append, Done, Results
from anypod.telemetry import Metrics

_State = Literal["shut", "ajar", "busy"]  # nothing may go; one call may; that one is under way
EXPIRY_S: Final = 0.25  # how late a deadline may be noticed
HOLD_S: Final = 0.05  # between two attempts at a slot that is moving: it may be there for seconds, or have gone
OVERLOADED_RETRY_MS: Final = 1_000
GROUP_MAX: Final = 64  # drafts in one call of several requests: half a millisecond in which the server does nothing else
Call = list[Append]  # requests that travel together; more than one only when each of their drafts is judged by itself


class SessionOrdering:
    """Of most sessions nothing is known, and everything may go. `known`: of which something is; looked at for every append."""

    __slots__ = ("known",)

    def __init__(self) -> None:
        self.known: dict[SessionKey, _State] = {}

    def shut(self, key: SessionKey) -> None:
        """Of a session whose call was refused."""
        self.known[key] = "shut"

    def unlatch(self, keys: Iterable[SessionKey]) -> None:
        """From now on one call of each may go."""
        self.known.update(dict.fromkeys(keys, "ajar"))

    def unlatch_all(self) -> None:
        """Nothing is under way any more."""
        self.unlatch(list(self.known))

    def passes(self, key: SessionKey) -> bool:
        """Whether a call may go: then it is under way."""
        state = self.known.get(key)
        if state == "ajar":
            self.known[key] = "busy"
        return state is None or state == "ajar"

    def answered(self, key: SessionKey) -> bool:
        """Whether that was the call that went alone, so that the others may follow."""
        if self.known.get(key) != "busy":
            return False
        del self.known[key]
        return True

    def drop(self, is_stray: Callable[[SessionKey], bool]) -> None:
        for key in list(filter(is_stray, self.known)):
            del self.known[key]

    def clear(self) -> None:
        self.known.clear()


class AppendQueue:
    def __init__(
        self,
        options: RedisOptions,
        clock: Clock,
        keyspace: Keyspace,
        calls: AppendCalls,
        *,
        nonces: Iterator[int],
        metrics: Metrics,
        on_moved: Callable[[], None],
    ) -> None:
        self._metrics = metrics
        self._on_moved = on_moved
        self._options = options
        self._clock = clock
        self._keyspace = keyspace
        self._calls = calls
        self._nonces = nonces
        self._connection: CommandPipe | None = None
        self._queue: deque[Append] = deque()
        self._sent: deque[Call] = deque()
        self._releasing: asyncio.TimerHandle | None = None
        self._held: list[Append] = []  # of slots that are moving: asked for again after HOLD_S, here or elsewhere
        self._ordering = SessionOrdering()
        self._count = 0
        self._bytes = 0
        self._is_scheduled = False
        self._expiry: asyncio.TimerHandle | None = None

    def append(self, request: Append, done: Done) -> None:
        request.begin(done, self._clock.now())
        if len(request.drafts) > DRAFTS_MAX:
            asyncio.get_running_loop().call_soon(done, request, AnypodError("too_large", f"more than {DRAFTS_MAX} events at once"))
            return
        if self._count >= self._options.appends_max or self._bytes + request.size > self._options.append_bytes_max:
            asyncio.get_running_loop().call_soon(done, request, AnypodError("overloaded", retry_after_ms=OVERLOADED_RETRY_MS))
            return
        if request.patch is not None:
            request.nonce = next(self._nonces)
        self._enqueue(request)

    def take_over(self, request: Append) -> None:
        """What another writer gave up."""
        self._ordering.unlatch([request.key])
        self._enqueue(request)

    def _enqueue(self, request: Append) -> None:
        self._count += 1
        self._bytes += request.size
        self._queue.append(request)
        self._schedule()
        if self._expiry is None:
            self._expiry = asyncio.get_running_loop().call_later(EXPIRY_S, self._expire)

    def _schedule(self) -> None:
        if not self._is_scheduled:
            self._is_scheduled = True
            asyncio.get_running_loop().call_soon(self._flush)

    def on_up(self, connection: CommandPipe) -> None:
        self._connection = connection
        self._flush()

    def on_down(self) -> None:
        """Whatever was sent goes back to the head of the queue."""
        self._connection = None
        unanswered = [request for call in self._sent for request in call if not request.is_over]
        self._sent.clear()
        self._metrics.append_retries += len(unanswered)
        self._queue.extendleft(reversed((*self._held, *unanswered)))
        self._held.clear()
        self._ordering.unlatch_all()

    def give_up(self, is_stray: Callable[[SessionKey], bool]) -> list[Append]:
        """Hand over, in order, what belongs to another server now."""
        if self._connection is not None and any(is_stray(request.key) for call in self._sent for request in call):
            self._connection.abort()  # what is under way comes along: its answer might send it behind what follows it
        held, waiting = self._held, self._queue
        strays = [request for request in (*held, *waiting) if is_stray(request.key) and not request.is_over]
        self._held = [request for request in held if not is_stray(request.key)]
        self._queue = deque(request for request in waiting if not is_stray(request.key))
        self._ordering.drop(is_stray)
        self._count -= len(strays)
        self._bytes -= sum(request.size for request in strays)
        return strays

    def close(self) -> None:
        """Refuse everything that has no answer."""
        self.on_down()
        if self._expiry is not None:
            self._expiry.cancel()
            self._expiry = None
        if self._releasing is not None:
            self._releasing.cancel()
            self._releasing = None
        for request in self._queue:
            self._finish(request, unavailable())
        self._queue.clear()

    def _flush(self) -> None:
        """All appends of one tick in one write."""
        self._is_scheduled = False
        connection, queue = self._connection, self._queue
        if connection is None or not queue:
            return
        calls = grouped(queue)
        queue.clear()
        if self._ordering.known:
            calls = self._let_through(calls)
        if calls:
            self._sent.extend(calls)
            connection.send(b"".join([self._packed(call) for call in calls]), self._on_reply, len(calls))

    def _let_through(self, calls: Iterable[Call]) -> list[Call]:
        """Those that may go; the others are in the queue again."""
        going = list[Call]()
        for call in calls:
            if self._ordering.passes(call[0].key):
                going.append(call)
            else:
                self._queue.extend(call)
        return going

    def _packed(self, call: Call) -> bytes:
        request = call[0]
        names = self._keyspace.session(request.key)
        if len(call) == 1 and request.is_plain:
            return self._calls.one(names, request.owner, request.drafts[0])
        if not is_joinable(request):
            return self._calls.whole(names, request)
        drafts = drafts_of(call)
        if len(drafts) == 1 and is_simple(drafts[0]):
            return self._calls.one(names, request.owner, drafts[0])
        return self._calls.each(names, request.owner, drafts)

    def _on_reply(self, reply: Reply) -> None:
        if self._connection is None:
            return  # of a lost connection: its calls are in the queue again
        if type(reply) is bytes:
            call = self._sent.popleft()
            request = call[0]
            if self._ordering.known and self._ordering.answered(request.key):
                self._schedule()
            if len(call) == 1 and len(request.drafts) == 1:
                found = result_of(request.drafts[0], reply)
                self._finish(request, [found] if isinstance(found, Receipt) else _told(request, [found]))
                return
        elif is_moving(reply):
            self._hold(self._sent.popleft())
            return
        elif is_passing(reply):
            self._connection.abort()  # the next one finds out whether the server serves, and loads the library
            return
        else:
            call = self._sent.popleft()
            if self._ordering.answered(call[0].key):
                self._schedule()
            self._metrics.appends_unconfirmed += len(call) if reply is UNCONFIRMED else 0
        self._answer(call, results(drafts_of(call), reply))

    def _hold(self, call: Call) -> None:
        """The slot is moving or has moved: ask again a little later, and nothing of its sessions before."""
        self._held += call
        self._ordering.shut(call[0].key)
        if self._releasing is None:
            self._releasing = asyncio.get_running_loop().call_later(HOLD_S, self._release)
        self._on_moved()

    def _release(self) -> None:
        """Once nothing of theirs is under way: it would be held too, and come back behind what it was sent before."""
        held = {request.key for request in self._held}
        if any(call[0].key in held for call in self._sent):
            self._releasing = asyncio.get_running_loop().call_later(HOLD_S, self._release)
            return
        self._releasing = None
        self._ordering.unlatch(held)
        self._queue.extendleft(reversed(self._held))
        self._held.clear()
        self._flush()

    def _answer(self, call: Call, found: Results | AnypodError) -> None:
        """To each request its part."""
        if len(call) == 1:
            self._finish(call[0], _told(call[0], found))
            return
        start = 0
        for request in call:
            end = start + len(request.drafts)
            self._finish(request, _told(request, found if isinstance(found, AnypodError) else found[start:end]))
            start = end

    def _finish(self, request: Append, result: Results | AnypodError) -> None:
        if request.is_over:
            return
        request.is_over = True
        self._count -= 1
        self._bytes -= request.size
        request.done(request, result)

    def _expire(self) -> None:
        """Refuse what has waited too long: the oldest come first, in the calls and in the queue."""
        self._expiry = None
        latest = self._clock.now() - self._options.append_wait_s
        for requests in (self._held, chain.from_iterable(list(self._sent)), list(self._queue)):
            for request in takewhile(lambda request: request.since <= latest, requests):
                self._finish(request, unavailable())
        while self._queue and self._queue[0].is_over:
            self._queue.popleft()
        if self._count:
            self._expiry = asyncio.get_running_loop().call_later(EXPIRY_S, self._expire)
        else:
            self._ordering.clear()


def _told(request: Append, found: Results | AnypodError) -> Results | AnypodError:
    """Of a request that is all or nothing one error stands for all, of another one each draft has its own."""
    if not request.is_atomic:
        return [found] * len(request.drafts) if isinstance(found, AnypodError) else found
    if not isinstance(found, AnypodError) and found and isinstance(found[0], AnypodError):
        return found[0]
    return found


def drafts_of(call: Call) -> Sequence[Draft]:
    return call[0].drafts if len(call) == 1 else [item for request in call for item in request.drafts]


def is_joinable(request: Append) -> bool:
    """Whether each of its drafts may be judged by itself. One draft is atomic alone."""
    return (not request.is_atomic or len(request.drafts) == 1) and request.expect is None and request.patch is None


class _Group:
    """A call to which more requests of its session may be added. `ids` are collected once a second one comes."""

    __slots__ = ("call", "count", "ids")

    def __init__(self, call: Call) -> None:
        self.call = call
        self.count = len(call[0].drafts)
        self.ids = {item.id for item in call[0].drafts}

    def takes(self, request: Append) -> bool:
        """One of the same owner, that expects nothing, with ids that are not here yet."""
        if not is_joinable(request) or request.owner != self.call[0].owner:
            return False
        if self.count + len(request.drafts) > GROUP_MAX or any(item.id in self.ids for item in request.drafts):
            return False
        self.count += len(request.drafts)
        self.ids.update(item.id for item in request.drafts)
        self.call.append(request)
        return True


def grouped(requests: Iterable[Append]) -> list[Call]:
    """As few calls as there can be. Those of one session keep the order of its appends."""
    calls: list[Call] = []
    latest: dict[SessionKey, Call] = {}
    groups: dict[SessionKey, _Group] = {}
    for request in requests:
        if request.is_over:
            continue
        key = request.key
        call = latest.get(key)
        if call is None or not _joins(request, call, groups):
            latest[key] = call = [request]
            calls.append(call)
            if groups:
                groups.pop(key, None)
    return calls


def _joins(request: Append, call: Call, groups: dict[SessionKey, _Group]) -> bool:
    if not is_joinable(call[0]):
        return False
    group = groups.get(request.key)
    if group is None:
        group = groups[request.key] = _Group(call)
    return group.takes(request)
