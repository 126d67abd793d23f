"""What befalls replicas, lines and the store.

Owns these faults, and ambushes: a fault in the same instant as an operation of the store. Must not know how anybody copes.
"""

from functools import partial
from typing import Final

from tests.simulation import workload
from tests.simulation.instrumented_server import Operation
from tests.simulation.network import GRAIN_S
from tests.simulation.world import Deed, World, grains

STALL_S_MAX: Final = 20.0  # of a reader; beyond the replica's patience, and within it
AWAY_S_MAX: Final = 7.0  # of the store; beyond an append's deadline, and within it
LAG_S_MAX: Final = 1.0  # of the copy of the store that a failover promotes


# Lines.
def cut(world: World) -> None:
    for line in world.anyone().lines():
        line.reset()


def cut_many(world: World) -> None:
    """Half of everybody at once, and one of the replicas with it: it comes back knowing nothing."""
    world.spawn(world.bounce(world.rng.randrange(len(world.replicas)), away_s=0))
    for application in world.applications.values():
        if world.rng.random() < 0.5:
            for line in application.lines():
                line.reset()


def black_hole(world: World) -> None:
    """Half-open: neither end learns of it before its patience ends."""
    for line in world.anyone().trouble("black hole"):
        line.black_hole()


def stall(world: World) -> None:
    """A client that does not read, for a while."""
    application = world.anyone()
    lines = application.trouble("stalled")
    for line in lines:
        line.down.stall()
    world.after(grains(world.rng, STALL_S_MAX), lambda: application.flow(lines, "stalled"))


# Replicas.
def crash(world: World) -> None:
    world.spawn(world.bounce(world.rng.randrange(len(world.replicas)), GRAIN_S * world.rng.randint(1, 500)))


# The store.
def store_away(world: World) -> None:
    if not world.server.is_running:
        return
    world.note("the store stops")
    world.server.stop()
    world.after(grains(world.rng, AWAY_S_MAX), lambda: None if world.server.is_running else world.server.start())


def restart(world: World) -> None:
    """Nothing is lost but what is on its way."""
    if world.server.is_running:
        world.note("the store restarts")
        world.server.restart()


def fail_over(world: World) -> None:
    """A copy that lags a little takes the store's place: the log's tail is lost."""
    copy, forks = world.server.snapshot(), world.server.forks
    if world.rng.random() < 0.5:
        workload.publish_together(world)

    def promote() -> None:
        if world.server.is_running and world.server.forks == forks:
            world.note("the store fails over")
            world.server.fail_over(copy)

    world.after(grains(world.rng, LAG_S_MAX), promote)


def cut_feeds(world: World) -> None:
    world.note("the feeds are cut")
    world.server.cut_feeds()


def tidy(world: World) -> None:
    if world.server.is_running:
        for key in world.sessions:
            world.server.tidy(key)


def delete(world: World) -> None:
    key = world.rng.choice(world.sessions)
    if world.server.is_running and world.server.has(key):
        world.note(f"{key.session} is deleted")
        world.server.delete(key, None)


def close(world: World) -> None:
    """A session is closed for good: its log can be read to the end, and no further."""
    key = world.rng.choice(world.sessions)
    if world.server.is_running and world.server.has(key):
        world.note(f"{key.session} is closed")
        world.server.end(key, None)


def ambush(world: World) -> None:
    """A fault or a publish in the same instant as an operation."""
    operations: tuple[Operation, ...] = ("append", "append", "read", "read", "create")
    strikes: tuple[Deed, ...] = (cut, crash, restart, fail_over, cut_feeds, cut_feeds, store_away, tidy, workload.post, workload.post)
    world.server.lie_in_wait(world.rng.choice(operations), partial(world.rng.choice(strikes), world))
