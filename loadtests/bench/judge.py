"""What fails a run.

Owns the decision, and that a bad figure of a short run is looked at again. Must not know what is measured.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

from loadtests.bench.bench import Bench, Row
from loadtests.bench.outcome import Outcome, Verdict
from loadtests.bench.report import lines_of
from loadtests.bench.run import Say, measure
from loadtests.bench.series import Series

AGAIN_REPETITIONS: Final = 3  # a hiccup of the machine spoils one repetition, and the median passes it over


@dataclass(frozen=True, slots=True)
class Judge:
    """`is_short`: on a machine, and beside work, that nobody knows. It judges what holds there too, and never at first sight."""

    is_short: bool

    def is_judged(self, row: Row) -> bool:
        """Whether anything of the row can fail; the rest is left out, unless somebody names it."""
        return not self.is_short or any(check.is_portable for check in row.checks)

    async def measured(self, row: Row, bench: Bench, say: Say) -> Sequence[Outcome]:
        """The outcomes that count, told as they come."""
        outcomes = await self._told(row, bench, say)
        if self.is_short and any(map(self.is_failure, outcomes)):
            say(f"{row.name}: again, {AGAIN_REPETITIONS} times, for only what is bad twice is bad")
            outcomes = await self._told(row, replace(bench, scale=replace(bench.scale, repetitions=AGAIN_REPETITIONS)), say)
        return outcomes

    async def _told(self, row: Row, bench: Bench, say: Say) -> Sequence[Outcome]:
        outcomes = await measure(row, bench, say)
        for outcome in outcomes:
            say("\n".join(lines_of(outcome)))
        return outcomes

    def is_failure(self, outcome: Outcome) -> bool:
        """Below half of a bar, or not measured at all. A reference that this machine lacks is said, and is no failure of ours."""
        if not outcome.ours:
            return True
        return outcome.verdict is Verdict.BELOW_HALF and (outcome.check.is_portable or not self.is_short)

    def is_series_failure(self, series: Series) -> bool:
        """Of several runs: when most of them fail."""
        return sum(map(self.is_failure, series.runs)) > len(series.runs) / 2
