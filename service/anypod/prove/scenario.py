"""The scenario of a proof: readers attach, publishers publish, connections are cut, the forbidden is tried; then the logs are compared.

Owns which clients take part and in which order, the cleaning up included; the clock around it, its progress, and what an error or a signal
on the way makes of it. Must not know what the evidence amounts to.
"""

import asyncio
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from itertools import chain
from random import Random
from typing import Final

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from anypod.client.machine.inputs import PageReceived, Received
from anypod.client.types import Transport
from anypod.clock import Clock, SystemClock
from anypod.core import frames
from anypod.core.errors import AnypodError
from anypod.interrupt import until_signalled
from anypod.prove import cursor_check, final_check, isolation_check, preflight
from anypod.prove.history_checker import HistoryChecker
from anypod.prove.http_probe import HttpProbe
from anypod.prove.plan import ProofPlan
from anypod.prove.publisher import ProofPublisher
from anypod.prove.reader import Around, SessionReader
from anypod.prove.reader_connection import ReaderConnection, ReadPlan
from anypod.prove.record import Evidence, ProofRecord
from anypod.prove.report import Report, ReportHeader, report_of
from anypod.version import __version__

SHOW_S: Final = 0.25
SHOW_PLAIN_S: Final = 10.0  # where lines cannot be redrawn
EXIT_INTERRUPTED: Final = 130
INTERRUPTED: Final = "somebody ended it"
NO_FOREIGN: Final = "no credential of another tenant was given (--foreign-token): isolation between tenants was not tried"
NO_NEIGHBOUR: Final = "no credential of another subject was given (--neighbour-token): isolation within the tenant was not tried"
NO_NARROWED: Final = "no narrowed credential was given (--narrowed-token): whether it reaches nothing else was not tried"
TRANSPORTS: Final[tuple[Transport, ...]] = ("websocket", "sse", "poll")
SETTLE_S_MAX: Final = 30.0  # after the last publish; the slowest client that is cut is promised to be back within 10 s
REPLICAS_S_MAX: Final = 20.0  # of reconnecting until enough replicas were met
MEET_S: Final = 0.5
POLL_S: Final = 0.05
CLEAN_S_MAX: Final = 20.0  # then what is left of our sessions ends by itself, as every session does
LATE_SHARE: Final = 0.5  # of the time, before a late reader begins
FORGED_LETTERS: Final = 8
OUTSIDERS: Final = {"neighbour": "by another subject of the tenant", "narrowed": "by a credential that is narrowed to other sessions"}


