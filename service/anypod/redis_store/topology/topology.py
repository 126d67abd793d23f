"""Which servers there are, and which serves what.

Owns what a router follows, and the answer for a server that serves everything. Must not know connections.
"""

from typing import Protocol, assert_never

from anypod.clock import Clock
from anypod.core.identity import PARTITIONS
from anypod.redis_store.config import RedisOptions
from anypod.redis_store.topology.cluster import ClusterTopology, OnChange, Owners
from anypod.redis_store.topology.sentinel import Sentinels
from anypod.redis_store.url import Deployment, Endpoint
from anypod.redis_store.wire.resolver import AddressResolver, StaticAddress


class Topology(Protocol):
    async def owners(self) -> Owners:
        """As they are now. Raises AnypodError `unavailable` when no server knows."""

    def place(self, endpoint: Endpoint) -> AddressResolver:
        """Of one of them."""

    def renew(self) -> None:
        """A node has answered that a slot is elsewhere: look soon."""

    async def verify_primary(self) -> None:
        """Look now: returns when servers that no longer serve a partition have been left, as far as can be known."""

    async def follow(self, on_change: OnChange) -> None:
        """Tell of every change, until cancelled."""

    def close(self) -> None: ...


def topology_of(deployment: Deployment, options: RedisOptions, clock: Clock) -> Topology:
    first = deployment.endpoints[0]
    match deployment.shape:
        case "single":
            return SingleNode(first, StaticAddress(deployment.address(first)))
        case "sentinel":
            return SingleNode(first, Sentinels(deployment, options, clock))
        case "cluster":
            return ClusterTopology(deployment, options, clock)
        case _:
            assert_never(deployment.shape)


class SingleNode:
    """One server, wherever it is, for everything. `endpoint`: what it is known by."""

    def __init__(self, endpoint: Endpoint, place: StaticAddress | Sentinels) -> None:
        self._endpoint = endpoint
        self._place = place

    async def owners(self) -> Owners:
        return (self._endpoint,) * PARTITIONS

    def place(self, endpoint: Endpoint) -> AddressResolver:
        return self._place

    def renew(self) -> None:
        """There is nowhere else."""

    async def verify_primary(self) -> None:
        await self._place.verify_primary()

    async def follow(self, on_change: OnChange) -> None:
        await self._place.follow()  # it is the same server, wherever it is

    def close(self) -> None:
        self._place.close()
