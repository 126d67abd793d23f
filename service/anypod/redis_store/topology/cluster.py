"""A Redis Cluster: which node serves which partition.

Owns the slot of each partition, the reading and comparing of what nodes say of the slots (CLUSTER SLOTS and NODES, the newest epoch wins),
and the change of owners. Must not know connections.
"""

import asyncio
import logging
from binascii import crc_hqx
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext, suppress
from functools import cache
from typing import Final, NamedTuple

from anypod.clock import Clock
from anypod.core.errors import AnypodError, unavailable
from anypod.redis_store.config import RedisOptions
from anypod.redis_store.keys import SLOTS, hash_tags
from anypod.redis_store.topology.discovery import DiscoveryClient, Singleflight, answers
from anypod.redis_store.url import Deployment, Endpoint, ServerAddress
from anypod.redis_store.wire.connection import Reply, pack
from anypod.redis_store.wire.errors import list_of
from anypod.redis_store.wire.resolver import OnLeft

ASK_S: Final = 1.0  # between two questions while all is well: a node that hangs or is demoted is left so soon
FRESH_S: Final = 0.1  # an answer so young serves concurrent callers
logger = logging.getLogger(__name__)
Owners = Sequence[Endpoint]  # the primary of each partition
OnChange = Callable[[Owners], None]
UNKNOWN_HOSTS: Final = (b"", b"?")  # of a node that does not tell its own address, or null: it is where it was asked
FLAGS_FIELD: Final = 2  # in a line of CLUSTER NODES
EPOCH_FIELD: Final = 6


class Claim(NamedTuple):
    """That a primary serves a slot. The greatest of several holds: what a node says of itself, and of two such the newer one.

    What nodes say of others may be old, and newer epochs of those others are no proof of it: epochs are of nodes, not of slots.
    """

    is_own: bool
    epoch: int
    primary: Endpoint


View = Sequence[Claim | None]  # what one node believes of each partition


class ClusterTopology:
    """A `Topology`."""

    def __init__(self, deployment: Deployment, options: RedisOptions, clock: Clock) -> None:
        self._deployment = deployment
        self._options = options
        self._on_change: OnChange | None = None
        self._wanted = asyncio.Event()
        self._clients = {endpoint: self._client(endpoint) for endpoint in deployment.endpoints}
        self._refresh = Singleflight(self._look, clock, FRESH_S)
        self._owners: Owners = ()

    async def owners(self) -> Owners:
        """As the newest view has them. Raises AnypodError `unavailable` when no node has ever told of the whole cluster."""
        await self._refresh.recent()
        if not self._owners:
            asked = ", ".join(map(str, self._clients))
            raise unavailable(f"no node knows who serves each slot of the cluster; asked: {asked}")
        return self._owners

    async def verify_primary(self) -> None:
        await self._refresh.renewed()

    def place(self, endpoint: Endpoint) -> "ClusterNode":
        return ClusterNode(self, self._deployment.address(endpoint))

    def renew(self) -> None:
        self._wanted.set()

    async def follow(self, on_change: OnChange) -> None:
        self._on_change = on_change
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(ASK_S):
                    await self._wanted.wait()
            self._wanted.clear()
            try:
                await self.owners()
            except Exception:  # the root of a task: without it no change would ever be noticed again
                logger.exception("redis: the map of the cluster was not brought up to date; trying again")

    def close(self) -> None:
        for client in self._clients.values():
            client.close()

    def _client(self, endpoint: Endpoint) -> DiscoveryClient:
        return DiscoveryClient(self._deployment.address(endpoint), self._options)

    async def _look(self) -> None:
        self._take(await self._views())

    async def _views(self) -> Sequence[View]:
        """Of all nodes that answer in time: each knows best what it serves itself."""
        return await answers([_ask(client) for client in self._clients.values()], enough=len(self._clients))

    def _take(self, views: Sequence[View]) -> None:
        if not views:
            return  # no node has answered in time: what was known holds
        found = [claim and claim.primary for claim in newest(views)]
        # A slot that no node serves for the moment stays with its last owner: requests wait there.
        found = [now or before for now, before in zip(found, self._owners or found, strict=True)]
        complete = [owner for owner in found if owner is not None]
        if len(complete) < len(found):
            return
        if complete != self._owners:
            if self._owners:
                logger.warning("redis: partitions of the cluster have moved")
            if self._on_change is not None:
                self._on_change(complete)
            self._owners = complete  # now that it is carried out: what failed is tried again
            self._renew_clients()

    def _renew_clients(self) -> None:
        """From now on the primaries are asked, and those of the URL: so there is a node to ask whatever moves."""
        wanted = {*self._deployment.endpoints, *self._owners}
        for endpoint in self._clients.keys() - wanted:
            self._clients.pop(endpoint).close()
        for endpoint in wanted - self._clients.keys():
            self._clients[endpoint] = self._client(endpoint)


