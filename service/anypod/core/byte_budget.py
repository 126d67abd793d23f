"""A budget of bytes that many connections share; the oldest holder is evicted when it is spent.

Owns how much each connection holds, and which gives way: the one that has held something for longest, because it has had the longest
chance. Must not know what is held.
"""

from collections import OrderedDict
from typing import Final, Generic, TypeVar

COUNTED_BYTES: Final = 8 << 10  # a holder of less is not counted: nearly all hold less, nearly always
RETRY_MS: Final = 1_000  # for a client that gave way to others

Holder = TypeVar("Holder")


class ByteBudget(Generic[Holder]):
    def __init__(self, bytes_max: int) -> None:
        assert bytes_max > 0
        self.bytes_max: Final = bytes_max
        self._sizes: OrderedDict[Holder, int] = OrderedDict()
        self.bytes = 0

    def note(self, holder: Holder, size: int) -> list[Holder]:
        """It holds so much now; those that must give way, and are not counted any more."""
        self.drop(holder) if size <= COUNTED_BYTES else self._set(holder, size)
        evicted = list[Holder]()
        while self.bytes > self.bytes_max:
            oldest, held = self._sizes.popitem(last=False)
            self.bytes -= held
            evicted.append(oldest)
        return evicted

    def drop(self, holder: Holder) -> None:
        self.bytes -= self._sizes.pop(holder, 0)

    def _set(self, holder: Holder, size: int) -> None:
        self.bytes += size - self._sizes.get(holder, 0)
        self._sizes[holder] = size
