"""What a row measures and what it must show.

Owns checks, samples and the verdict over them. Must not know how anything is measured or shown.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from statistics import median
from types import MappingProxyType
from typing import Final, Literal, NamedTuple

CLIENT_BUSY: Final = 0.95  # a core that is busier than this is what limits the figure
DISTURBED: Final = 0.1  # of the server's core: more than interrupts, somebody else is at work there
HALF: Final = 0.5  # of a bar: noise of a shared machine does not reach there, a lost optimisation does

NOTHING: Final[Mapping[str, float]] = MappingProxyType({})

Goal = Literal["ours/theirs at least", "theirs/ours at least", "ours/theirs at most", "ours at most"]


class Sample(NamedTuple):
    """One measurement. `server_us`: CPU of the server process for each operation. Shares are of one core, in the measured time.

    `client`: the load generator; `store`: Redis, which has the same core; `others`: whoever else used the server's.
    `details`: further figures by name with unit, for those who read closely.
    """

    value: float
    server_us: float | None = None
    client: float | None = None
    store: float | None = None
    others: float | None = None
    details: Mapping[str, float] = NOTHING

    @property
    def load(self) -> float | None:
        """How busy the client's core was."""
        return None if self.client is None else self.client + (self.store or 0.0)


@dataclass(frozen=True, slots=True)
class Check:
    """One figure of a row and its bar. `name` is unique among all rows."""

    name: str
    title: str
    unit: str
    goal: Goal
    bar: float
    stretch: float

    @property
    def is_more_better(self) -> bool:
        """Of the figure itself, not of a ratio of two."""
        return self.goal == "ours/theirs at least"

    @property
    def is_portable(self) -> bool:
        """The bar holds on any machine: for a ratio within one run, and for memory. A time is of the machine that it was taken on."""
        return self.goal != "ours at most" or self.unit == "KiB"


class Verdict(Enum):
    STRETCH = "stretch"
    MET = "met"
    MISSED = "missed"
    BELOW_HALF = "below half"
    UNKNOWN = "unknown"


class Spread(NamedTuple):
    low: float
    middle: float
    high: float


def spread(values: Sequence[float]) -> Spread:
    return Spread(min(values), median(values), max(values))


def middle(values: Sequence[float | None]) -> float | None:
    """The median of those that were measured."""
    known = [value for value in values if value is not None]
    return median(known) if known else None


@dataclass(slots=True)
class Outcome:
    """The samples of one check. `ours` and `theirs` were taken in turns."""

    check: Check
    reference: str
    ours: list[Sample] = field(default_factory=list)
    theirs: list[Sample] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)  # why something of it could not be measured

    @property
    def score(self) -> float | None:
        """What the bar is compared with; None when a side of it is missing."""
        if not self.ours:
            return None
        ours = median(sample.value for sample in self.ours)
        if self.check.goal == "ours at most":
            return ours
        if not self.theirs:
            return None
        theirs = median(sample.value for sample in self.theirs)
        over, under = (theirs, ours) if self.check.goal == "theirs/ours at least" else (ours, theirs)
        return over / under if under else None

    @property
    def verdict(self) -> Verdict:
        if self.score is None:
            return Verdict.UNKNOWN
        is_more_better = self.check.goal.endswith("at least")
        for bound, verdict in (
            (self.check.stretch, Verdict.STRETCH),
            (self.check.bar, Verdict.MET),
            (self.check.bar * HALF if is_more_better else self.check.bar / HALF, Verdict.MISSED),
        ):
            if self.score >= bound if is_more_better else self.score <= bound:
                return verdict
        return Verdict.BELOW_HALF

    @property
    def remarks(self) -> list[str]:
        """What a reader must know beside the figures, each once."""
        said: list[str] = []
        for side, samples in (("anypod", self.ours), (self.reference, self.theirs)):
            if (busy := middle([sample.load for sample in samples])) is not None and busy > CLIENT_BUSY:
                said.append(f"{side}: the client's core was {busy:.0%} busy, so the server may be able to do more")
            if (others := middle([sample.others for sample in samples])) is not None and others > DISTURBED:
                said.append(f"{side}: other work took {others:.0%} of the server's core")
        return said
