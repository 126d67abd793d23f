"""How often something may happen: permits from a bucket.

Owns the formulas. Must not know the time, chance, or what the permits are for: frames and publishes of a connection, arrivals
at a replica.
"""

from typing import Final

BURST_S: Final = 0.02  # permits that a quiet budget has gathered: an amount of work that delays no client noticeably
SHARE_MIN: Final = 0.05  # no client is kept out for ever
SHARE_CUT: Final = 0.8
SHARE_STEP: Final = 0.02
_ROUNDING_S: Final = 1e-6  # a client that waits exactly as long as it was told is not refused over the last bits of a float


class Rate:
    """What buckets of one kind have in common: each holds up to `burst` permits and gains `rate_per_s` a second.

    A bucket is kept as one number, the moment at which it will be full; 0.0 is a full one. Thousands are kept so.
    """

    __slots__ = ("_burst", "_per_s", "_room_s", "burst_s", "interval_s")

    def __init__(self, rate_per_s: float, burst: float) -> None:
        assert rate_per_s > 0
        assert burst > 0
        self._per_s = rate_per_s
        self.interval_s = 1 / rate_per_s  # in which a bucket gains one
        self.burst_s = burst / rate_per_s  # in which an empty bucket is filled
        self._room_s = (burst - 1) / rate_per_s + _ROUNDING_S  # what may be missing when one is taken
        self._burst = burst

    def take(self, full_at: float, now: float, n: float = 1) -> tuple[float, float]:
        """Take `n` permits: 0 and when the bucket will be full then. Or none: the seconds until they are there, and `full_at` as it was.

        More than `burst` at once are given from a full bucket, which then owes them: a large frame is delayed, not stuck.
        """
        missing_s = full_at - now if full_at > now else 0.0
        if n == 1:
            is_there = missing_s <= self._room_s
            return (0.0, now + missing_s + self.interval_s) if is_there else (missing_s - self._room_s + _ROUNDING_S, full_at)
        wait_s = missing_s + ((min(self._burst, n)) - self._burst) / self._per_s
        if wait_s > _ROUNDING_S:
            return wait_s, full_at
        return 0.0, now + missing_s + n / self._per_s

    def owe(self, full_at: float, now: float, n: float) -> float:
        """When the bucket will be full once `n` are gone from it, whether they were there or not."""
        return (full_at if full_at > now else now) + n * self.interval_s  # noqa: FURB136 - asked for every page and attach

    def owed_s(self, full_at: float, now: float) -> float:
        """Seconds until a bucket that owes is empty; 0: it holds something."""
        return max(0.0, full_at - now - self.burst_s)


class Bucket:
    """One bucket by itself."""

    __slots__ = ("_full_at", "_rate")

    def __init__(self, rate_per_s: float, burst: float) -> None:
        self._rate = Rate(rate_per_s, burst)
        self._full_at = 0.0

    def take(self, now: float, n: float = 1) -> float:
        """Take `n` permits and return 0, or take none and return the seconds until they are there."""
        wait_s, self._full_at = self._rate.take(self._full_at, now, n)
        return wait_s

    def is_full(self, now: float) -> bool:
        return self._full_at <= now


class Budget:
    """Permits that may be given for a moment to come, and a time to retry for callers that get none.

    It is kept as two moments: when the next permit is due, up to BURST_S in the past after a quiet time, and when the last one of
    the refused callers is to retry (the generic cell rate algorithm, ITU-T I.371).
    """

    __slots__ = ("_due_at", "_interval_s", "_promised_at")

    def __init__(self, rate_per_s: float) -> None:
        assert rate_per_s > 0
        self._interval_s = 1 / rate_per_s
        self._due_at = self._promised_at = float("-inf")

    def wait_s(self, now: float, share: float, wait_s_max: float) -> float | None:
        """Take a permit: 0 or the seconds until it holds; None, and none is taken, when that is too long. `share`: of the rate, 0 to 1."""
        due_at = max(self._due_at, now - BURST_S)
        wait_s = due_at - now
        if wait_s > wait_s_max + _ROUNDING_S:
            return None
        self._due_at = due_at + self._interval_s / share
        return wait_s if wait_s > _ROUNDING_S else 0.0

    def hint_s(self, now: float, share: float, wait_s_max: float) -> float:
        """When a client that got none may retry: behind those that wait, and those that were given a time before."""
        self._promised_at = max(self._promised_at, now + wait_s_max) + self._interval_s / share
        return self._promised_at - now


class AdaptiveRate:
    """Which share of its budgets a replica spends: less at once when it is pressed, more again little by little."""

    __slots__ = ("share",)

    def __init__(self) -> None:
        self.share = 1.0

    def note(self, *, is_pressed: bool) -> None:
        """To be told several times a second."""
        self.share = max(SHARE_MIN, self.share * SHARE_CUT) if is_pressed else min(1.0, self.share + SHARE_STEP)
