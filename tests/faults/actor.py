"""The rows of the matrix, carried out on a stage.

Owns how each deed is done, and what the ledger must know of it. Must not know clients, nor which row comes next.
"""

import asyncio
import os
import random
import shutil
import signal
from contextlib import ExitStack
from typing import Final, assert_never

from tests.faults.deeds import (
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
    OverflowFeeds,
    RestartRedis,
    SlowStore,
    SpoilKey,
    StepClock,
)
from tests.faults.link import Link
from tests.faults.proxy import Proxy, everything, feeds
from tests.faults.stage import Stage, configure, impatient
from tests.faults.weather import CLEAR, HELD, SLOW, Weather
from tests.redis_clusters import role, wait_for
from tests.servers import LOOPBACK, RedisServer
from tests.simulation.history import Gone, TailLost

TAIL_BYTES: Final = (500, 60_000)  # of the append-only file: from one event's writes to some seconds of them
REPLY_S_MAX: Final = 20.0  # somebody publishes all the time
NOBODY_PORT: Final = 1  # no server of these tests listens there
FEED_LIMIT: Final = "pubsub 33554432 8388608 60"  # as Redis has it by itself
OVERFLOW_S_MAX: Final = 10.0  # one large event is enough, if it is accepted
FULL_BYTES: Final = 1 << 20  # less than a server holds


async def perform(deed: Deed, stage: Stage, seconds: float, rng: random.Random) -> None:
    """Returns when it is over; what follows from it may not be."""
    match deed:
        case Hole() | CutStore() | LoseReply() | SlowStore():
            await _on_store_links(deed, stage, seconds, rng)
        case FreezeRedis():
            with stage.frozen(stage.redis.pid):
                await asyncio.sleep(seconds)
        case RestartRedis():
            await _restart(deed, stage, seconds, rng)
        case Command():
            await asyncio.to_thread(stage.redis.command, *deed.words)
        case FillRedis() | DemoteRedis() | OverflowFeeds() | SpoilKey():
            await _spoil_redis(deed, stage, seconds, rng)
        case KillReplica():
            os.kill(rng.choice(stage.replicas).pid, signal.SIGKILL)
        case FreezeReplica():
            with stage.frozen(rng.choice(stage.replicas).pid):
                await asyncio.sleep(seconds)
        case Lines():
            await _on_lines(deed, stage, seconds, rng)
        case FailOver():
            await _fail_over(deed, stage, seconds)
        case StepClock():
            raise AssertionError("a row that cannot be carried out is skipped")
        case _:
            assert_never(deed)


async def _on_store_links(deed: Hole | CutStore | LoseReply | SlowStore, stage: Stage, seconds: float, rng: random.Random) -> None:
    match deed:
        case Hole():
            down = HELD
            up = CLEAR if deed.is_one_way else HELD
            select = feeds if deed.links == "feed" else everything
            with ExitStack() as stack:
                for store in _some(stage.stores, deed.of, rng):
                    stack.enter_context(store.spell(select, up=up, down=down))
                await asyncio.sleep(seconds)
        case CutStore():
            for store in _some(stage.stores, deed.of, rng):
                store.cut(everything)
        case LoseReply():
            async with asyncio.timeout(REPLY_S_MAX):
                await rng.choice(stage.stores).lose_one_reply()
        case SlowStore():
            far = Weather(delay_s=deed.delay_s / 2)
            with ExitStack() as stack:
                for store in stage.stores:
                    stack.enter_context(store.spell(everything, up=far, down=far))
                await asyncio.sleep(seconds)
        case _:
            assert_never(deed)


async def _spoil_redis(deed: FillRedis | DemoteRedis | OverflowFeeds | SpoilKey, stage: Stage, seconds: float, rng: random.Random) -> None:
    match deed:
        case FillRedis():
            with stage.configured("maxmemory", FULL_BYTES, 0):
                await asyncio.sleep(seconds)
        case DemoteRedis():
            stage.redis.command("REPLICAOF", "127.0.0.1", NOBODY_PORT)
            await asyncio.sleep(seconds)
            stage.redis.command("REPLICAOF", "NO", "ONE")
        case OverflowFeeds():
            before = await stage.feeds_killed()
            with stage.configured("client-output-buffer-limit", "pubsub 1024 0 0", FEED_LIMIT):
                async with asyncio.timeout(OVERFLOW_S_MAX):
                    while await stage.feeds_killed() == before:
                        await stage.shout(rng.choice(sorted(stage.journal.heads)))
        case SpoilKey():
            key = stage.journal.keys[rng.choice(sorted(stage.journal.heads))] + deed.letter.encode()
            stage.redis.command("DEL", key)
            if deed.is_replaced:
                stage.redis.command("LPUSH", key, "this is no session")
                await asyncio.sleep(seconds)
                stage.redis.command("DEL", key)
        case _:
            assert_never(deed)


