"""The claims of one session's devices, as the memory server keeps them.

Owns their numbers and how long they are remembered: the twin of `devices.lua`. Must not know subscribers.
"""

from dataclasses import dataclass, field, replace
from typing import Final

CLAIMS_MAX: Final = 10_000  # places remembered in one session; beyond it the oldest claim is forgotten
CLAIMS_MS: Final = 300_000  # longer than any heartbeat's interval, in which each replica asks what it has missed


@dataclass(slots=True)
class Claims:
    """`newest`: the largest number given. Its places are in order of their claims."""

    newest: int = 0
    _numbers: dict[str, int] = field(default_factory=dict)
    _until_ms: int = 0

    def copy(self) -> "Claims":
        return replace(self, _numbers=dict(self._numbers))

    def claim(self, place: str, now_ms: int) -> int:
        if now_ms >= self._until_ms:
            self._numbers.clear()
        self._numbers.pop(place, None)
        self.newest = self._numbers[place] = max(now_ms * 1_000, self.newest + 1)
        if len(self._numbers) > CLAIMS_MAX:
            del self._numbers[next(iter(self._numbers))]
        self._until_ms = now_ms + CLAIMS_MS
        return self.newest

    def of(self, place: str, now_ms: int) -> int:
        return self._numbers.get(place, 0) if now_ms < self._until_ms else 0

    def withdraw(self, place: str, number: int) -> None:
        if self._numbers.get(place) == number:
            del self._numbers[place]
