"""How often something may happen: permits from a bucket.

Owns the formula. Must not know the time, chance, or what the permits are for: frames, bytes and pings of a connection,
publishes and creations of a subject.
"""

from collections import OrderedDict
from typing import Final

_ROUNDING_S: Final = 1e-6  # who waits exactly as long as told is not refused over the last bits of a float


class Bucket:
    """Holds up to `burst` permits and gains `rate_per_s` a second. It is kept as the one moment at which it will be full."""

    __slots__ = ("_burst", "_full_at_s", "_rate_per_s")

    def __init__(self, rate_per_s: float, burst: float) -> None:
        assert rate_per_s > 0
        assert burst > 0
        self._rate_per_s = rate_per_s
        self._burst = burst
        self._full_at_s = 0.0

    def take(self, now: float, n: float = 1) -> float:
        """Take `n` permits and return 0, or take none and return the seconds until they are there.

        More than `burst` at once are given from a full bucket, which then owes them: a large frame is delayed, not stuck.
        """
        missing_s = max(self._full_at_s - now, 0.0)
        wait_s = missing_s + (min(n, self._burst) - self._burst) / self._rate_per_s
        if wait_s > _ROUNDING_S:
            return wait_s
        self._full_at_s = now + missing_s + n / self._rate_per_s
        return 0.0

    def is_full(self, now: float) -> bool:
        return self._full_at_s <= now


class Buckets:
    """One bucket a key, for at most `keys_max` keys: beyond that the one unused for longest is forgotten, and so full again."""

    __slots__ = ("_buckets", "_burst", "_keys_max", "_rate_per_s")

    def __init__(self, rate_per_s: float, burst: float, *, keys_max: int) -> None:
        assert keys_max > 0
        self._rate_per_s = rate_per_s
        self._burst = burst
        self._keys_max = keys_max
        self._buckets: OrderedDict[object, Bucket] = OrderedDict()

    def __len__(self) -> int:
        return len(self._buckets)

    def take(self, key: object, now: float, n: float = 1) -> float:
        """As `Bucket.take`, from the bucket of `key`."""
        bucket = self._buckets.get(key)
        if bucket is None:
            bucket = self._buckets[key] = Bucket(self._rate_per_s, self._burst)
            if len(self._buckets) > self._keys_max:
                self._buckets.popitem(last=False)
        else:
            self._buckets.move_to_end(key)
        return bucket.take(now, n)
