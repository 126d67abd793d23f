"""What is done to Redis servers and to the lines to them.

Owns how each of these deeds is done, and what the ledger must know of it. Must not know clients, nor of failovers.
"""

import asyncio
import os
import random
import shutil
from contextlib import ExitStack
from typing import Final, assert_never

from tests.chaos.environment import CALLERS, Environment
from tests.chaos.faults import (
    Command,
    CutStore,
    DemoteRedis,
    FillRedis,
    Hole,
    MoveSlots,
    OverflowFeeds,
    RestartRedis,
    SlowStore,
    SpoilKey,
)
from tests.chaos.link import Link
from tests.chaos.network_conditions import CLEAR, HELD, NetworkConditions
from tests.chaos.proxied_redis import ProxiedRedis
from tests.chaos.publish_large import publish_large
from tests.chaos.stores import ClusterStores
from tests.simulation.history import Gone, TailLost
from tests.support.redis_clusters import ClusterNode, wait_for
from tests.support.redis_servers import RedisServer

TAIL_BYTES: Final = (6_000, 60_000)  # of the append-only file: from ten events, of which clients have had some, to some seconds of them
ENDINGS: Final = (b"FLUSHALL", b"$3\r\nDEL\r\n", b"UNLINK", b"RESTORE")
BEGINNING: Final = b"$1\r\np\r\n"  # the field of the metadata that names a session's life: written when it is made, and at a new term
REPLY_S_MAX: Final = 20.0  # somebody publishes all the time
NOBODY_PORT: Final = 1  # no server of these tests listens there
FEED_LIMIT: Final = "pubsub 33554432 8388608 60"  # as Redis has it by itself
LEAST_FEED_LIMIT: Final = "pubsub 1024 0 0"
OVERFLOW_S_MAX: Final = 10.0  # one large event is enough, if it is accepted
FULL_BYTES: Final = 1 << 20  # less than a server holds


Spoiling = Command | FillRedis | DemoteRedis | OverflowFeeds | SpoilKey


# Lines.
async def hold_links(deed: Hole, stage: Environment, seconds: float, rng: random.Random) -> None:
    callers = CALLERS if deed.of == "all" else (rng.choice(CALLERS),)

    def select(link: Link) -> bool:
        return link.caller in callers and (link.is_feed or deed.links == "all")

    gate = stage.some_gate(rng)
    with gate.proxy.spell(select, up=CLEAR if deed.is_one_way else HELD, down=HELD):
        await asyncio.sleep(seconds)


def cut_links(deed: CutStore, stage: Environment, rng: random.Random) -> None:
    callers = CALLERS if deed.of == "all" else (rng.choice(CALLERS),)
    for gate in stage.stores.written:
        gate.proxy.cut(lambda link: link.caller in callers)


async def lose_reply(stage: Environment, rng: random.Random) -> None:
    async with asyncio.timeout(REPLY_S_MAX):
        await stage.home(stage.some_session(rng)).proxy.lose_one_reply()


async def slow_links(deed: SlowStore, stage: Environment, seconds: float) -> None:
    far = NetworkConditions(delay_s=deed.delay_s / 2)
    with ExitStack() as stack:
        for gate in stage.stores.written:
            stack.enter_context(gate.proxy.spell(lambda link: link.caller in CALLERS, up=far, down=far))
        await asyncio.sleep(seconds)


# Servers.
async def spoil(
    deed: Command | FillRedis | DemoteRedis | OverflowFeeds | SpoilKey, stage: Environment, seconds: float, rng: random.Random
) -> None:
    server = stage.some_gate(rng).server
    match deed:
        case Command():
            await asyncio.to_thread(server.command, *deed.words)
        case FillRedis():
            with stage.configured(server, {"maxmemory": FULL_BYTES}, {"maxmemory": 0}):
                await asyncio.sleep(seconds)
        case DemoteRedis():
            server.command("REPLICAOF", "127.0.0.1", NOBODY_PORT)
            await asyncio.sleep(seconds)
            server.command("REPLICAOF", "NO", "ONE")
        case OverflowFeeds():
            await _overflow_feeds(stage, rng)
        case SpoilKey():
            await _spoil_key(deed, stage, seconds, rng)
        case _:
            assert_never(deed)


