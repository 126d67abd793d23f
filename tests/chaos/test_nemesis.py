"""Every row of the matrix reaches what it is meant for: a fault that changes nothing would prove nothing."""

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from tests.chaos.clients import Group
from tests.chaos.environment import stage_of
from tests.chaos.fault_catalogue import Topology
from tests.chaos.faults import (
    Command,
    CutStore,
    DemoteRedis,
    FillRedis,
    FreezeRedis,
    FreezeReplica,
    Hole,
    KillReplica,
    Lines,
    LoseReply,
    MoveSlots,
    OverflowFeeds,
    RestartRedis,
    SpoilKey,
    StepClock,
)
from tests.chaos.fixture import Fixture, scene
from tests.chaos.servers import feeds_killed
from tests.chaos.wall_clock import MISSING, library

SMALL = (
    Group("hall", 2, "websocket", False, 0.1),
    Group("hall", 2, "sse", False, 0.1),
    Group("hall", 1, "websocket", True, 0.1),
    Group("hall", 1, "poll", False, 0.1),
)


@asynccontextmanager
async def scene_on(folder: Path, topology: Topology = "single", *, is_clocked: bool = False) -> AsyncIterator[Fixture]:
    """Nothing may be wrong with it at the end."""
    async with stage_of(topology, folder, random.Random(2), is_clocked=is_clocked) as stage:
        async with scene(stage, SMALL) as made:
            await made.until(lambda: stage.ledger.head("hall") > 100)
            yield made
        assert stage.ledger.is_clean, stage.ledger.stories


async def test_faults_of_lines_cut_clients_off_and_they_come_back(tmp_path: Path) -> None:
    async with scene_on(tmp_path) as on:
        for deed, seconds in (
            (Lines("cut", 1.0), 0.0),
            (Lines("tear", 1.0), 1.0),
            (Lines("orphan", 1.0), 2.0),
            (Lines("hole", 1.0), 10.0),
            (KillReplica(), 0.0),
        ):
            before = on.recoveries
            await on.suffer(deed, seconds)
            await on.until_well()
            assert on.recoveries > before, f"{deed} cut nobody off"


async def test_a_line_that_is_deaf_or_hung_delivers_nothing_meanwhile(tmp_path: Path) -> None:
    async with scene_on(tmp_path) as on:
        suffering = asyncio.ensure_future(on.suffer(Lines("deaf", 1.0), 2.0))
        await asyncio.sleep(0.5)
        polls = [client for client in on.crowd.clients if client.pen.transport == "poll"]
        before = on.delivered - sum(client.pen.delivered for client in polls)
        await suffering
        assert on.delivered - sum(client.pen.delivered for client in polls) - before < before, "only those that opened a new line heard"
        await on.until_well()


async def test_redis_out_of_reach_stops_publishes_until_it_is_back(tmp_path: Path) -> None:
    async with scene_on(tmp_path) as on:
        for deed in (Hole("all"), FreezeRedis(), DemoteRedis()):
            suffering = asyncio.ensure_future(on.suffer(deed, 3.0))
            await asyncio.sleep(1.0)  # what was on its way has come
            before = on.answers("accepted")
            await asyncio.sleep(1.0)
            assert on.answers("accepted") == before, f"{deed} did not keep publishes from Redis"
            await suffering
            await on.until_well()


async def test_a_deaf_pubsub_is_found_and_nobody_waits_for_its_end(tmp_path: Path) -> None:
    async with scene_on(tmp_path) as on:
        suffering = asyncio.ensure_future(on.suffer(Hole("all", "feed"), 8.0))
        await asyncio.sleep(1.0)
        before = on.delivered
        await on.until(lambda: on.delivered > before)
        await suffering
        await on.until_well()


async def test_redis_refuses_what_is_too_much_and_forgets_what_it_is_told_to(tmp_path: Path) -> None:
    async with scene_on(tmp_path) as on:
        await on.suffer(FillRedis(), 1.0)
        assert on.answers("storage_full")
        await on.until_well()
        await on.suffer(Command(("FUNCTION", "FLUSH", "SYNC")))
        await on.until_well()
        killed = feeds_killed(on.server)
        await on.suffer(OverflowFeeds())
        assert feeds_killed(on.server) > killed
        await on.until_well()


