"""One run: faults at random, one or two at a time, under a crowd; then peace, and the verdict.

Owns the choice of rows and the course of the run. Must not know how a row is carried out, nor how a history is judged.
"""

import asyncio
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from tests.chaos.clients import Clients
from tests.chaos.environment import Environment
from tests.chaos.fault_catalogue import Row, Topology
from tests.chaos.faults import SpoilKey
from tests.chaos.library import LibraryClient
from tests.chaos.nemesis import perform
from tests.simulation.history import Calmed, Disturbed, Fault

WELL_S_MAX: Final = 60.0  # after a fault: a client waits out its back-off, a replica starts again, on a machine that does much else
PAIR_SHARE: Final = 0.6  # of the rounds in which two rows overlap
LONG_S: Final = 12.0  # a row that lasts so long is always overlapped: by one row of another part after the other
HASTE_SHARE: Final = 0.3  # of the rounds that do not wait until all is well
MEANWHILE: Final = 2  # rows within LONG_S of another
CALM_S: Final = (0.2, 1.0)  # between rounds
LAG_S: Final = 0.5  # the runner itself was not given the processor for so long: promptness cannot be asked of anybody then
LAG_POLL_S: Final = 0.1
SETTLE_S: Final = 0.5  # between two judgements of what has happened


@dataclass
class Struck:
    """One fault. `well_s`: from its end until all was well, None when nobody waited for it."""

    row: str
    began: float
    ended: float
    lost_events: int = 0
    well_s: float | None = None


@dataclass(frozen=True, slots=True)
class Plan:
    """`rate`: how much is published."""

    seed: int
    seconds: float
    rows: Sequence[Row]
    longest_s: float = 60.0  # rows that last longer are shortened
    rate: float = 1.0
    topology: Topology = "single"


