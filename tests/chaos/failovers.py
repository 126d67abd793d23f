"""Failovers by Sentinels, and the two primaries of a partition.

Owns their course, and what the ledger must know of it: who was written to, from when on, and what of it was lost. Must not know
clients. A session is on one side of a partition, so that its log is one line of events even while there are two primaries.
"""

import asyncio
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Final

from tests.chaos.environment import CALLERS, LONER, POLL_S, Environment, Side, side_of
from tests.chaos.faults import FailOver
from tests.chaos.network_conditions import HELD
from tests.chaos.proxied_redis import ProxiedRedis
from tests.chaos.proxy import called_by, everything
from tests.chaos.sentinel_setup import PATIENT_MS, follows, is_primary
from tests.chaos.servers import testify
from tests.chaos.stores import SentinelStores
from tests.support.redis_clusters import DOWN_AFTER_MS, wait_for
from tests.support.redis_servers import LOOPBACK

PEERS: Final = ("replication", "sentinel")
NEAR: Final = tuple(caller for caller in CALLERS if caller != LONER)
RESUME_S_MAX: Final = 20.0  # nobody waits longer for the first event: what keeps it is another fault


async def fail_over(deed: FailOver, stage: Environment, seconds: float) -> None:
    """The primary dies; when this returns, it follows the new one and the next failover may come."""
    stores, first, second = _pair(stage)
    await asyncio.to_thread(wait_for, lambda: follows(second.server), "the follower has what the primary has")
    with ExitStack() as stack:
        if deed.is_lagging:
            stack.enter_context(first.proxy.spell(called_by("replication"), up=HELD, down=HELD))
            await asyncio.sleep(seconds)
        began = stage.now()
        first.server.kill()
        first.proxy.cut(everything)  # with whatever was on its way
    stage.ledger.settle()
    stage.ledger.logged_at.clear()
    with stage.ledger.waiting(), _impatient(stores):
        await _promotion(stage, second)
        _turn(stage, second, list(stage.journal.heads))
    await _resumption(stage, began, list(stage.journal.heads))
    await asyncio.to_thread(first.server.start)
    await _demote(first, second)


async def sever(stage: Environment, seconds: float) -> None:
    """The far side keeps the old primary, and is told of nothing; the near side gets a new one."""
    stores, first, second = _pair(stage)
    await asyncio.to_thread(wait_for, lambda: follows(second.server), "the follower has what the primary has")
    with stage.parted(), _severed(stores, first, second):
        began, near = stage.now(), _sessions(stage, "near")
        for caller in NEAR:  # what it has said already is done before this
            first.server.command("CLIENT", "KILL", "USER", caller)
        stage.ledger.settle()
        stage.ledger.logged_at.clear()
        with stage.ledger.waiting(), _impatient(stores):
            await _promotion(stage, second)
            _turn(stage, second, near)
        await _resumption(stage, began, near)
        await asyncio.sleep(seconds)
        with stage.gates_shut([first]):  # nothing is written there any more, nor will be what is on its way
            first.server.command("CLIENT", "KILL", "USER", LONER)
            stage.ledger.settle()
            with stage.ledger.waiting():
                _turn(stage, second, _sessions(stage, "far"))
            await _demote(first, second)


@contextmanager
def _severed(stores: SentinelStores, first: ProxiedRedis, second: ProxiedRedis) -> Iterator[None]:
    with ExitStack() as stack:
        stack.enter_context(first.proxy.spell(called_by(*NEAR, *PEERS), up=HELD, down=HELD))
        stack.enter_context(second.proxy.spell(called_by(LONER), up=HELD, down=HELD))
        for way in stores.ways[LONER]:
            stack.enter_context(way.spell(everything, up=HELD, down=HELD))
        yield


def _sessions(stage: Environment, side: Side) -> list[str]:
    return [session for session in stage.journal.heads if side_of(session) == side]


def _pair(stage: Environment) -> tuple[SentinelStores, ProxiedRedis, ProxiedRedis]:
    """The primary and its follower."""
    assert isinstance(stage.stores, SentinelStores)
    return stage.stores, stage.stores.written[0], stage.stores.follower


async def _promotion(stage: Environment, second: ProxiedRedis) -> None:
    await asyncio.to_thread(wait_for, lambda: is_primary(second.server), "the follower is promoted")
    stage.stores.written = [second]
    stage.journal.leaders = [second.server]


def _turn(stage: Environment, second: ProxiedRedis, sessions: Iterable[str]) -> None:
    """These are written to the new primary from now on: what it lacks is lost."""
    for session in sessions:
        stage.journal.turn_to(second.server, [session])
        testify(stage, session, stage.journal.shared_head(session))


async def _resumption(stage: Environment, began: float, sessions: Sequence[str]) -> None:
    """Until something is written again, for the report."""
    ends_at = stage.now() + RESUME_S_MAX
    while stage.now() < ends_at:
        stage.ledger.settle()
        if written := [stage.ledger.logged_at[session] for session in sessions if session in stage.ledger.logged_at]:
            stage.resumes.append(min(written) - began)
            return
        await asyncio.sleep(POLL_S)


async def _demote(first: ProxiedRedis, second: ProxiedRedis) -> None:
    """As Sentinels would, but not at once."""
    first.server.command("REPLICAOF", LOOPBACK, second.port)
    await asyncio.to_thread(wait_for, lambda: follows(first.server), "the old primary follows, with the data of the new one")


@contextmanager
def _impatient(stores: SentinelStores) -> Iterator[None]:
    """Sentinels call a primary dead after a second. Otherwise they do not."""
    stores.bear(DOWN_AFTER_MS)
    try:
        yield
    finally:
        stores.bear(PATIENT_MS)