async def test_a_lost_reply_leaves_an_event_in_the_log_that_is_not_doubled(tmp_path: Path) -> None:
    async with scene_on(tmp_path) as on:
        for _ in range(5):
            await on.suffer(LoseReply())
            await on.suffer(CutStore("one"))
        await on.until_well()


async def test_a_lost_tail_is_told_with_what_is_left(tmp_path: Path) -> None:
    async with scene_on(tmp_path) as on:
        await on.suffer(RestartRedis("everything"))
        await on.until_well()
        assert not on.resets
        had = on.delivered
        await on.until(lambda: on.delivered > had + 1_000)  # a quarter of what is written is cut, and somebody had it
        await on.suffer(RestartRedis("all but the tail"))
        await on.until_well()
        assert on.resets == {"rolled_back"}
        assert on.stage.ledger.lost_events


async def test_a_tail_that_is_lost_brings_nothing_back_that_had_ended(tmp_path: Path) -> None:
    async with scene_on(tmp_path) as on:
        on.server.command("FLUSHALL")
        await on.suffer(RestartRedis("all but the tail"))
        await on.until_well()
        assert on.resets == {"expired"}


async def test_a_log_that_is_another_one_is_told(tmp_path: Path) -> None:
    async with scene_on(tmp_path) as on:
        await on.suffer(SpoilKey("m", is_replaced=True), 1.0)
        await on.until(lambda: on.resets == {"expired"})
        await on.until_well()
        await on.suffer(RestartRedis("nothing"))
        await on.until(lambda: len(on.stage.ledger.resets) >= 2 * len(SMALL))
        await on.until_well()


async def test_deltas_that_are_taken_away_reset_nobody_and_who_comes_back_is_told(tmp_path: Path) -> None:
    async with scene_on(tmp_path) as on:
        for is_replaced in (False, True):
            before = on.ledger.counts["DeltasLost"]
            await on.suffer(SpoilKey("d", is_replaced=is_replaced), 1.0)
            await on.suffer(Lines("cut", 1.0))
            await on.until_well()
            assert on.ledger.counts["DeltasLost"] > before
        assert not on.resets


async def test_a_frozen_replica_says_nothing_and_its_clients_find_another(tmp_path: Path) -> None:
    async with scene_on(tmp_path) as on:
        before = on.recoveries
        await on.suffer(FreezeReplica(), 15.0)
        assert on.recoveries > before
        await on.until_well()


async def test_a_slot_that_moves_takes_its_session_along_and_nobody_misses_anything(tmp_path: Path) -> None:
    async with scene_on(tmp_path, "cluster") as on:
        for _ in range(3):
            before, last = on.stage.journal.homes["hall"], on.stage.ledger.head("hall")
            await on.suffer(MoveSlots(1))
            await on.until(lambda last=last: on.stage.ledger.head("hall") > last + 20)  # type: ignore[misc]
            assert on.stage.journal.homes["hall"] is not before
            await on.until_well()
        assert not on.resets


async def test_a_node_out_of_reach_stops_its_sessions_until_it_is_back(tmp_path: Path) -> None:
    async with scene_on(tmp_path, "cluster") as on:
        home = on.stage.home("hall").server
        for deed in (FreezeRedis(), RestartRedis("everything")):
            on.stage.stores.written = [on.stage.home("hall")]  # so that the deed strikes the node that matters
            suffering = asyncio.ensure_future(on.suffer(deed, 3.0))
            await asyncio.sleep(1.0)  # what was on its way has come
            before = on.answers("accepted")
            await asyncio.sleep(1.0)
            assert on.answers("accepted") == before, f"{deed} did not keep publishes from the node"
            await suffering
            await on.until_well()
        assert on.stage.journal.homes["hall"] is home
        assert not on.resets


@pytest.mark.skipif(library() is None, reason=MISSING)
async def test_a_clock_that_is_stepped_by_an_hour_harms_nobody(tmp_path: Path) -> None:
    async with scene_on(tmp_path, is_clocked=True) as on:
        for of in ("redis", "replica"):
            await on.suffer(StepClock(of, 3_600.0), 1.0)
            await on.until_well()
        assert not on.resets
        stepped = [int(frame.split(b'"ts":')[1].split(b",")[0]) for frame in on.stage.journal.final(0.0, "hall").frames]
        assert max(stepped) - min(stepped) > 3_000_000, "some events were written by the replica whose clock was stepped"
