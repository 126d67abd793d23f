"""Measure rows: ours, theirs, ours, theirs.

Owns the order of measurements and what becomes of a failure. Must not know what is measured. A side that fails is measured no
further and says why; the other side and the other rows go on.
"""

from collections.abc import Callable, Sequence
from typing import Final

from loadtests.bench.bench import Absent, Bench, Row, Sides
from loadtests.bench.connection import LoadError
from loadtests.bench.outcome import Outcome, Sample
from loadtests.bench.process import ProcessError

from anypod.core.errors import AnypodError

FAILURES: Final = (LoadError, ProcessError, AnypodError, OSError, TimeoutError)

Say = Callable[[str], None]


async def measure(row: Row, bench: Bench, say: Say) -> Sequence[Outcome]:
    """One outcome for each check of the row."""
    outcomes = [Outcome(check, row.reference) for check in row.checks]
    say(f"{row.name}: {row.title}")
    try:
        async with row.open(bench) as sides:
            if isinstance(sides.theirs, Absent):
                _note(outcomes, sides.theirs.reason, say)
            await _in_turns(outcomes, sides, bench.scale.repetitions, say)
    except FAILURES as error:
        _note(outcomes, f"could not be set up: {_words(error)}", say)
    return outcomes


async def _in_turns(outcomes: Sequence[Outcome], sides: Sides, repetitions: int, say: Say) -> None:
    failed: set[str] = set()
    for _ in range(repetitions):
        for name, side in (("anypod", sides.ours), (outcomes[0].reference, sides.theirs)):
            if side is None or isinstance(side, Absent) or name in failed:
                continue
            try:
                samples = await side()
            except FAILURES as error:
                failed.add(name)
                _note(outcomes, f"{name} could not be measured: {_words(error)}", say)
                continue
            _keep(outcomes, samples, is_ours=name == "anypod")
            say(f"  {name}: {', '.join(_figure(outcome, sample) for outcome, sample in zip(outcomes, samples, strict=False))}")


def _keep(outcomes: Sequence[Outcome], samples: Sequence[Sample], *, is_ours: bool) -> None:
    """A reference may have fewer figures than we do."""
    for outcome, sample in zip(outcomes, samples, strict=False):
        (outcome.ours if is_ours else outcome.theirs).append(sample)


def _note(outcomes: Sequence[Outcome], reason: str, say: Say) -> None:
    say(f"  {reason}")
    for outcome in outcomes:
        outcome.failures.append(reason)


def _words(error: BaseException) -> str:
    return str(error) or type(error).__name__


def _figure(outcome: Outcome, sample: Sample) -> str:
    return f"{sample.value:,.4g} {outcome.check.unit}"
