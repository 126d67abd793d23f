"""Floods against a replica of its own: its memory stays, nothing of them is left, and an honest client is served amid them."""

import asyncio
import contextlib
import re
import time
import urllib.request
from collections.abc import Iterator, Sequence
from itertools import product
from pathlib import Path
from typing import Final

import pytest
from tests.fast_transport.raw import INIT, RawClient, upgrade
from tests.security.floods import FLOODS, SESSIONS
from tests.support.replica_process import Replica, credential
from tests.support.waiting import until

AT_ONCE: Final = 25
ROUND: Final = 80  # connections of each kind; none says what another one has said
ROUNDS_BEFORE: Final = 2  # caches fill, code is imported, and the allocator has seen the worst
PAGE_BYTES: Final = 4_096
GROWTH_BYTES_MAX: Final = 16 << 20  # by two rounds more: the allocator's slack, not five KiB for each connection
SILENCE_S: Final = 0.02
QUIET_S_MAX: Final = 30.0  # heads that never come are waited for
HONEST: Final = credential("acme", "bob")
HONEST_S_MAX: Final = 5.0  # the machine may be loaded


@pytest.fixture(params=["lean", "portable"])
def replica(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Replica]:
    settings = {
        "store": "memory",
        "transport": request.param,
        "log_level": "WARNING",
        "events_per_session_max": "200",  # the log's own growth is not what is looked for
        "sessions_per_subject_max": str(SESSIONS + 10),
    }
    made = Replica(request.param, settings, tmp_path)
    made.start()
    yield made
    made.kill()


def memory(replica: Replica) -> int:
    return int(Path(f"/proc/{replica.pid}/statm").read_text().split()[1]) * PAGE_BYTES


def attached(replica: Replica) -> int:
    with urllib.request.urlopen(f"{replica.admin_url}/metrics") as response:
        found = re.search(r"^anypod_connections (\d+)", response.read().decode(), re.MULTILINE)
    assert found is not None
    return int(found[1])


async def assail(port: int, pieces: Sequence[bytes]) -> None:
    """One connection of a flood: it says its piece, hears a little, and goes without a word."""
    with contextlib.suppress(ConnectionError):  # the replica was quicker
        async with await RawClient.connect(port) as client:
            for piece in pieces:
                client.send(piece)
                await client.until_silent(SILENCE_S)


async def flood(port: int, name: str, first: int) -> None:
    permits = asyncio.Semaphore(AT_ONCE)

    async def one(number: int) -> None:
        async with permits:
            await assail(port, FLOODS[name](number))

    await asyncio.gather(*(one(number) for number in range(first, first + ROUND)))


async def serve_honest(replica: Replica) -> float:
    """Seconds until an honest client is up to date."""
    since = time.monotonic()
    async with await RawClient.connect(replica.port) as client:
        client.send(upgrade(HONEST, "/v1/sessions/honest/ws"))
        await client.head()
        client.send(INIT)
        await client.until("sync.done")
    return time.monotonic() - since


async def settled(replica: Replica) -> int:
    """Its memory once nobody is attached any more."""
    await until(lambda: attached(replica) == 0, "nobody is attached any more", QUIET_S_MAX)
    return memory(replica)


@pytest.mark.timeout(240)
async def test_floods_neither_grow_a_replica_nor_keep_it_from_others(replica: Replica) -> None:
    for number, name in product(range(ROUNDS_BEFORE), FLOODS):
        await flood(replica.port, name, number * ROUND)
    before, grown = await settled(replica), dict[str, int]()
    for number, name in product(range(ROUNDS_BEFORE, ROUNDS_BEFORE + 2), FLOODS):
        flooding = asyncio.create_task(flood(replica.port, name, number * ROUND))
        assert await serve_honest(replica) < HONEST_S_MAX, name
        await flooding
        grown[f"{name} {number}"] = (memory(replica) - before) >> 10
    assert await settled(replica) - before < GROWTH_BYTES_MAX, f"KiB more, after each: {grown}"
    assert replica.is_running
    assert not replica.failures()
