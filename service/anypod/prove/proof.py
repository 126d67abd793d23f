"""One proof, from the plan to the signed report.

Owns the clock around it, its progress, and what an error or a signal on the way makes of it. Must not know what is checked.
"""

import asyncio
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Final

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from anypod.clock import Clock, SystemClock
from anypod.core.errors import AnypodError
from anypod.interrupt import until_signalled
from anypod.prove.evidence import Evidence
from anypod.prove.plan import ProofPlan
from anypod.prove.report import Report, ReportHeader, report_of
from anypod.prove.scenario import Scenario
from anypod.version import __version__

SHOW_S: Final = 0.25
SHOW_PLAIN_S: Final = 10.0  # where lines cannot be redrawn
EXIT_INTERRUPTED: Final = 130
INTERRUPTED: Final = "somebody ended it"
NO_FOREIGN: Final = "no credential of another tenant was given (--foreign-token): isolation between tenants was not tried"
NO_NEIGHBOUR: Final = "no credential of another subject was given (--neighbour-token): isolation within the tenant was not tried"
NO_NARROWED: Final = "no narrowed credential was given (--narrowed-token): whether it reaches nothing else was not tried"


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