async def _restart(deed: RestartRedis, stage: Stage, seconds: float, rng: random.Random) -> None:
    """Nobody writes before it is known what the server has kept."""
    stage.redis.kill()
    with stage.gates_shut():
        stage.ledger.settle()  # all that clients can have seen stands in the file
        match deed.keeps:
            case "everything":
                pass
            case "all but the tail":
                aof = stage.redis.aof
                written = aof.read_bytes()
                events = len(written) - written.find(b"XADD")
                os.truncate(aof, len(written) - min(rng.randint(*TAIL_BYTES), events // 4))  # so that no session loses its beginning
            case "nothing":
                _wipe(stage)
            case _:
                assert_never(deed.keeps)
        await asyncio.sleep(seconds)
        await asyncio.to_thread(stage.redis.start)
        if deed.keeps != "nothing":
            _compare(stage)


def _wipe(stage: Stage) -> None:
    for session in list(stage.journal.heads):
        stage.ledger.testify(Gone(stage.now(), session, "Redis has lost it"))
    stage.journal.rewind()
    shutil.rmtree(stage.redis.folder)
    stage.redis.folder.mkdir()


def _compare(stage: Stage) -> None:
    """What the server has kept, with what it had written."""
    stage.journal.skip_to_end()
    for session in list(stage.journal.heads):
        _testify(stage, session, stage.journal.head(session))


def _testify(stage: Stage, session: str, kept: int) -> None:
    if kept == 0:
        stage.ledger.testify(Gone(stage.now(), session, "Redis has lost it"))
    elif kept < stage.ledger.head(session):
        stage.ledger.testify(TailLost(stage.now(), session, kept))


async def _fail_over(deed: FailOver, stage: Stage, seconds: float) -> None:
    """The primary dies; when this returns, it follows the new one and the next failover may come."""
    assert stage.watched is not None
    first, (second,) = stage.redis, stage.watched.others(stage.redis)
    if deed.is_lagging:
        second.command("REPLICAOF", LOOPBACK, NOBODY_PORT)  # Sentinels mend that, but not as soon
        await asyncio.sleep(seconds)
    first.kill()
    stage.ledger.settle()
    with stage.ledger.waiting(), impatient(stage.watched):
        await asyncio.to_thread(wait_for, lambda: role(second) == b"master", "the replica is promoted")
        stage.redis = second
        stage.journal.turn_to(second)
        for session in list(stage.journal.heads):
            _testify(stage, session, stage.journal.shared_head(session))
    await asyncio.to_thread(first.start)
    configure(first)
    first.command("REPLICAOF", LOOPBACK, second.port)  # as Sentinels would, but not at once
    await asyncio.to_thread(wait_for, lambda: _has_synced(first), "the old primary follows, with the data of the new one")


def _has_synced(follower: RedisServer) -> bool:
    """Before, it still has what it had: were it promoted then, a history would come back that everybody was told is lost."""
    found = follower.command("ROLE")
    return isinstance(found, list) and found[0] == b"slave" and found[3] == b"connected"


async def _on_lines(deed: Lines, stage: Stage, seconds: float, rng: random.Random) -> None:
    front = stage.front
    chosen = {link for link in front.links if rng.random() < deed.share}

    def select(link: Link) -> bool:
        return link in chosen

    match deed.how:
        case "cut":
            front.cut(select)
        case "tear":
            for link in chosen:
                link.tear()
            await asyncio.sleep(seconds)
        case "orphan":
            for link in chosen:
                link.orphan()
            await asyncio.sleep(seconds)
            front.cut(select)
        case "deaf" | "hole" | "slow":
            up = {"deaf": CLEAR, "hole": HELD, "slow": SLOW}[deed.how]
            down = SLOW if deed.how == "slow" else HELD
            with front.spell(select, up=up, down=down):
                await asyncio.sleep(seconds)
        case _:
            assert_never(deed.how)


def _some(stores: list[Proxy], of: str, rng: random.Random) -> list[Proxy]:
    return stores if of == "all" else [rng.choice(stores)]
