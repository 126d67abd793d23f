"""Appends straight into Redis, by the calls that the product's own writer makes.

Owns the calls and what they cost the thread that Redis runs commands on. Must not know sockets of clients. Beside them a plain XADD of
the same bytes, which has no sequence, no idempotency, no fence, no quota and tells nobody.
"""

import os
import random
import socket
from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple

import hiredis
from loadtests.bench.connection import LoadError
from loadtests.bench.dialect import TENANT
from loadtests.bench.meter import main_thread_cpu_s
from loadtests.bench.server import EVENTS_MAX
from loadtests.bench.store import Redis, received

from anypod.clock import SystemClock
from anypod.core.event import Draft, author_json, complete, draft
from anypod.core.identity import SessionId, SessionKey, Subject
from anypod.devcluster.ports import LOOPBACK
from anypod.redis_store import RedisStore
from anypod.redis_store.functions import FunctionLibrary
from anypod.redis_store.keys import Keyspace, random_tags
from anypod.redis_store.log.append_codec import AppendCalls
from anypod.redis_store.wire.connection import pack
from anypod.replica import redis_options
from anypod.settings import Settings
from anypod.store import Creation, SessionClass

PIPELINED: Final = 64  # calls in one write, as a busy replica sends them
OWNER: Final = Subject("bench")
PREFIX: Final = "bench"
SESSIONS_MAX: Final = 1_000_000  # of one subject
TTL_MS: Final = 7 * 86_400_000
CURSOR: Final = "e123456789-1abcdef-57-1234567890"  # as long as they are


class Cost(NamedTuple):
    """Microseconds an event: of Redis' main thread, and what Redis itself counts within the command."""

    thread_us: float
    command_us: float


class Deaf:
    """Who creates sessions hears nothing of them (store.Sink)."""

    def on_batch(self, batch: Sequence[tuple[SessionKey, bytes]]) -> None: ...

    def on_barrier(self, keys: Sequence[SessionKey]) -> None: ...


async def create_sessions(store: Redis, sessions: int) -> Sequence[SessionKey]:
    """New ones, by the product's own store, which loads its functions too. Raises AnypodError."""
    run, rng = os.urandom(4).hex(), random.SystemRandom()
    keys = [SessionKey(TENANT, SessionId(f"{run}-{i}")) for i in range(sessions)]
    session_class = SessionClass("bench", ttl_ms=TTL_MS, live_ms=30_000, events_max=EVENTS_MAX)
    store_of_row = RedisStore(
        redis_options(Settings(dev=True, host=LOOPBACK, redis_url=f"redis://{LOOPBACK}:{store.port}/0", key_prefix=PREFIX)),
        SystemClock(),
        rng,
    )
    await store_of_row.open(Deaf())
    try:
        for key in keys:
            await store_of_row.create(Creation(key, OWNER, session_class, epoch=run + "00", sessions_max=SESSIONS_MAX))
    finally:
        await store_of_row.close()
    return keys


class Appender:
    """One connection to a Redis that is loaded with the product's functions."""

    def __init__(self, store: Redis) -> None:
        self._store = store
        self._calls = AppendCalls(FunctionLibrary(), random_tags(random.SystemRandom()))
        self._keyspace = Keyspace(PREFIX)
        self._socket = socket.create_connection((LOOPBACK, store.port))
        self._reader = hiredis.Reader()

    def close(self) -> None:
        self._socket.close()

    def appended(self, keys: Sequence[SessionKey], *, events: int, at_once: int) -> Cost:
        """`events` over new sessions, in calls of `at_once`."""
        drafts = _drafts()
        calls = [self._call(keys[i % len(keys)], [next(drafts) for _ in range(at_once)]) for i in range(events // at_once)]
        return self._run(calls, events, "fcall")

    def added(self, *, streams: int, events: int, at_once: int) -> Cost:
        """The same bytes by XADD, `at_once` of them to one stream after the other."""
        run, drafts = os.urandom(4).hex(), _drafts()
        calls = []
        for i in range(events // at_once):
            frames = [complete(next(drafts), i, CURSOR) for _ in range(at_once)]
            calls.append(b"".join(pack("XADD", f"{PREFIX}:{run}:{i % streams}", "*", "f", frame) for frame in frames))
        return self._run(calls, events, "xadd", replies_each=at_once)

    def _call(self, key: SessionKey, drafts: Sequence[Draft]) -> bytes:
        names = self._keyspace.session(key)
        return self._calls.one(names, OWNER, drafts[0]) if len(drafts) == 1 else self._calls.each(names, OWNER, drafts)

    def _run(self, calls: Sequence[bytes], events: int, command: str, *, replies_each: int = 1) -> Cost:
        self._store.ask("CONFIG", "RESETSTAT")
        before = main_thread_cpu_s(self._store.pid)
        for start in range(0, len(calls), PIPELINED):
            chunk = calls[start : start + PIPELINED]
            self._exchange(chunk, len(chunk) * replies_each)
        thread_s = main_thread_cpu_s(self._store.pid) - before
        return Cost(thread_s / events * 1e6, self._command_us(command) / events)

    def _command_us(self, command: str) -> float:
        line = next(
            line for line in self._store.ask("INFO", "commandstats").decode().splitlines() if line.startswith(f"cmdstat_{command}:")
        )
        return float(line.partition("usec=")[2].partition(",")[0])

    def _exchange(self, requests: Sequence[bytes], replies: int) -> None:
        self._socket.sendall(b"".join(requests))
        while replies:
            reply = self._reader.gets()
            if reply is False:
                self._reader.feed(received(self._socket))
                continue
            refused = isinstance(reply, hiredis.ReplyError) or (isinstance(reply, bytes) and reply.startswith(b"!"))
            if refused:
                raise LoadError(f"Redis refused: {reply!r}")
            replies -= 1


def _drafts() -> Iterator[Draft]:
    author, number = author_json(OWNER), 0
    while True:
        number += 1
        yield draft(f"bench-{number:08d}", "message", b'{"x":"%b"}' % (b"x" * 100), author=author, ts_ms=1_763_700_000_000)
