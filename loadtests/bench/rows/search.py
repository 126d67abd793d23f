"""The highest rate that is still good.

Owns the search: outward from a first guess until there is a good and a bad rate, then between them. Must not know what is good.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final, Generic, TypeVar

from loadtests.bench.connection import LoadError

STEP: Final = 1.5  # outward
NEAR: Final = 1.08  # a good and a bad rate as close as this: the good one is the answer
RATE_MIN: Final = 50.0
RATE_MAX: Final = 60_000.0
TRIES: Final = 2  # a rate is bad when it was bad twice: a hiccup of the machine is not the server's

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Found(Generic[T]):
    rate: float
    result: T


async def highest_good(probe: Callable[[float], Awaitable[T]], is_good: Callable[[T], bool], *, first: float) -> Found[T]:
    """Raises LoadError when even the lowest rate is bad."""
    good: Found[T] | None = None
    bad = RATE_MAX
    rate = first
    while good is None or (bad / good.rate > NEAR and good.rate < RATE_MAX):
        result = await _tried(probe, is_good, rate)
        if is_good(result):
            good = Found(rate, result)
        else:
            bad = rate
        rate = _next(good, bad)
        if rate < RATE_MIN:
            raise LoadError(f"not even {RATE_MIN:g} a second are good")
    return good


async def _tried(probe: Callable[[float], Awaitable[T]], is_good: Callable[[T], bool], rate: float) -> T:
    for _ in range(TRIES - 1):
        result = await probe(rate)
        if is_good(result):
            return result
    return await probe(rate)


def _next(good: "Found[T] | None", bad: float) -> float:
    if good is None:
        return bad / STEP
    if bad == RATE_MAX:
        return min(good.rate * STEP, RATE_MAX)
    return float((good.rate * bad) ** 0.5)
