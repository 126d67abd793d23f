"""Failovers that lose acknowledged events: whoever held them is told what is left. Without terms not everybody is, and that is found."""

import random
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from tests.chaos.access import headers_for
from tests.chaos.clients import Group
from tests.chaos.environment import NO_SETTINGS, side_of, stage_of
from tests.chaos.fault_catalogue import Topology
from tests.chaos.faults import FailOver, RestartRedis, Sever
from tests.chaos.fixture import Fixture, scene
from tests.chaos.history import History
from tests.chaos.network_conditions import HELD
from tests.chaos.proxy import called_by
from tests.chaos.seeded_bugs import without_terms
from tests.simulation.history import Acknowledged, Applied, ResetSeen, TailLost

from anypod.client import open_http
from anypod.client.types import Transport

RESUME_S = 4.0  # from the death of a primary to the next event, with Sentinels that call it dead after one second
KINDS: tuple[tuple[int, Transport, bool], ...] = ((2, "websocket", True), (2, "websocket", False), (1, "sse", False), (1, "poll", True))
CROWD = tuple(Group(session, *kind, 0.1) for session in ("hall-0", "hall-1") for kind in KINDS)


@asynccontextmanager
async def scene_on(
    folder: Path, topology: Topology = "sentinel", *, has_terms: bool = True, settings: Mapping[str, str] = NO_SETTINGS
) -> AsyncIterator[Fixture]:
    """`has_terms`: the functions in Redis compare them, as they are written to."""
    async with stage_of(topology, folder, random.Random(2), settings=settings) as stage:
        if not has_terms:
            without_terms(stage.stores.written[0].server)
        async with scene(stage, CROWD) as made:
            yield made


def holders(ledger: History) -> dict[str, int]:
    """Clients that held lost events, and the seq up to which their log was kept."""
    seqs: dict[tuple[str, str], int] = {}
    found: dict[str, int] = {}
    for record in ledger.records:
        if isinstance(record, Applied):
            seqs[record.session, record.client] = int(record.frame.split(b",")[1].split(b":")[1])
        elif isinstance(record, TailLost):
            found |= {client: record.head for (session, client), seq in seqs.items() if session == record.session and seq > record.head}
    return found


def resets(ledger: History) -> dict[str, ResetSeen]:
    return {record.client: record for record in ledger.records if isinstance(record, ResetSeen)}


async def test_whoever_held_events_that_a_failover_lost_is_told_the_last_one_that_is_left(tmp_path: Path) -> None:
    async with scene_on(tmp_path) as on:
        await on.suffer(FailOver(is_lagging=True), 2.0)
        await on.until_well()
    assert_that_all_were_told(on.ledger, at_least=8)
    assert on.stage.resumes[0] < RESUME_S


async def test_whoever_held_events_of_a_tail_that_a_power_loss_took_is_told_the_last_one_that_is_left(tmp_path: Path) -> None:
    async with scene_on(tmp_path, "single") as on:
        await on.suffer(RestartRedis("all but the tail"), 0.5)
        await on.until_well()
    assert_that_all_were_told(on.ledger, at_least=4)


def assert_that_all_were_told(ledger: History, *, at_least: int) -> None:
    held, told = holders(ledger), resets(ledger)
    assert len(held) >= at_least, "most clients had what was lost"
    assert {told[client].reason for client in held} == {"rolled_back"}
    assert {client: int(str(told[client].common).split("-")[2]) for client in held} == held
    assert ledger.is_clean, ledger.stories


async def test_an_id_that_is_sent_again_makes_an_event_only_where_the_first_one_was_lost(tmp_path: Path) -> None:
    async with scene_on(tmp_path) as on, open_http() as http:

        async def publish(event_id: str) -> tuple[int, bool]:
            body = {"id": event_id, "kind": "message", "data": event_id}
            url = f"{on.stage.url_for('hall-0')}/v1/sessions/hall-0/events"
            async with http.post(url, json=body, headers=headers_for("hall-0")) as response:
                assert response.status == 201, await response.text()
                (result,) = (await response.json())["results"]
                return result["seq"], result["duplicate"]

        kept = {f"kept.{number}": await publish(f"kept.{number}") for number in range(3)}
        with on.stage.stores.written[0].proxy.spell(called_by("replication"), up=HELD, down=HELD):
            lost = {f"lost.{number}": await publish(f"lost.{number}") for number in range(3)}
            await on.suffer(FailOver(is_lagging=True), 0.5)
        await on.until_well()
        assert [await publish(event_id) for event_id in kept] == [(seq, True) for seq, _ in kept.values()]
        again = {event_id: await publish(event_id) for event_id in lost}
        assert not any(is_duplicate for _, is_duplicate in again.values())
        assert [await publish(event_id) for event_id in lost] == [(seq, True) for seq, _ in again.values()]
    assert on.ledger.is_clean, on.ledger.stories


@pytest.mark.parametrize("durability", ["logged", "replicated"])
async def test_a_failover_loses_acknowledged_events_unless_they_had_to_be_replicated(tmp_path: Path, durability: str) -> None:
    async with scene_on(tmp_path, settings={"durability": durability}) as on:
        await on.suffer(FailOver(is_lagging=True), 2.0)
        await on.until_well()
    assert bool(acknowledged_and_lost(on.ledger)) == (durability == "logged")
    assert on.ledger.lost_events, "what the follower had not heard of was in the log of the primary"
    assert on.ledger.is_clean, on.ledger.stories


def acknowledged_and_lost(ledger: History) -> set[str]:
    """Ids whose event was acknowledged before the log lost it."""
    seqs: dict[tuple[str, str], int] = {}
    found: set[str] = set()
    for record in ledger.records:
        if isinstance(record, Acknowledged):
            seqs[record.session, record.id] = record.seq
        elif isinstance(record, TailLost):
            found |= {event_id for (session, event_id), seq in seqs.items() if session == record.session and seq > record.head}
    return found


async def test_two_primaries_end_as_one_and_the_far_side_is_told_what_it_lost(tmp_path: Path) -> None:
    async with scene_on(tmp_path) as on:
        await on.suffer(Sever(), 2.0)
        await on.until_well()
    ledger = on.ledger
    held, told = holders(ledger), resets(ledger)
    far = {client.pen.name for client in on.crowd.clients if side_of(client.pen.session) == "far"}
    assert far <= held.keys(), "the far side went on writing to the old primary"
    assert {told[client].reason for client in held} == {"rolled_back"}
    assert ledger.is_clean, ledger.stories


async def test_without_terms_the_same_is_lost_in_silence_and_the_verdict_finds_it(tmp_path: Path) -> None:
    async with scene_on(tmp_path, has_terms=False) as on:
        await on.suffer(FailOver(is_lagging=True), 2.0)
    assert holders(on.ledger), "the follower lacked what clients had"
    assert on.ledger.losses["silent gap"]
