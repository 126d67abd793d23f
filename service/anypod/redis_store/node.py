"""One server and all that is asked of it.

Owns its three connections (appends and other writes, reads, the feed) and the probe of the feed. Must not know which sessions
it serves.
"""

import asyncio
import random
from collections.abc import Callable, Iterator
from typing import NamedTuple

from anypod.clock import Clock
from anypod.redis_store.config import RedisOptions
from anypod.redis_store.feed import Listener
from anypod.redis_store.functions import FunctionLibrary
from anypod.redis_store.keys import Keyspace
from anypod.redis_store.log.append_codec import AppendCalls
from anypod.redis_store.log.append_queue import AppendQueue
from anypod.redis_store.log.caller import RequestConnection
from anypod.redis_store.log.durability import DurableWrites, wait_of
from anypod.redis_store.old_libraries import OldLibraries
from anypod.redis_store.probe import Probe
from anypod.redis_store.wire.connection import pack
from anypod.redis_store.wire.reconnect import ReconnectingConnection
from anypod.redis_store.wire.resolver import AddressResolver
from anypod.store import Sink
from anypod.telemetry import Metrics


class NodeContext(NamedTuple):
    """What all nodes of a replica work with. `numbers`: random ones, of ten digits."""

    options: RedisOptions
    clock: Clock
    rng: random.Random
    keyspace: Keyspace
    library: FunctionLibrary
    numbers: Iterator[int]
    metrics: Metrics


class Node:
    """`probe`: the channel of its probe; `on_moved`: some of what it was asked for is served elsewhere."""

    def __init__(
        self, place: AddressResolver, tools: NodeContext, sink: Sink, *, probe: Callable[[], bytes], on_moved: Callable[[], None]
    ) -> None:
        options, clock = tools.options, tools.clock
        calls = AppendCalls(tools.library, tools.numbers)
        self._place = place
        self._tools = tools
        self._tasks: list[asyncio.Task[None]] = []
        self.writer = AppendQueue(options, clock, tools.keyspace, calls, nonces=tools.numbers, metrics=tools.metrics, on_moved=on_moved)
        wait = wait_of(options)
        writing = self.writer if wait is None else DurableWrites(self.writer, wait, options.durability_wait_ms)
        self.writes = RequestConnection(tools.library, options.reply_s, writing)
        self.reads = RequestConnection(tools.library, options.reply_s)
        self._old_libraries = OldLibraries(options, clock, tools.library, self.reads)
        self._probe = Probe(options, clock, send=self._send_probe, give_up=self._connect_feed_anew)
        self.feed = Listener(tools.keyspace, sink, probe=probe, on_probe=self._probe.on_probe, on_moved=on_moved)

    def start(self) -> None:
        options, clock, rng, metrics = self._tools.options, self._tools.clock, self._tools.rng, self._tools.metrics
        for name, user in (("writes", self.writes), ("reads", self.reads), ("feed", self.feed)):
            link = ReconnectingConnection(name, self._place, options, clock, rng, metrics=metrics)
            self._tasks.append(asyncio.create_task(link.run(user), name=f"redis {name}"))
        self._tasks.append(asyncio.create_task(self._probe.run(), name="redis probe"))
        self._tasks.append(asyncio.create_task(self._old_libraries.run(), name="redis old libraries"))

    async def wait_up(self) -> None:
        """Raises AnypodError `unavailable` when it is not in time."""
        await asyncio.gather(self.writes.wait_up(), self.reads.wait_up(), self.feed.wait_up(self._tools.options.reply_s))

    @property
    def is_up(self) -> bool:
        return self.writes.is_up and self.reads.is_up

    def stop(self) -> None:
        """Leave the server, refuse what has no answer. May be called from within one of its own tasks."""
        self.writer.close()
        for task in self._tasks:
            task.cancel()

    @property
    def has_ended(self) -> bool:
        return all(task.done() for task in self._tasks)

    async def ended(self) -> None:
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _send_probe(self, payload: bytes) -> bool:
        channel = self.feed.probe
        return channel is not None and self.writes.tell(pack("SPUBLISH", channel, payload))

    def _connect_feed_anew(self) -> None:
        self.feed.abort()
