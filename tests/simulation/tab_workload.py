"""A world with tabs, and its course: tabs are loaded anew, roam and are cut off, replicas and the store fail beside them.

Owns these deeds and how often each is drawn. Must not judge what comes of them.
"""

import random
from collections.abc import Sequence
from functools import partial
from typing import Final

from tests.simulation import faults, workload
from tests.simulation.client_recorder import Who
from tests.simulation.instrumented_server import Operation
from tests.simulation.network import GRAIN_S
from tests.simulation.tabs import Signal, Tab
from tests.simulation.world import Deed, World, grains

COUNT_MIN: Final = 6
COUNT_MAX: Final = 25
WAIT_S_MAX: Final = 2.0
STALL_S_MAX: Final = 6.0
GAP_S_MAX: Final = 1.0  # between two tabs of one device


def open_tabs(world: World) -> None:
    """Two or three people, each with one or two tabs of one device."""
    for number in range(world.rng.randint(2, 3)):
        who = Who(f"p{number}", world.sessions[0])
        for _ in range(world.rng.choice((1, 2, 2))):
            tab = Tab(who, "phone", world, world.rng)
            world.tabs.append(tab)
            world.after(grains(world.rng, GAP_S_MAX), tab.connect)


def _any(world: World) -> Tab | None:
    return world.rng.choice(connected) if (connected := [tab for tab in world.tabs if tab.may_move]) else None


def load_anew(world: World) -> None:
    """By its user, replaced or not."""
    if tab := _any(world):
        tab.leave()
        tab.connect()


def load_all(world: World) -> None:
    """In the same moment, on whatever replicas."""
    for tab in world.tabs:
        if tab.may_move:
            tab.leave()
            tab.connect()


def roam(world: World) -> None:
    if (tab := _any(world)) and not tab.is_replaced:
        tab.roam()


def cut(world: World) -> None:
    if (tab := _any(world)) and tab.line is not None:
        tab.line.reset()


def black_hole(world: World) -> None:
    if (tab := _any(world)) and tab.line is not None:
        tab.line.black_hole()


def stall(world: World) -> None:
    """It does not read for a while."""
    if (tab := _any(world)) and (line := tab.line) is not None:
        line.down.stall()
        world.after(GRAIN_S * world.rng.randint(1, int(STALL_S_MAX / GRAIN_S)), line.down.flow)


def signal(world: World) -> None:
    if (tab := _any(world)) and tab.is_live:
        signal = Signal(len(world.signals), world.rng.choice((None, "p0", "p1")))
        world.signals.append(signal)
        tab.signal(signal)


def tell(world: World) -> None:
    if (tab := _any(world)) and tab.is_live:
        tab.tell(world.rng.randint(1, 9))


def ambush(world: World) -> None:
    """The feeds are cut in the same instant as a claim or an entry: the notice of it is lost, and a second way has to make up for it."""
    operation: Operation = world.rng.choice(("claim", "join"))
    world.server.lie_in_wait(operation, partial(faults.cut_feeds, world))


WEIGHTS: Final[dict[Deed, int]] = {
    load_anew: 8,
    load_all: 4,
    roam: 8,
    cut: 6,
    black_hole: 4,
    stall: 3,
    signal: 10,
    tell: 6,
    workload.publish: 6,
    faults.crash: 5,
    faults.store_away: 4,
    faults.restart: 2,
    faults.fail_over: 4,
    faults.cut_feeds: 5,
    ambush: 10,
}


def script(rng: random.Random) -> Sequence[tuple[float, Deed]]:
    drawn = rng.choices(list(WEIGHTS), list(WEIGHTS.values()), k=rng.randint(COUNT_MIN, COUNT_MAX))
    return [(0.0, open_tabs), *((grains(rng, WAIT_S_MAX), deed) for deed in drawn)]
