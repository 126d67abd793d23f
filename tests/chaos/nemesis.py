"""The rows of the matrix, carried out on a stage.

Owns who carries out which deed, and what is done to replicas, to clients' lines and to clocks. Must not know clients, nor which
row comes next.
"""

import asyncio
import os
import random
import signal
from contextlib import ExitStack
from typing import assert_never

from tests.chaos.environment import Environment
from tests.chaos.failovers import fail_over, sever
from tests.chaos.faults import (
    Command,
    CutStore,
    Deed,
    DemoteRedis,
    FailOver,
    FillRedis,
    FreezeRedis,
    FreezeReplica,
    Hole,
    KillReplica,
    Lines,
    LoseReply,
    MoveSlots,
    OverflowFeeds,
    RestartRedis,
    Sever,
    SlowStore,
    SpoilKey,
    StepClock,
)
from tests.chaos.link import Link
from tests.chaos.network_conditions import CLEAR, HELD, SLOW
from tests.chaos.servers import cut_links, hold_links, lose_reply, move_slots, restart, slow_links, spoil
from tests.chaos.wall_clock import SETTLE_S


async def perform(deed: Deed, stage: Environment, seconds: float, rng: random.Random) -> None:
    """Returns when it is over; what follows from it may not be."""
    match deed:
        case Hole() | CutStore() | LoseReply() | SlowStore():
            await _on_store_links(deed, stage, seconds, rng)
        case FreezeRedis():
            with stage.frozen(stage.some_gate(rng).server.pid):
                await asyncio.sleep(seconds)
        case RestartRedis():
            await restart(deed, stage, seconds, rng)
        case Command() | FillRedis() | DemoteRedis() | OverflowFeeds() | SpoilKey():
            await spoil(deed, stage, seconds, rng)
        case MoveSlots():
            await move_slots(deed, stage, rng)
        case FailOver():
            await fail_over(deed, stage, seconds)
        case Sever():
            await sever(stage, seconds)
        case KillReplica():
            os.kill(rng.choice(stage.replicas).pid, signal.SIGKILL)
        case FreezeReplica():
            with stage.frozen(rng.choice(stage.replicas).pid):
                await asyncio.sleep(seconds)
        case StepClock():
            with stage.clocks[deed.of].stepped(rng.choice((1, -1)) * deed.seconds):
                await asyncio.sleep(SETTLE_S + seconds)
            await asyncio.sleep(SETTLE_S)
        case Lines():
            await _on_lines(deed, stage, seconds, rng)
        case _:
            assert_never(deed)


async def _on_store_links(deed: Hole | CutStore | LoseReply | SlowStore, stage: Environment, seconds: float, rng: random.Random) -> None:
    match deed:
        case Hole():
            await hold_links(deed, stage, seconds, rng)
        case CutStore():
            cut_links(deed, stage, rng)
        case LoseReply():
            await lose_reply(stage, rng)
        case SlowStore():
            await slow_links(deed, stage, seconds)
        case _:
            assert_never(deed)


async def _on_lines(deed: Lines, stage: Environment, seconds: float, rng: random.Random) -> None:
    fronts = list(stage.fronts.values())
    chosen = {link for front in fronts for link in front.links if rng.random() < deed.share}

    def select(link: Link) -> bool:
        return link in chosen

    def cut() -> None:
        for front in fronts:
            front.cut(select)

    match deed.how:
        case "cut":
            cut()
        case "tear":
            for link in chosen:
                link.tear()
            await asyncio.sleep(seconds)
        case "orphan":
            for link in chosen:
                link.orphan()
            await asyncio.sleep(seconds)
            cut()
        case "deaf" | "hole" | "slow":
            up = {"deaf": CLEAR, "hole": HELD, "slow": SLOW}[deed.how]
            down = SLOW if deed.how == "slow" else HELD
            with ExitStack() as stack:
                for front in fronts:
                    stack.enter_context(front.spell(select, up=up, down=down))
                await asyncio.sleep(seconds)
        case _:
            assert_never(deed.how)
