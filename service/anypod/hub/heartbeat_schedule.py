"""The heartbeat schedule: every subscriber, attached or about to be, in one of the slots of the heartbeat's interval.

Owns the slots and which one is due. Must not know what a turn is for. A subscriber that is discarded is held by nothing here.
"""

from collections.abc import Iterator, Sequence
from itertools import chain
from typing import Final

from anypod.hub.session import Subscriber

TURNS_PER_S: Final = 5  # a slice of the connections each time, so that heartbeats are spread over their interval


class HeartbeatSchedule:
    """`slots`: turns in a round, an interval. Dicts, because they keep the order of arrival and forget one of thousands at once."""

    __slots__ = ("_came", "_next", "_slots")

    def __init__(self, slots: int) -> None:
        assert slots > 0
        self._slots: list[dict[Subscriber, None]] = [{} for _ in range(slots)]
        self._next = 0
        self._came = 0  # since the last turn

    def __len__(self) -> int:
        return sum(map(len, self._slots))

    def __iter__(self) -> Iterator[Subscriber]:
        return chain.from_iterable(self._slots)

    def __contains__(self, subscriber: Subscriber) -> bool:
        return subscriber in self._slots[subscriber.slot]

    @property
    def slots(self) -> int:
        return len(self._slots)

    def add(self, subscriber: Subscriber) -> None:
        """Its first turn comes a whole round from now. Of many added between two turns each has it a little sooner than the one
        before, so that the turns of a storm's arrivals are as evenly spread as all others."""
        subscriber.slot = (self._next - 1 - self._came) % len(self._slots)
        self._came += 1
        self._slots[subscriber.slot][subscriber] = None

    def discard(self, subscriber: Subscriber) -> None:
        self._slots[subscriber.slot].pop(subscriber, None)

    def turn(self) -> Sequence[Subscriber]:
        """Whose turn it is."""
        slot, self._came = self._slots[self._next], 0
        self._next = (self._next + 1) % len(self._slots)
        return list(slot)