class Scenario:
    """`evidence`: what has been seen so far, whenever it is looked at."""

    def __init__(self, plan: ProofPlan, clock: Clock, evidence: Evidence) -> None:
        self._plan = plan
        self._clock = clock
        self._around = Around(plan, clock, Random(plan.seed))  # noqa: S311 - the seed makes the choices of a run known; nothing is secret
        self._asker = HttpProbe(plan.url, plan.credential, clock)
        outsiders = {"foreign": plan.foreign, "neighbour": plan.neighbour, "narrowed": plan.narrowed}
        self._outsiders = {name: HttpProbe(plan.url, shown, clock) for name, shown in outsiders.items() if shown is not None}
        self._ledgers = [ProofRecord(name, evidence) for name in plan.session_ids]
        self.evidence = evidence

    async def run(self) -> None:
        """Raises AnypodError when the deployment does not let itself be proven. Leaves no session behind, however it ends."""
        plan = self._plan
        await preflight.check(self._asker, f"{plan.stem}-0", plan.credential, self._clock)
        preflight.check_expiry(plan.credential, plan.seconds, self._clock)
        for name, asker in self._outsiders.items():
            await preflight.check_outsider(asker, name)
        try:
            for ledger in self._ledgers:
                await self._create(ledger)
            await self._bustle()
            await self._meet_replicas()
        finally:
            await self._clean_up()

    async def _create(self, ledger: ProofRecord) -> None:
        answer = await self._asker.insist("POST", "/v1/sessions", {"session_id": ledger.session_id})
        if answer.status not in (200, 201):
            raise AnypodError("unavailable", f"a session could not be created: status {answer.status} {answer.code}")

    async def _bustle(self) -> None:
        """All clients at work, until the time is over and every reader has everything."""
        until_s = self._clock.now() + self._plan.seconds
        readers = [self._readers(ledger, number) for number, ledger in enumerate(self._ledgers)]
        async with asyncio.TaskGroup() as tasks:
            reading = [tasks.create_task(reader.run(), name=reader.name) for reader in chain(*readers)]
            publishers = [ProofPublisher(self._around, ledger, steady[0]) for ledger, steady in zip(self._ledgers, readers, strict=True)]
            publishing = [tasks.create_task(publisher.run(until_s)) for publisher in publishers]
            trying = tasks.create_task(self._try_the_forbidden())
            await asyncio.wait([*publishing, trying])
            logs = [await final_check.read_log(self._asker, ledger) for ledger in self._ledgers]
            away = await self._settle(list(zip(logs, readers, strict=True)))
            for task in reading:
                task.cancel()
        for ledger, log in zip(self._ledgers, logs, strict=True):
            final_check.compare(ledger, log)
            await final_check.compare_history(self._asker, ledger, log)
        self._check_transports()
        if away:
            raise AnypodError("unavailable", f"{away} readers were not let in within {SETTLE_S_MAX:g} s: look at readiness")

    def _readers(self, ledger: ProofRecord, number: int) -> list[SessionReader]:
        """One for each transport, of which the first speaks, too; and a late one that changes its transport at every turn."""
        steady = [SessionReader(self._around, ledger, (transport,)) for transport in TRANSPORTS]
        late_s = self._plan.seconds * LATE_SHARE * (number + 1) / len(self._ledgers)
        return [*steady, SessionReader(self._around, ledger, TRANSPORTS, starts_after_s=late_s)]

    async def _try_the_forbidden(self) -> None:
        first, second = self._ledgers[:2]
        while not (first.receipts and second.receipts):
            await self._clock.sleep(POLL_S)
        foreign = next(iter(second.receipts.values())).cursor
        await cursor_check.try_cursors(self._around, first, foreign)
        nobody, forger = (HttpProbe(self._plan.url, shown, self._clock) for shown in (None, _forged(self._plan.credential)))
        await isolation_check.try_unknown(first, nobody, "without a credential")
        await isolation_check.try_unknown(first, forger, "with a forged credential")
        for name, asker in self._outsiders.items():
            if name == "foreign":
                await isolation_check.try_foreign(first, asker)
            else:
                await isolation_check.try_outsider(first, asker, OUTSIDERS[name], self._asker)

    async def _settle(self, sessions: list[tuple[HistoryChecker, list[SessionReader]]]) -> int:
        """How many readers were not let in again, of which nothing can be said. What the others miss, the comparison tells."""
        began_s = self._clock.now()
        while behind := [reader for log, readers in sessions for reader in readers if reader.track.last_seq < log.last_seq]:
            if self._clock.now() > began_s + SETTLE_S_MAX:
                break
            await self._clock.sleep(POLL_S)
        away = [reader for reader in behind if reader.synced_at_s is None or reader.synced_at_s < began_s]
        for reader in away:
            reader.withdraw()
        return len(away)

    def _check_transports(self) -> None:
        """A path that lets a transport not through proves nothing about it."""
        silent = [transport for transport in TRANSPORTS if not self.evidence.synced[transport]]
        if silent:
            raise AnypodError(
                "unavailable",
                f"no reader came through by {' and '.join(silent)}: look at what stands before the service "
                "(does it let upgrades through, does it buffer streams, does it end requests that wait?)",
            )

    async def _meet_replicas(self) -> None:
        """Raises AnypodError when fewer replicas than asked for answer new connections."""
        session_id = self._ledgers[0].session_id
        give_up_s = self._clock.now() + REPLICAS_S_MAX

        def note(given: Received | PageReceived) -> None:
            if isinstance(given, Received) and isinstance(given.frame, frames.CreatedFrame | frames.RestoredFrame):
                self.evidence.met[given.frame.replica] += 1

        while len(self.evidence.met) < self._plan.replicas:
            if self._clock.now() > give_up_s:
                met = ", ".join(sorted(self.evidence.met)) or "none"
                raise AnypodError(
                    "unavailable",
                    f"{len(self.evidence.met)} of {self._plan.replicas} replicas were met within {REPLICAS_S_MAX:g} s ({met}): "
                    "are there as many ready ones, and does the balancer keep to one of them?",
                )
            await ReaderConnection(ReadPlan(self._plan.url, session_id, self._plan.credential, "websocket", "tail"), note).run(MEET_S)

    async def _clean_up(self) -> None:
        """Also after an interrupt. A second signal does not wait for this."""
        left = list(self._ledgers)
        try:
            async with asyncio.timeout(CLEAN_S_MAX):
                while left and await self._delete(left[-1]):
                    left.pop()
        except (AnypodError, TimeoutError):
            pass  # told by what is left
        if left:
            names = ", ".join(ledger.session_id for ledger in left)
            self.evidence.notes.append(f"{len(left)} sessions could not be deleted; they expire by themselves: {names}")

    async def _delete(self, ledger: ProofRecord) -> bool:
        answer = await self._asker.insist("DELETE", f"/v1/sessions/{ledger.session_id}")
        if answer.status == 204 and ledger.receipts:
            await cursor_check.try_deleted(self._asker, ledger, next(reversed(ledger.receipts.values())).cursor)
        return answer.status in (204, 404)


