"""The course of a world, drawn from its seed.

Owns how many deeds and faults there are, how often each is drawn, and the waits between them. Must not know what they do.
"""

import random
from collections.abc import Sequence
from typing import Final

from tests.simulation import faults, workload
from tests.simulation.world import Deed, grains

COUNT_MIN: Final = 8
COUNT_MAX: Final = 40  # enough for two or three faults to meet
WAIT_S_MAX: Final = 1.5  # between two of them, mostly
QUIET_S_MAX: Final = 8.0  # sometimes: what only the next event or the next heartbeat would repair shows in silence
QUIET_SHARE: Final = 0.08
FAREWELL_SHARE: Final = 0.5
CLOSED_SHARE: Final = 0.2
RETURN_S_MAX: Final = 1.2  # most clients come back within a second
WEIGHTS: Final[dict[Deed, int]] = {
    workload.publish: 20,
    workload.publish_together: 8,
    workload.publish_binary: 2,
    workload.post: 4,
    workload.answer: 12,
    workload.repeat: 6,
    workload.take_over: 4,
    workload.work: 8,
    workload.begin_again: 5,
    workload.change_network: 1,
    faults.cut: 5,
    faults.black_hole: 2,
    faults.stall: 4,
    faults.crash: 4,
    faults.store_away: 2,
    faults.restart: 2,
    faults.fail_over: 4,
    faults.cut_feeds: 4,
    faults.tidy: 4,
    faults.delete: 1,
    faults.ambush: 10,
}


def script(rng: random.Random) -> Sequence[tuple[float, Deed]]:
    drawn = rng.choices(list(WEIGHTS), list(WEIGHTS.values()), k=rng.randint(COUNT_MIN, COUNT_MAX))
    course = [(grains(rng, QUIET_S_MAX if rng.random() < QUIET_SHARE else WAIT_S_MAX), deed) for deed in drawn]
    return [*course, *farewell(rng)] if rng.random() < FAREWELL_SHARE else course


def farewell(rng: random.Random) -> Sequence[tuple[float, Deed]]:
    """A last event in every session while many come back; after it there is only silence, which shows what did not come."""
    last = [(0.0, faults.cut_many), (grains(rng, RETURN_S_MAX), workload.post_everywhere)]
    return [*last, (grains(rng, RETURN_S_MAX), faults.close)] if rng.random() < CLOSED_SHARE else last
