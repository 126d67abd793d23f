"""The same rows for this tree and for another revision, in one run.

Owns the order of the measurements, and what is called a loss. Must not know what is measured. Both revisions stand ready all the time, each
with a Redis of its own, and are loaded in turns: this one, that one, that one, this one. What the machine does to one it does to the other.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from statistics import median
from typing import Any, Final

from loadtests.bench.bench import Bench, Row
from loadtests.bench.outcome import Check, Sample, Spread, middle, spread
from loadtests.bench.run import FAILURES, Say

KEPT: Final = 0.97  # of the other revision's figure: a row that has less of it in the median has lost
PAIRS: Final = 5  # of one run


@dataclass(slots=True)
class Comparison:
    """The samples of one check, in pairs. `theirs` are of the other revision."""

    check: Check
    ours: list[Sample] = field(default_factory=list)
    theirs: list[Sample] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)

    @property
    def gains(self) -> Sequence[float]:
        """How many times as good as the other revision this one is, a pair each, whichever way the figure goes: 0.97 is a loss of 3 %."""
        pairs = zip(self.ours, self.theirs, strict=False)
        values = [(ours.value, theirs.value) if self.check.is_more_better else (theirs.value, ours.value) for ours, theirs in pairs]
        return [over / under for over, under in values if under]

    @property
    def gain(self) -> Spread | None:
        return spread(self.gains) if self.gains else None

    @property
    def is_lost(self) -> bool:
        """A check without a pair has shown nothing, and counts as one that has lost."""
        return self.gain is None or self.gain.middle < KEPT

    @property
    def server_cpu(self) -> float | None:
        """The server's CPU time an operation, ours over theirs."""
        ours, theirs = (middle([sample.server_us for sample in samples]) for samples in (self.ours, self.theirs))
        return ours / theirs if ours and theirs else None

    def __str__(self) -> str:
        name = f"{self.check.name}: {self.check.title}"
        if self.gain is None:
            return f"{name}: NOT MEASURED: {'; '.join(self.failures)}"
        low, middle_, high = self.gain
        cpu = "" if self.server_cpu is None else f", server CPU an operation × {self.server_cpu:.3f}"
        here, there = (median(sample.value for sample in samples) for samples in (self.ours, self.theirs))
        lost = ": LOST" if self.is_lost else ""
        return (
            f"{name}: {here:,.4g} against {there:,.4g} {self.check.unit}: × {middle_:.3f} as good "
            f"({low:.3f} to {high:.3f} in {len(self.gains)} pairs){cpu}{lost}"
        )


async def compare(row: Row, ours: Bench, theirs: Bench, *, runs: int, say: Say) -> Sequence[Comparison]:
    """`runs`: how often everything is started anew; each has `scale.repetitions` pairs."""
    comparisons = [Comparison(check) for check in row.checks]
    say(f"{row.name}: {row.title}")
    for _ in range(runs):
        try:
            async with row.open(ours) as here, row.open(theirs) as there:
                sides = [(here.ours, True), (there.ours, False)]
                for pair in range(ours.scale.repetitions):
                    for measure, is_ours in sides if pair % 2 == 0 else reversed(sides):
                        for comparison, sample in zip(comparisons, await measure(), strict=True):
                            (comparison.ours if is_ours else comparison.theirs).append(sample)
        except FAILURES as error:
            _drop_half_pairs(comparisons)
            for comparison in comparisons:
                comparison.failures.append(str(error) or type(error).__name__)
            say(f"  could not be measured: {error}")
    for comparison in comparisons:
        say(f"  {comparison}")
    return comparisons


def _drop_half_pairs(comparisons: Sequence[Comparison]) -> None:
    for comparison in comparisons:
        whole = min(len(comparison.ours), len(comparison.theirs))
        del comparison.ours[whole:], comparison.theirs[whole:]


def as_json(comparisons: Sequence[Comparison]) -> list[dict[str, Any]]:
    return [
        {
            **asdict(comparison.check),
            "gain": comparison.gain and comparison.gain._asdict(),
            "is_lost": comparison.is_lost,
            "server_cpu": comparison.server_cpu,
            "ours": [sample.value for sample in comparison.ours],
            "theirs": [sample.value for sample in comparison.theirs],
            "failures": comparison.failures,
        }
        for comparison in comparisons
    ]
