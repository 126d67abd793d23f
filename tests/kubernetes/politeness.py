"""What clients may expect of a deed that somebody meant: to be moved once for each replica that leaves, and not all at once.

Owns the judgement of what a crowd's members saw. Must not know the cluster.
"""

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

from tests.slo.crowd import Member

SPREAD_MAX: Final = 2.0  # closes in the busiest second of a drain, against the mean
SPREAD_FROM: Final = 40  # closes of one replica, below which seconds are too few to compare


@dataclass(frozen=True, slots=True)
class Departure:
    """Who left one replica: when (clock seconds), one entry each, the earliest first."""

    replica: str
    closes: tuple[float, ...]

    @property
    def spread(self) -> float:
        """Closes in the busiest second against the mean of all seconds from the first to the last."""
        began, ended = self.closes[0], self.closes[-1]
        busiest = max(Counter(int(at - began) for at in self.closes).values())
        return busiest * max(1.0, ended - began) / len(self.closes)

    @property
    def is_even(self) -> bool:
        return len(self.closes) < SPREAD_FROM or self.spread <= SPREAD_MAX

    def __str__(self) -> str:
        return f"{self.replica}: {len(self.closes)} closes, busiest second / mean {self.spread:.2f}"


def superfluous(members: Sequence[Member], left: set[str]) -> list[str]:
    """Reconnects that no replica's leaving asked for, each in words: away from one that stayed, or twice from the same."""
    told = []
    for index, member in enumerate(members):
        moves = Counter(before for (_, before), _ in pairwise(member.attached))
        wrong = {name: count for name, count in moves.items() if name not in left or count > 1}
        told += [f"client {index} ({member.transport}) left {name} {count} times: {story(member)}" for name, count in wrong.items()]
    return told


def story(member: Member) -> str:
    """Where it was when, in seconds since it first came."""
    events = [(at, f"at {name}") for at, name in member.attached] + [(at, f"closed {code}") for at, code in member.closed]
    began = min(events)[0]
    return ", ".join(f"{at - began:.1f} s {what}" for at, what in sorted(events))


def departures(members: Sequence[Member], left: set[str]) -> list[Departure]:
    """Closes of those who had to leave, by replica. A poll does not tell where it was: a third of the crowd is missing."""
    closes: dict[str, list[float]] = defaultdict(list)
    for member in members:
        for at, _ in member.closed:
            held = [replica for since, replica in member.attached if since <= at]
            if held and held[-1] in left:
                closes[held[-1]].append(at)
    return [Departure(replica, tuple(sorted(times))) for replica, times in sorted(closes.items())]
