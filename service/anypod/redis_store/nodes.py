"""The servers of a store, and which of them serves a session.

Owns the three connections of each node (appends and other writes, reads, the feed) and the router by partition. Must not know how the
servers are found.
"""

import asyncio
import random
from collections.abc import Callable, Collection, Iterator, Mapping
from typing import NamedTuple

from anypod.clock import Clock
from anypod.core.errors import unavailable
from anypod.core.identity import SessionKey
from anypod.redis_store.config import RedisOptions
from anypod.redis_store.feed import Listener, Probe
from anypod.redis_store.functions import FunctionLibrary
from anypod.redis_store.keys import Keyspace
from anypod.redis_store.log.append_codec import AppendCalls
from anypod.redis_store.log.append_queue import AppendQueue
from anypod.redis_store.log.durability import DurableWrites, wait_of
from anypod.redis_store.log.requests import RequestConnection
from anypod.redis_store.old_libraries import OldLibraries
from anypod.redis_store.preflight import check
from anypod.redis_store.topology.cluster import Owners, partition_of
from anypod.redis_store.topology.topology import Topology, topology_of
from anypod.redis_store.url import Deployment, Endpoint
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


class Router:
    def __init__(self, tools: NodeContext) -> None:
        self._tools = tools
        self._sink: Sink | None = None
        self._topology: Topology | None = None
        self._following: asyncio.Task[None] | None = None
        self._nodes: dict[Endpoint, Node] = {}
        self._by_partition: list[Node] = []
        self._only: Node | None = None  # of a single server, which needs no choice
        self._retired: list[Node] = []

    async def open(self, sink: Sink) -> None:
        """Connect to every server, and check it. Raises AnypodError with one clear line when one cannot be used."""
        options = self._tools.options
        deployment = Deployment.parse(options)
        self._sink = sink
        self._topology = topology = topology_of(deployment, options, self._tools.clock)
        try:
            owners = await topology.owners()
            for endpoint in dict.fromkeys(owners):
                address = await topology.place(endpoint).find()
                await check(address, options, self._tools.library, is_node=deployment.shape == "cluster")
            self.assign(owners)
            self._following = asyncio.create_task(topology.follow(self.assign), name="redis topology")
            await asyncio.gather(*(node.wait_up() for node in self.nodes))
        except BaseException:
            await self.close()
            raise

    async def close(self) -> None:
        """What is asked afterwards waits in vain, as while the servers are away."""
        if self._following is not None:
            self._following.cancel()
            await asyncio.gather(self._following, return_exceptions=True)
        for endpoint in list(self._nodes):
            self._retire(endpoint)
        await asyncio.gather(*(node.ended() for node in self._retired))
        self._retired.clear()
        if self._topology is not None:
            self._topology.close()

    @property
    def nodes(self) -> Collection[Node]:
        return self._nodes.values()

    @property
    def by_endpoint(self) -> Mapping[Endpoint, Node]:
        return self._nodes

    def of(self, key: SessionKey) -> Node:
        """Of a session."""
        return self._only or self.node(self._tools.keyspace.meta(key))

    def node(self, name: bytes) -> Node:
        """Of a key or channel. Raises AnypodError `unavailable` before there are any."""
        if self._only is not None:
            return self._only
        if not self._by_partition:
            raise unavailable()
        return self._by_partition[partition_of(name)]

    def renew(self) -> None:
        """A node has answered that some slots are served elsewhere."""
        if self._topology is not None:
            self._topology.renew()

    async def verify_primary(self) -> None:
        """A read barrier: returns when the server of the next read is known to be the primary, as far as can be known."""
        if self._topology is not None:
            await self._topology.verify_primary()

    def assign(self, owners: Owners) -> None:
        """From now on these serve the partitions. In one step: nothing new overtakes what waits at a node that has lost the partition."""
        for endpoint in dict.fromkeys(owners):
            if endpoint not in self._nodes:
                self._nodes[endpoint] = self._start(endpoint)
        self._by_partition = [self._nodes[owner] for owner in owners]
        self._only = self._by_partition[0] if len(set(owners)) == 1 else None
        for node in self._nodes.values():
            self._move_strays(node)
        for endpoint in self._nodes.keys() - set(owners):
            self._retire(endpoint)

    def _start(self, endpoint: Endpoint) -> Node:
        assert self._topology is not None
        assert self._sink is not None
        name = f"{self._tools.rng.getrandbits(64):016x}"
        node = Node(
            self._topology.place(endpoint),
            self._tools,
            self._sink,
            probe=lambda: self._tools.keyspace.probe(name, self._by_partition.index(node)),
            on_moved=self.renew,
        )
        node.start()
        return node

    def _move_strays(self, node: Node) -> None:
        def is_stray(key: SessionKey) -> bool:
            return self.of(key) is not node

        for request in node.writer.give_up(is_stray):
            self.of(request.key).writer.take_over(request)
        for channel in node.feed.give_up(is_stray):
            self.of(channel.key).feed.take_over(channel)

    def _retire(self, endpoint: Endpoint) -> None:
        node = self._nodes.pop(endpoint)
        node.stop()
        # Those that have ended by now need not be waited for: a cluster that lives for long retires many.
        self._retired = [*(one for one in self._retired if not one.has_ended), node]
