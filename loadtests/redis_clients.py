"""What the own connection to Redis gains over the package `redis`: CPU of this process for each command, both in turns in one run.

Owns the comparison. Must not know the product beyond the connection. `python -m loadtests.redis_clients` prints a line for each.

    50 callers, each with one command in flight, as 50 publishers have; SET of 200 bytes, which stands for an append.
"""

import asyncio
import statistics
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, Final

import redis.asyncio as package
import uvloop
from loadtests.bench.store import Redis, find_redis

from anypod.devcluster.ports import LOOPBACK
from anypod.redis_store.wire.connection import Connection, pack

CALLERS: Final = 50
COMMANDS: Final = 200  # of each caller, in each turn
TURNS: Final = 7
VALUE: Final = b"x" * 200

Call = Callable[[int], Awaitable[object]]


async def measure(call: Call) -> float:
    """Microseconds of CPU for each command."""

    async def caller(number: int) -> None:
        for _ in range(COMMANDS):
            await call(number)

    began = time.process_time()
    await asyncio.gather(*map(caller, range(CALLERS)))
    return (time.process_time() - began) / (CALLERS * COMMANDS) * 1e6


async def compare(port: int) -> None:
    _, connection = await asyncio.get_running_loop().create_connection(lambda: Connection(5.0, lambda: None), LOOPBACK, port)
    pooled: Any = package.Redis(host=LOOPBACK, port=port, max_connections=CALLERS)
    single: Any = package.Redis(host=LOOPBACK, port=port, single_connection_client=True)
    contestants: dict[str, Call] = {
        "own connection, all callers on one": lambda number: connection.ask(pack("SET", f"k{number}", VALUE)),
        "redis.asyncio, a pool of connections": lambda number: pooled.execute_command("SET", f"k{number}", VALUE),
        "redis.asyncio, one connection with a lock": lambda number: single.execute_command("SET", f"k{number}", VALUE),
    }
    found: dict[str, list[float]] = {name: [] for name in contestants}
    for _ in range(TURNS):
        for name, call in contestants.items():
            found[name].append(await measure(call))
    connection.abort()
    await pooled.aclose()
    await single.aclose()
    for name, samples in found.items():
        sys.stdout.write(f"{name}: {statistics.median(samples):.1f} µs a command ({min(samples):.1f} to {max(samples):.1f})\n")


def main() -> None:
    program = find_redis()
    assert program is not None, "there is no redis-server"
    with tempfile.TemporaryDirectory() as folder:
        server = Redis(program, Path(folder), 0)
        server.start()
        try:
            uvloop.run(compare(server.port))
        finally:
            server.stop()


if __name__ == "__main__":
    main()