class Campaign:
    """`faults`: in the order of their ends. `complaints`: what is wrong beside the oracle's findings."""

    def __init__(self, plan: Plan, stage: Environment, crowd: Clients, say: Callable[[str], None]) -> None:
        self.plan = plan
        self.stage = stage
        self.crowd = crowd
        self.faults: list[Struck] = []
        self.complaints: list[str] = []
        self._say = say
        self._rng = random.Random(plan.seed)
        self._unplayed: list[Row] = []
        self._is_disturbed = False

    async def run(self) -> None:
        async with asyncio.TaskGroup() as tasks:
            watching = [tasks.create_task(self._judge_steadily()), tasks.create_task(self._watch_ourselves())]
            async with self.crowd.present():
                await self._until_well()
                ends_at = self.stage.now() + self.plan.seconds
                while self.stage.now() < ends_at:
                    await self._round()
                await self._until_well()
            for task in watching:
                task.cancel()
        self._finish()

    # Rounds.
    async def _round(self) -> None:
        first, others = self._choose()
        self._disturb()
        before = len(self.faults)
        await asyncio.gather(self._strike(first), self._strike_in_turn(others))
        struck = self.faults[before:]
        if self._rng.random() < HASTE_SHARE:
            self._progress(struck)
            return
        began = self.stage.now()
        if await self._until_well():
            self._calm()
            for fault in struck:
                fault.well_s = self.stage.now() - began
        self._progress(struck)
        await asyncio.sleep(self._rng.uniform(*CALM_S))

    def _choose(self) -> tuple[Row, list[Row]]:
        """Every row once before any comes again by its weight; two at once touch different parts. The second ones come in turn."""
        if not self._unplayed and not self.faults:
            self._unplayed = self._rng.sample(self.plan.rows, len(self.plan.rows))
        first = self._unplayed.pop() if self._unplayed else self._any(self.plan.rows)
        others = [row for row in self.plan.rows if row.part != first.part and row.seconds[1] < LONG_S]
        if not others or (first.seconds[1] < LONG_S and self._rng.random() > PAIR_SHARE):
            return first, []
        second = self._any(others)
        alike = [row for row in others if row.part == second.part]
        count = max(1, int(min(first.seconds[0], self.plan.longest_s) / LONG_S * MEANWHILE))
        return first, [second, *(self._any(alike) for _ in range(count - 1))]

    def _any(self, rows: Sequence[Row]) -> Row:
        return self._rng.choices(rows, [row.weight for row in rows])[0]

    async def _strike_in_turn(self, rows: Sequence[Row]) -> None:
        for row in rows:
            await asyncio.sleep(self._rng.random())
            await self._strike(row)

    async def _strike(self, row: Row) -> None:
        seconds = min(self._rng.uniform(*row.seconds), self.plan.longest_s)
        rng = random.Random(self._rng.random())
        ledger, began = self.stage.ledger, self.stage.now()
        ledger.note(Fault(began, f"{row.name} {seconds:.1f} s"))
        lost = ledger.lost_events
        try:
            await perform(row.deed, self.stage, seconds, rng)
        except TimeoutError:
            self.complaints.append(f"{row.name} could not be carried out at {began:.1f} s")
        ledger.note(Fault(self.stage.now(), f"{row.name} is over"))
        self.faults.append(Struck(row.name, began, self.stage.now(), ledger.lost_events - lost))

    def _progress(self, struck: Sequence[Struck]) -> None:
        names = " and ".join(fault.row for fault in struck)
        well = f"well after {struck[0].well_s:.1f} s" if struck[0].well_s is not None else "not waited for"
        lost = sum(fault.lost_events for fault in struck)
        self._say(
            f"{self.stage.now():7.1f} s  {len(self.faults):3d} faults  {self.crowd.delivered:9,d} deliveries  "
            f"{sum(self.stage.ledger.losses.values())} violations  {names}: {well}" + (f", {lost} events lost with Redis" if lost else "")
        )

    # Is all well?
    async def _until_well(self) -> bool:
        ledger, since = self.stage.ledger, self.stage.now()
        ledger.settle()
        heads = {session: ledger.head(session) for session in {client.pen.session for client in self.crowd.clients}}
        if await self.crowd.until(lambda: self.crowd.is_well(since, heads), WELL_S_MAX):
            return True
        unwell = self.crowd.unwell(since, heads)
        self.complaints.append(f"at {self.stage.now():.1f} s not well for {WELL_S_MAX:g} s: {len(unwell)} clients, such as {unwell[:3]}")
        return False

    def _disturb(self) -> None:
        if not self._is_disturbed:
            self.stage.ledger.note(Disturbed(self.stage.now(), None, "faults"))
        self._is_disturbed = True

    def _calm(self) -> None:
        if self._is_disturbed:
            self.stage.ledger.note(Calmed(self.stage.now(), None, "faults"))
        self._is_disturbed = False

    async def _judge_steadily(self) -> None:
        while True:
            self.stage.ledger.settle()
            await asyncio.sleep(SETTLE_S)

    async def _watch_ourselves(self) -> None:
        """What we are late to see is not the product's lateness."""
        before = self.stage.now()
        while True:
            await asyncio.sleep(LAG_POLL_S)
            now = self.stage.now()
            if now - before > LAG_POLL_S + LAG_S:
                self.stage.ledger.note(Disturbed(before, None, "the runner stood still"))
                self.stage.ledger.note(Calmed(now, None, "the runner stood still"))
            before = now

    # The end.
    def _finish(self) -> None:
        ledger, journal = self.stage.ledger, self.stage.journal
        for client in self.crowd.clients:
            client.pen.finished()
        for session in list(journal.heads):
            ledger.note(journal.final(self.stage.now(), session))
        ledger.settle()
        self._complain()

    def _complain(self) -> None:
        """What the oracle cannot know: which answers a row explains."""
        began = {row.name: min((fault.began for fault in self.faults if fault.row == row.name), default=None) for row in self.plan.rows}
        for reset in self.stage.ledger.resets:
            if not any(reset.reason in row.allows and (at := began[row.name]) is not None and at <= reset.at for row in self.plan.rows):
                self.complaints.append(f"{reset.client} was reset ({reset.reason}) at {reset.at:.1f} s, which no row allows")
        explained = {code for row in self.plan.rows if began[row.name] is not None for code in row.refuses}
        for code, times in self.stage.ledger.refusals.items():
            if code not in explained:
                self.complaints.append(f"{times} publishes were refused for good: {code}, which no row allows")
        if self.stage.ledger.counts["DeltasLost"] and not any(
            began[row.name] is not None and isinstance(row.deed, SpoilKey) for row in self.plan.rows
        ):
            self.complaints.append("deltas were taken away before they were folded, which no row explains")
        allowed = [part for row in self.plan.rows if began[row.name] is not None for part in row.logs]
        unexpected = [line for line in self.stage.failures() if not any(part in line for part in allowed)]
        if unexpected:
            self.complaints.append(f"replicas wrote {len(unexpected)} lines of errors that no row allows, first {unexpected[0]}")
        self.complaints += self.crowd.ephemeral.complaints
        for client in self.crowd.clients:
            if isinstance(client, LibraryClient) and client.stops:
                self.complaints.append(f"{client.pen.name} was stopped: {client.stops}")