async def _overflow_feeds(stage: Environment, rng: random.Random) -> None:
    session = stage.some_session(rng)
    server = stage.home(session).server
    before, name = feeds_killed(server), "client-output-buffer-limit"
    with stage.configured(server, {name: LEAST_FEED_LIMIT}, {name: FEED_LIMIT}):
        async with asyncio.timeout(OVERFLOW_S_MAX):
            while feeds_killed(server) == before:
                await publish_large(stage.url_for(session), session, stage.rng)


async def _spoil_key(deed: SpoilKey, stage: Environment, seconds: float, rng: random.Random) -> None:
    session = stage.some_session(rng)
    server, key = stage.home(session).server, stage.journal.keys[session] + deed.letter.encode()
    server.command("DEL", key)
    if deed.is_replaced:
        server.command("LPUSH", key, "this is no session")
        await asyncio.sleep(seconds)
        server.command("DEL", key)


def feeds_killed(server: RedisServer) -> int:
    """How many clients Redis has cut off because of their output buffers."""
    return int(_text(server, "INFO", "stats").split(b"client_output_buffer_limit_disconnections:")[1].split()[0])


async def move_slots(deed: MoveSlots, stage: Environment, rng: random.Random) -> None:
    assert isinstance(stage.stores, ClusterStores)
    cluster = stage.stores.cluster
    for _ in range(deed.count):
        source = stage.home(session := stage.some_session(rng)).server
        slot = source.command("CLUSTER", "KEYSLOT", stage.journal.keys[session])
        assert isinstance(slot, int)
        target = rng.choice([node for node in cluster.primaries if node is not source])
        await asyncio.to_thread(_move_slot, stage.stores, slot, target)
        stage.ledger.settle()  # the files do not tell the order of several moves


def _move_slot(stores: ClusterStores, slot: int, target: ClusterNode) -> None:
    if stores.cluster.owner(slot) is not target:
        stores.cluster.move_slot(slot, target)


# Restarts.
async def restart(deed: RestartRedis, stage: Environment, seconds: float, rng: random.Random) -> None:
    """Nobody writes before it is known what the server has kept."""
    gate = stage.some_gate(rng)
    server = gate.server
    server.kill()
    with stage.gates_shut([gate]):
        stage.ledger.settle()  # all that clients can have seen stands in the file
        match deed.keeps:
            case "everything":
                pass
            case "all but the tail":
                _cut_tail(server, rng)
            case "nothing":
                _wipe(stage, server)
            case _:
                assert_never(deed.keeps)
        await asyncio.sleep(seconds)
        await asyncio.to_thread(server.start)
        await asyncio.to_thread(wait_for, lambda: serves(server), "the server serves again")
        if deed.keeps != "nothing":
            _compare(stage, gate)


def serves(server: RedisServer) -> bool:
    """A node of a cluster waits until it has heard that nobody has taken its place."""
    if b"cluster_enabled:0" in _text(server, "INFO", "cluster"):
        return True
    return b"cluster_state:ok" in _text(server, "CLUSTER", "INFO")


def _text(server: RedisServer, *words: str) -> bytes:
    reply = server.command(*words)
    assert isinstance(reply, bytes)
    return reply


def _cut_tail(server: RedisServer, rng: random.Random) -> None:
    """So that no session loses its beginning, and none that had ended or moved away comes back."""
    aof = server.aof
    written = aof.read_bytes()
    begin = written.find(b"XADD", max(0, *(written.rfind(word) for word in (*ENDINGS, BEGINNING))))
    if begin > 0:  # an event has been written since
        os.truncate(aof, len(written) - min(rng.randint(*TAIL_BYTES), (len(written) - begin) // 4))


def _wipe(stage: Environment, server: RedisServer) -> None:
    for session in list(stage.journal.heads):
        stage.ledger.testify(Gone(stage.now(), session, "Redis has lost it"))
    stage.journal.rewind(server)
    shutil.rmtree(server.folder)
    server.folder.mkdir()


def _compare(stage: Environment, gate: ProxiedRedis) -> None:
    """What the server has kept, with what it had written."""
    journal = stage.journal
    journal.skip_to_end(gate.server)
    for session in [session for session in journal.heads if journal.homes[session] is gate.server]:
        testify(stage, session, journal.head(session))


def testify(stage: Environment, session: str, kept: int) -> None:
    if kept == 0:
        stage.ledger.testify(Gone(stage.now(), session, "Redis has lost it"))
    elif kept < stage.ledger.head(session):
        stage.ledger.testify(TailLost(stage.now(), session, kept))
