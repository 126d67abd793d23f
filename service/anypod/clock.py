"""The only door to time and chance.

Owns both clocks and the source of randomness; everything else is given one. Tests and the simulation give their own.
"""

import asyncio
import random
import time
from typing import Protocol


class Clock(Protocol):
    def now(self) -> float:
        """Monotonic seconds, the event loop's."""

    def wall_ms(self) -> int:
        """Milliseconds since 1970. May be stepped: never subtract two of them to measure a wait."""

    async def sleep(self, seconds: float) -> None: ...


class SystemClock:
    now = staticmethod(time.monotonic)  # asked for every event: the function itself, not a call of it

    def wall_ms(self) -> int:
        return time.time_ns() // 1_000_000

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


def system_random() -> random.Random:
    """Unpredictable: tags, epochs and session ids come from it."""
    return random.SystemRandom()
