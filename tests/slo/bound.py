"""What was seen beside what is allowed.

Owns the comparison. Must not know what is compared.
"""

from collections.abc import Iterable
from typing import Final, NamedTuple

RATIO_MAX: Final = 2.0  # of a 99th percentile to the one before, in the same run
FLOOR_S: Final = 0.005  # below it twice as much is noise: one turn of a busy loop
SHARED_FLOOR_S: Final = 0.25  # the same where other tests have the machine's cores too


class Bound(NamedTuple):
    what: str
    seen: float
    most: float

    @property
    def is_kept(self) -> bool:
        return self.seen <= self.most

    def __str__(self) -> str:
        return f"{self.what}: {self.seen:.4g}, at most {self.most:.4g}"


def unchanged(what: str, before_s: float, after_s: float, floor_s: float) -> Bound:
    """A 99th percentile that something else must not have made worse."""
    return Bound(f"{what}, in seconds", after_s, max(floor_s, RATIO_MAX * before_s))


def broken(bounds: Iterable[Bound]) -> list[str]:
    return [str(bound) for bound in bounds if not bound.is_kept]
