"""Backpressure of a replica: the bytes that its subscribers have not taken yet, within one budget.

Owns how much each subscriber holds, and how much one of them may hold now: a *dynamic threshold*, as in switches with shared memory
(Choudhury and Hahne, 1998). Each may hold as much as is left of the budget: the fuller it is the sooner subscribers read on from the log,
and it never gets full as long as what is handed over at once fits in its share. Must not know transports, nor what happens to a subscriber.
"""

from anypod.hub.session import Subscriber


class OutboxBudget:
    def __init__(self, bytes_max: int) -> None:
        assert bytes_max > 0
        self._bytes_max = bytes_max
        self._sizes: dict[Subscriber, int] = {}
        self.bytes = 0

    @property
    def room(self) -> int:
        """How much one subscriber may hold now."""
        return max(0, self._bytes_max - self.bytes)

    def note(self, subscriber: Subscriber, size: int) -> None:
        self.bytes += size - self._sizes.get(subscriber, 0)
        self._sizes[subscriber] = size

    def drop(self, subscriber: Subscriber) -> None:
        self.bytes -= self._sizes.pop(subscriber, 0)

    def overdrawn_by(self) -> Subscriber | None:
        """The subscriber that holds most, when all together hold more than there is; of several the one that has for longest."""
        if self.bytes <= self._bytes_max:
            return None
        return max(self._sizes, key=self._sizes.__getitem__)