class ClusterNode:
    """The `AddressResolver` of one primary."""

    def __init__(self, cluster: ClusterTopology, address: ServerAddress) -> None:
        self._cluster = cluster
        self._address = address

    async def find(self) -> ServerAddress:
        """Asking for it brings the map up to date before every connection, and moves away what has another owner."""
        if self._address.endpoint not in await self._cluster.owners():
            raise AnypodError("unavailable", "the node serves no slots any more")
        return self._address

    def watched(self, address: ServerAddress, on_left: OnLeft) -> AbstractContextManager[None]:
        return nullcontext()  # the follower of the map takes the connections away

    async def verify_primary(self) -> None:
        """It was found a moment ago; a node that hangs, and that the others have replaced, would hold up every new connection."""

    def close(self) -> None:
        """The cluster holds what there is to hold."""


async def _ask(client: DiscoveryClient) -> View:
    slots, nodes = await client.ask(pack("CLUSTER", "SLOTS"), pack("CLUSTER", "NODES"))
    return read_view(slots, nodes, client.endpoint)


class _Range(NamedTuple):
    first: int
    last: int
    claim: Claim


@cache
def partition_slots() -> Sequence[int]:
    """The slot of each partition's keys and channels, by its number."""
    return tuple(crc_hqx(text.encode(), 0) % SLOTS for text in hash_tags())


def partition_of(name: bytes) -> int:
    """Of a key or channel, from its hash tag: no prefix has a brace."""
    start = name.index(b"{") + 1
    return int(name[start : name.index(b".", start)])


def read_view(slots: Reply, nodes: Reply, asked: Endpoint) -> View:
    """The replies of CLUSTER SLOTS, which has addresses that clients can use, and of CLUSTER NODES, which has the epochs."""
    assert isinstance(nodes, bytes)
    lines = [line.split() for line in nodes.splitlines()]
    own = next(line[0] for line in lines if b"myself" in line[FLAGS_FIELD])
    epochs = {line[0]: int(line[EPOCH_FIELD]) for line in lines}
    ranges = list[_Range]()
    for first, last, primary, *_ in map(list_of, list_of(slots)):
        endpoint, name = _node(list_of(primary), asked)
        assert isinstance(first, int)
        assert isinstance(last, int)
        ranges.append(_Range(first, last, Claim(name == own, epochs.get(name, 0), endpoint)))
    return [next((item.claim for item in ranges if item.first <= slot <= item.last), None) for slot in partition_slots()]


def newest(views: Sequence[View]) -> View:
    """The claim that holds, for each partition: None, where no node knows."""
    return [max((claim for claim in claims if claim is not None), default=None) for claims in zip(*views, strict=True)]


def _node(primary: list[Reply], asked: Endpoint) -> tuple[Endpoint, bytes]:
    """Where it is, and its name."""
    host, port, name = primary[0], primary[1], primary[2]
    assert isinstance(port, int)
    assert isinstance(name, bytes)
    return Endpoint(host.decode() if isinstance(host, bytes) and host not in UNKNOWN_HOSTS else asked.host, port), name
