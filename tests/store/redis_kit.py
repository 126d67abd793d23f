"""What the tests of the store on Redis share: stores with options, streams of events, and the check that each came once."""

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from tests.store.kit import (
    Ear,
    event,
    ids_of,
    log_of,
    send,
    seq_of,
)
from tests.support.options import redis_options_of
from tests.support.redis_servers import RedisServer

from anypod.clock import SystemClock, system_random
from anypod.core.errors import AnypodError
from anypod.core.identity import SessionKey
from anypod.redis_store import RedisStore
from anypod.store import Store

# Silence is soon noticed; and a link is made anew well before whoever reads gives up.
BRISK: dict[str, Any] = {"probe_s": 0.1, "probe_limit_s": 0.8, "reply_s": 0.8, "append_wait_s": 30.0, "backoff_s_max": 0.2}


@asynccontextmanager
async def opened(url: str, ear: Ear | None = None, **options: Any) -> AsyncIterator[RedisStore]:
    store = RedisStore(redis_options_of(url, **options), SystemClock(), system_random())
    await store.open(ear or Ear())
    try:
        yield store
    finally:
        await store.close()


async def check_exactly_once(store: Store, key: SessionKey, sent: dict[str, Any]) -> None:
    """Whatever was acknowledged stands in the log where the receipt says, and nothing stands there twice."""
    frames = await log_of(store, key)
    names = await ids_of(store, key)
    assert [seq_of(frame) for frame in frames] == list(range(1, len(frames) + 1))
    assert len(names) == len(set(names)), "an event is there twice"
    for name, result in sent.items():
        if not isinstance(result, AnypodError):
            assert names[result[0].seq - 1] == name, "an acknowledged event is not there"


async def stream(store: Store, key: SessionKey, count: int, *, first: int = 0) -> dict[str, Any]:
    """Publish so many events, a few in each turn of the loop; what became of each."""
    outcomes = {}
    for number in range(first, first + count):
        outcomes[f"e{number}"] = send(store, key, event(f"e{number}"))
        if number % 5 == 0:
            await asyncio.sleep(0)
    return dict(zip(outcomes, await asyncio.gather(*outcomes.values()), strict=True))


async def holds(condition: bool) -> bool:
    return condition


def calls_of(server: RedisServer, command: str) -> int:
    """How often the server was given a command."""
    stats = server.command("INFO", "commandstats")
    assert isinstance(stats, bytes)
    found = re.search(rb"cmdstat_%b:calls=(\d+)" % command.encode(), stats)
    return int(found[1]) if found else 0


def number_of(reply: object) -> int:
    assert isinstance(reply, int)
    return reply
