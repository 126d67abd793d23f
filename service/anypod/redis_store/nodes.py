"""Which node is asked.

Owns the nodes and the node of each partition, and moves what waits at a node that has lost the partition. Must not know what is
asked. A single server is one node for everything.
"""

import asyncio
from collections.abc import Collection, Mapping

from anypod.core.errors import unavailable
from anypod.core.identity import SessionKey
from anypod.redis_store.node import Node, NodeContext
from anypod.redis_store.preflight import check
from anypod.redis_store.topology.slots import Owners, partition_of
from anypod.redis_store.topology.topology import Topology, topology_of
from anypod.redis_store.url import Deployment, Endpoint
from anypod.store import Sink


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
        """A node has sent somebody elsewhere."""
        if self._topology is not None:
            self._topology.renew()

    async def confirm(self) -> None:
        """Returns when whoever is asked next is known to be the right one, as far as anybody can tell."""
        if self._topology is not None:
            await self._topology.confirm()

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