def _forged(credential: str) -> str:
    """The same claims under a forged signature."""
    head, dot, signature = credential.rpartition(".")
    return f"{head}{dot}{'A' * FORGED_LETTERS}{signature[FORGED_LETTERS:]}"


async def run(plan: ProofPlan) -> Report:
    """Never raises AnypodError: what kept the proof from its end is the report's reason."""
    clock, evidence = SystemClock(), Evidence()
    outsiders = ((plan.foreign, NO_FOREIGN), (plan.neighbour, NO_NEIGHBOUR), (plan.narrowed, NO_NARROWED))
    evidence.notes += [note for credential, note in outsiders if credential is None]
    began_ms = clock.wall_ms()
    reason = INTERRUPTED

    async def prove() -> None:
        nonlocal reason
        try:
            await _watched(Scenario(plan, clock, evidence), plan, clock)
            reason = ""
        except* AnypodError as failures:
            reason = _first(failures)

    await until_signalled(prove(), force=lambda: os._exit(EXIT_INTERRUPTED))
    return report_of(_header(plan, began_ms, clock.wall_ms()), evidence, reason=reason)


async def _watched(course: Scenario, plan: ProofPlan, clock: Clock) -> None:
    async with asyncio.TaskGroup() as tasks:
        watching = tasks.create_task(_show(course.evidence, plan, clock))
        await course.run()
        watching.cancel()


async def _show(evidence: Evidence, plan: ProofPlan, clock: Clock) -> None:
    """Until it is cancelled."""
    began_s = clock.now()
    if not sys.stderr.isatty():
        while True:
            await clock.sleep(SHOW_PLAIN_S)
            sys.stderr.write(f"{clock.now() - began_s:.0f} s: {_progress(evidence)}\n")
    with _bar(plan) as bar:
        while True:
            bar.update(bar.task_ids[0], completed=min(clock.now() - began_s, plan.seconds), description=_progress(evidence))
            await clock.sleep(SHOW_S)


@contextmanager
def _bar(plan: ProofPlan) -> Iterator[Progress]:
    columns = (TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        progress.add_task("Proving", total=plan.seconds)
        yield progress


def _progress(evidence: Evidence) -> str:
    counts = evidence.counts
    return (
        f"{counts['acknowledged']:,} acknowledged, {counts['delivered']:,} delivered, {counts['cut']:,} cut, "
        f"{len(evidence.met)} replicas met, {evidence.violated.total():,} violations"
    )


def _header(plan: ProofPlan, began_ms: int, ended_ms: int) -> ReportHeader:
    began, ended = (datetime.fromtimestamp(ms / 1000, UTC).strftime("%Y-%m-%dT%H:%M:%SZ") for ms in (began_ms, ended_ms))
    return ReportHeader(
        version=__version__,
        url=plan.url,
        began=began,
        ended=ended,
        seconds=plan.seconds,
        sessions=plan.sessions,
        rate=plan.rate,
        replicas=plan.replicas,
        seed=plan.seed,
    )


def _first(failures: BaseExceptionGroup[AnypodError]) -> str:
    for failure in failures.exceptions:
        return _first(failure) if isinstance(failure, BaseExceptionGroup) else failure.message
    raise AssertionError("a group has at least one")
