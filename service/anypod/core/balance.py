"""Which part of its subscribers a replica has too many.

Owns the judgement of one replica's share of all subscribers. Must not know how a client is sent away.
"""

from math import ceil
from typing import Final

SHARE_MAX: Final = 1.2  # of the mean: a replica that holds more sends the surplus away
WORTH_MIN: Final = 50  # subscribers: below that their number is chance, and to move some brings nothing


def surplus(own: int, total: int, replicas: int, *, share_max: float = SHARE_MAX) -> int:
    """How many of its `own` a replica should send away, where `replicas` hold `total` together."""
    if own < WORTH_MIN or replicas < 2 or share_max <= 0:
        return 0
    return max(0, own - ceil(share_max * total / replicas))
