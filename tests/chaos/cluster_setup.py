"""A Cluster of three primaries, each of which is known to the others and to clients by its gate.

Owns how they become one, and who serves a slot. Must not know what is done to them.
"""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import ExitStack, asynccontextmanager
from pathlib import Path
from typing import Final

from tests.chaos.proxied_redis import ProxiedRedis, carried
from tests.chaos.stores import ClusterStores, Setting, killed_at_the_end, made
from tests.support.redis_clusters import SLOTS, Cluster, ClusterNode, wait_for

PRIMARIES: Final = 3


class AnnouncedNode(ClusterNode):
    """`options`: of every server of a run."""

    def __init__(self, binary: Path, folder: Path, gate: ProxiedRedis, options: Sequence[str]) -> None:
        super().__init__(binary, folder)
        self._announced = ("--cluster-announce-port", str(gate.port), "--cluster-announce-bus-port", str(self.bus_port))
        self._given = options

    def arguments(self) -> list[str]:
        return [*super().arguments(), *self._announced, *self._given]


class AnnouncedCluster(Cluster):
    def owner(self, slot: int) -> ClusterNode:
        """By its name: its port is that of its gate."""
        for first, last, primary, *_ in map(_list, _list(self.nodes[0].command("CLUSTER", "SLOTS"))):
            assert isinstance(first, int)
            assert isinstance(last, int)
            if first <= slot <= last:
                return next(node for node in self.nodes if node.id == _list(primary)[2])
        raise AssertionError(f"nobody serves slot {slot}")


@asynccontextmanager
async def sharded(setting: Setting) -> AsyncIterator[ClusterStores]:
    with ExitStack() as stack:
        gates = [ProxiedRedis(setting.rng) for _ in range(PRIMARIES)]
        nodes: list[ClusterNode] = []
        for number, gate in enumerate(gates):
            folder = made(setting.folder / f"node-{number}")
            gate.server = node = AnnouncedNode(setting.binary, folder, gate, setting.options())
            stack.enter_context(killed_at_the_end(node))
            await asyncio.to_thread(node.start)
            nodes.append(node)
        async with carried([gate.proxy for gate in gates]):
            await asyncio.to_thread(_join, nodes)
            yield ClusterStores(gates, AnnouncedCluster(nodes, []))


def _join(nodes: Sequence[ClusterNode]) -> None:
    for number, node in enumerate(nodes):
        node.command("CLUSTER", "SET-CONFIG-EPOCH", number + 1)  # without, they would settle who is the newer one for seconds
    for node in nodes[1:]:
        nodes[0].command("CLUSTER", "MEET", node.host, node.port, node.bus_port)
    for number, node in enumerate(nodes):
        first, end = SLOTS * number // len(nodes), SLOTS * (number + 1) // len(nodes)
        node.command("CLUSTER", "ADDSLOTSRANGE", first, end - 1)
    for node in nodes:
        wait_for(lambda node=node: _is_whole(node, len(nodes)), "the cluster serves all slots")  # type: ignore[misc]


def _is_whole(node: ClusterNode, size: int) -> bool:
    facts = node.command("CLUSTER", "INFO")
    assert isinstance(facts, bytes)
    return all(word in facts for word in (b"cluster_state:ok", b"cluster_slots_ok:%d\r" % SLOTS, b"cluster_known_nodes:%d\r" % size))


def _list(reply: object) -> list[object]:
    assert isinstance(reply, list)
    return reply
