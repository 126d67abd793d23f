"""One check over several runs of the benchmark.

Owns what counts over all of them. Must not know how a run goes. One run that meets a bar shows little on a machine whose speed wanders:
a bar is met when at least four of five runs have met it, and the figure is the median of the runs', with the range beside it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from loadtests.bench.outcome import Check, Outcome, Sample, Spread, Verdict, spread

MET_SHARE: Final = 0.8  # of the runs


@dataclass(frozen=True, slots=True)
class Series:
    runs: Sequence[Outcome]

    @property
    def check(self) -> Check:
        return self.runs[0].check

    @property
    def score(self) -> Spread | None:
        """Of the runs that could be judged."""
        scores = [outcome.score for outcome in self.runs if outcome.score is not None]
        return spread(scores) if scores else None

    @property
    def met(self) -> int:
        return self._how_many(Verdict.MET, Verdict.STRETCH)

    @property
    def verdict(self) -> Verdict:
        """A run that could not be judged has met nothing."""
        if self.score is None:
            return Verdict.UNKNOWN
        needed = MET_SHARE * len(self.runs)
        if self._how_many(Verdict.STRETCH) >= needed:
            return Verdict.STRETCH
        if self.met >= needed:
            return Verdict.MET
        return Verdict.BELOW_HALF if self._how_many(Verdict.BELOW_HALF, Verdict.UNKNOWN) > len(self.runs) / 2 else Verdict.MISSED

    def side(self, *, is_ours: bool) -> Spread | None:
        """The figures themselves: the median and the range of the runs' medians; of a single run, of its samples."""
        sides = [[sample.value for sample in (outcome.ours if is_ours else outcome.theirs)] for outcome in self.runs]
        values = sides[0] if len(sides) == 1 else [spread(side).middle for side in sides if side]
        return spread(values) if values else None

    def _how_many(self, *verdicts: Verdict) -> int:
        return sum(outcome.verdict in verdicts for outcome in self.runs)


def series_of(runs: Sequence[Sequence[Outcome]]) -> list[Series]:
    """Of the outcomes of each run; every run has the same checks, in one order."""
    return [Series(outcomes) for outcomes in zip(*runs, strict=True)]


def read_series(kept: Mapping[str, Any]) -> list[Series]:
    """From a file of results."""
    return series_of([[_outcome(check) for check in run] for run in kept["runs"]])


def _outcome(kept: Mapping[str, Any]) -> Outcome:
    check = Check(*(kept[name] for name in ("name", "title", "unit", "goal", "bar", "stretch")))
    ours, theirs = ([Sample(**sample) for sample in kept[side]] for side in ("ours", "theirs"))
    return Outcome(check, kept["reference"], ours, theirs, list(kept["failures"]))
