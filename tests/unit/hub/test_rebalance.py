"""Replicas hear of each other, and one that holds too many sends the surplus away: slowly, and only when nothing else is going on."""

import asyncio
import random
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Final

import pytest
from tests.unit.hub.kit import RememberingPort, TestClock, TestReplica, replicas, until

from anypod.core.errors import CLOSE_LEAVING
from anypod.hub.client_connection import ClientConnection
from anypod.hub.drain import RECONNECT_MS_MAX
from anypod.hub.membership import ANNOUNCE_S, ENTRY_TTL_MS, Membership
from anypod.hub.rebalance import REST_S, SHED_S, Rebalance

CROWD: Final = 300
SHARE: Final = 120  # of one of three replicas


class Node:
    """A replica with its place in the fleet, and who is attached to it."""

    def __init__(self, replica: TestReplica, index: int) -> None:
        self.replica = replica
        self.is_leaving = False
        rng = random.Random(index)
        self.fleet = Membership(replica.hub, replica.attachments, rng, version="1", is_leaving=lambda: self.is_leaving)
        self.rebalance = Rebalance(replica.hub, replica.attachments, self.fleet, replica.layer.goaway, rng=rng, share_max=1.2)
        self.attached: list[tuple[ClientConnection, RememberingPort]] = []

    async def fill(self, count: int) -> None:
        for index in range(count):
            self.replica.clock.move(0.01)  # arrivals have a budget
            self.attached.append(await self.replica.attached(f"u{index}"))

    def leave(self) -> int:
        """Whoever was told to goes; how many did."""
        told = [(peer, port) for peer, port in self.attached if port.closed is not None]
        self.attached = [one for one in self.attached if one not in told]
        for peer, _ in told:
            peer.gone()
        return len(told)


@asynccontextmanager
async def fleet(count: int) -> AsyncIterator[tuple[TestClock, list[Node]]]:
    async with replicas(count) as (_, clock, made):
        yield clock, [Node(replica, index) for index, replica in enumerate(made)]


async def seconds(clock: TestClock, nodes: Sequence[Node], count: float) -> list[int]:
    """Let so many pass; how many the first node sent away in each."""
    gone = []
    for _ in range(round(count)):
        clock.move(1.0)
        for node in nodes:
            node.rebalance.every_second(clock.now())
            await until(lambda node=node: not len(node.replica.hub.tasks))  # type: ignore[misc]
        gone.append(nodes[0].leave())
    return gone


async def test_every_replica_tells_what_it_holds_and_hears_of_the_others() -> None:
    async with fleet(2) as (clock, nodes):
        await nodes[0].fill(3)
        nodes[1].is_leaving = True
        await seconds(clock, nodes, ANNOUNCE_S + 1)
        first, second = await nodes[1].fleet.announce()
        assert (first.replica, first.connections, first.sessions, first.draining) == ("r0", 3, 1, False)
        assert (second.replica, second.connections, second.sessions, second.draining) == ("r1", 0, 0, True)
        assert all(b"anypod_replicas 2.0" in node.replica.metrics.exposition() for node in nodes)


async def test_a_replica_that_dies_is_forgotten_and_one_that_leaves_at_once() -> None:
    async with fleet(3) as (clock, nodes):
        for node in nodes:
            await node.fleet.announce()
        await nodes[2].fleet.leave()
        assert [fellow.replica for fellow in await nodes[0].fleet.announce()] == ["r0", "r1"]
        clock.move(ENTRY_TTL_MS / 1000)
        assert [fellow.replica for fellow in await nodes[0].fleet.announce()] == ["r0"]


