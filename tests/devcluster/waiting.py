"""Wait for a condition, and look at processes."""

import asyncio
import os
import time
from collections.abc import Callable
from pathlib import Path

POLL_S = 0.02


def until(is_so: Callable[[], bool], within_s: float, what: str) -> float:
    """Seconds that it took."""
    started = time.monotonic()
    while not is_so():
        assert time.monotonic() - started < within_s, f"{what}: not within {within_s} s"
        time.sleep(POLL_S)
    return time.monotonic() - started


async def until_async(is_so: Callable[[], bool], within_s: float, what: str) -> None:
    loop = asyncio.get_running_loop()
    started = loop.time()
    while not is_so():
        assert loop.time() - started < within_s, f"{what}: not within {within_s} s"
        await asyncio.sleep(POLL_S)


def is_alive(pid: int) -> bool:
    """A process that has ended but was not collected yet is not alive."""
    try:
        status = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False
    return status.rpartition(")")[2].split()[0] not in "ZX"


def kill(pid: int, number: int) -> None:
    os.kill(pid, number)
