"""Failovers that lose acknowledged events: whoever held them is told what is left. Without terms not everybody is, and that is found."""

import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from tests.faults.access import headers_for
from tests.faults.actor import perform
from tests.faults.crowd import Crowd, Group
from tests.faults.deeds import Deed, FailOver, Sever
from tests.faults.ledger import Ledger
from tests.faults.planted import without_terms
from tests.faults.proxy import called_by
from tests.faults.stage import Stage, side_of, stage_of
from tests.faults.weather import HELD
from tests.simulation.history import Applied, Disturbed, ResetSeen, TailLost

from anypod.client import open_http
from anypod.client.phase import Transport

RESUME_S = 4.0  # from the death of a primary to the next event, with Sentinels that call it dead after one second
SOON_S = 30.0  # on a busy machine
KINDS: tuple[tuple[int, Transport, bool], ...] = ((2, "websocket", True), (2, "websocket", False), (1, "sse", False), (1, "poll", True))
CROWD = tuple(Group(session, *kind, 0.1) for session in ("hall-0", "hall-1") for kind in KINDS)


class Scene:
    def __init__(self, stage: Stage, crowd: Crowd) -> None:
        self.stage = stage
        self.crowd = crowd

    async def suffer(self, deed: Deed, seconds: float) -> None:
        await perform(deed, self.stage, seconds, random.Random(3))
        self.stage.ledger.settle()

    async def until_well(self) -> None:
        since = self.stage.now()
        assert await self.crowd.until(lambda: self._is_well(since), SOON_S), self.crowd.unwell(since, {})

    def _is_well(self, since: float) -> bool:
        self.stage.ledger.settle()
        return self.crowd.is_well(since, {})


@asynccontextmanager
async def scene(folder: Path, *, has_terms: bool = True) -> AsyncIterator[Scene]:
    """A crowd that reads and writes behind Sentinels. `has_terms`: the functions in Redis compare them, as they are written to."""
    rng = random.Random(2)
    async with stage_of("sentinel", folder, rng) as stage:
        if not has_terms:
            without_terms(stage.stores.written[0].server)
        crowd = Crowd(stage.url_for, stage.ledger, rng, CROWD)
        stage.ledger.note(Disturbed(stage.now(), None, "a test"))
        async with crowd.present():
            made = Scene(stage, crowd)
            await made.until_well()
            yield made
        for client in crowd.clients:
            client.pen.finished()
        stage.ledger.settle()


def holders(ledger: Ledger) -> dict[str, int]:
    """Clients that held lost events, and the seq up to which their log was kept."""
    seqs: dict[tuple[str, str], int] = {}
    found: dict[str, int] = {}
    for record in ledger.records:
        if isinstance(record, Applied):
            seqs[record.session, record.client] = int(record.frame.split(b",")[1].split(b":")[1])
        elif isinstance(record, TailLost):
            found |= {client: record.head for (session, client), seq in seqs.items() if session == record.session and seq > record.head}
    return found


def resets(ledger: Ledger) -> dict[str, ResetSeen]:
    return {record.client: record for record in ledger.records if isinstance(record, ResetSeen)}


async def test_whoever_held_events_that_a_failover_lost_is_told_the_last_one_that_is_left(tmp_path: Path) -> None:
    async with scene(tmp_path) as on:
        await on.suffer(FailOver(is_lagging=True), 2.0)
        await on.until_well()
    ledger = on.stage.ledger
    held, told = holders(ledger), resets(ledger)
    assert len(held) >= 8, "the follower lacked what most clients had"
    assert {told[client].reason for client in held} == {"rolled_back"}
    assert {client: int(str(told[client].common).split("-")[2]) for client in held} == held
    assert ledger.is_clean, ledger.stories
    assert on.stage.resumes[0] < RESUME_S


async def test_an_id_that_is_sent_again_makes_an_event_only_where_the_first_one_was_lost(tmp_path: Path) -> None:
    async with scene(tmp_path) as on, open_http() as http:

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
    assert on.stage.ledger.is_clean, on.stage.ledger.stories


async def test_two_primaries_end_as_one_and_the_far_side_is_told_what_it_lost(tmp_path: Path) -> None:
    async with scene(tmp_path) as on:
        await on.suffer(Sever(), 2.0)
        await on.until_well()
    ledger = on.stage.ledger
    held, told = holders(ledger), resets(ledger)
    far = {client.pen.name for client in on.crowd.clients if side_of(client.pen.session) == "far"}
    assert far <= held.keys(), "the far side went on writing to the old primary"
    assert {told[client].reason for client in held} == {"rolled_back"}
    assert ledger.is_clean, ledger.stories


async def test_without_terms_the_same_is_lost_in_silence_and_the_verdict_finds_it(tmp_path: Path) -> None:
    async with scene(tmp_path, has_terms=False) as on:
        await on.suffer(FailOver(is_lagging=True), 2.0)
    assert holders(on.stage.ledger), "the follower lacked what clients had"
    assert on.stage.ledger.losses["silent gap"]