async def test_the_surplus_goes_evenly_and_everybody_else_stays() -> None:
    async with fleet(3) as (clock, nodes):
        await nodes[0].fill(CROWD)
        rested = await seconds(clock, nodes, REST_S)
        assert sum(rested) == 0
        gone = await seconds(clock, nodes, SHED_S / 2)
        assert sum(gone) >= (CROWD - SHARE) / 6
        assert max(gone) <= -(-(CROWD - SHARE) // SHED_S)
        assert [node.replica.hub.ends_connections for node in nodes] == [True, False, False]
        assert nodes[0].replica.metrics.sent_away == {"draining": 0, "aged": 0, "surplus": sum(gone)}


async def test_whoever_goes_as_surplus_is_told_when_to_come_again_and_that_nothing_is_wrong() -> None:
    async with fleet(2) as (clock, nodes):
        await nodes[0].fill(CROWD)
        ports = [port for _, port in nodes[0].attached]
        await seconds(clock, nodes, REST_S + SHED_S)
        told = [port for port in ports if port.closed is not None]
        assert told
        for port in told:
            assert port.close_code == CLOSE_LEAVING
            (goaway,) = port.of("goaway")
            assert goaway["reason"] == "surplus"
            assert 0 <= goaway["reconnect_after_ms"] < RECONNECT_MS_MAX


async def test_a_replica_that_moves_its_surplus_ends_at_its_share() -> None:
    async with fleet(3) as (clock, nodes):
        await nodes[0].fill(CROWD)
        moved = 0
        for _ in range(round(REST_S + 3 * SHED_S)):
            (count,) = await seconds(clock, nodes, 1)
            for _ in range(count):
                moved += 1
                await nodes[1 + moved % 2].fill(1)
        assert len(nodes[0].attached) == SHARE
        assert moved == CROWD - SHARE
        assert not nodes[0].replica.hub.ends_connections


async def test_a_storm_that_reaches_one_replica_sooner_moves_nobody() -> None:
    async with fleet(3) as (clock, nodes):
        await seconds(clock, nodes, 2 * REST_S)
        gone = 0
        for node in nodes:
            await node.fill(CROWD)
            gone += sum(await seconds(clock, nodes, 1 + ANNOUNCE_S))
        assert gone + sum(await seconds(clock, nodes, REST_S)) == 0


async def test_those_who_come_back_where_they_were_do_not_make_it_go_on_for_long() -> None:
    """Half of all who are sent away come back, as with a balancer that knows no loads."""
    async with fleet(3) as (clock, nodes):
        await nodes[0].fill(CROWD)
        moved = took = 0
        while len(nodes[0].attached) > SHARE and took < REST_S + 10 * SHED_S:
            (count,) = await seconds(clock, nodes, 1)
            took += 1
            for _ in range(count):
                moved += 1
                await nodes[moved % 4 % 3].fill(1)
        assert took < REST_S + 5 * SHED_S


async def test_those_who_came_back_where_they_were_are_seldom_moved_again() -> None:
    async with fleet(3) as (clock, nodes):
        await nodes[0].fill(CROWD)
        first = {peer for peer, _ in nodes[0].attached}
        moved = 0
        for _ in range(round(REST_S + 3 * SHED_S)):
            (count,) = await seconds(clock, nodes, 1)
            for _ in range(count):
                moved += 1
                await nodes[moved % 4 and 1 + moved % 2].fill(1)  # a quarter comes back
        gone = len(first - {peer for peer, _ in nodes[0].attached})
        assert moved > CROWD - SHARE
        assert moved - gone <= moved / 20


@pytest.mark.parametrize("what", ["comes", "drains"])
async def test_while_replicas_come_or_go_nobody_is_sent_away(what: str) -> None:
    async with fleet(3) as (clock, nodes):
        await nodes[0].fill(CROWD)
        present = nodes[:2] if what == "comes" else nodes
        await seconds(clock, present, REST_S - ANNOUNCE_S)
        nodes[2].is_leaving = what == "drains"
        assert sum(await seconds(clock, nodes, REST_S - ANNOUNCE_S)) == 0
        nodes[2].is_leaving = False
        assert sum(await seconds(clock, nodes, REST_S + 2 * ANNOUNCE_S)) > 0


async def test_while_the_store_is_away_nobody_is_sent_away() -> None:
    async with replicas(2) as (server, clock, made):
        nodes = [Node(replica, index) for index, replica in enumerate(made)]
        await nodes[0].fill(CROWD)
        await seconds(clock, nodes, REST_S + 2 * ANNOUNCE_S)
        server.stop()
        await seconds(clock, nodes, 1)
        still = await seconds(clock, nodes, SHED_S)
        assert sum(still) <= 3 * ANNOUNCE_S  # what was judged before
        server.start()


async def test_a_replica_that_drains_leaves_the_goodbyes_to_its_drain() -> None:
    async with fleet(2) as (clock, nodes):
        await nodes[0].fill(CROWD)
        await seconds(clock, nodes, REST_S)
        nodes[0].replica.hub.is_leaving = True
        assert sum(await seconds(clock, nodes, SHED_S)) == 0
        await asyncio.sleep(0)
