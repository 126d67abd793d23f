"""The two streams of a session: durable events and deltas.

Owns which entries are kept, the parts that are open or have ended lately, and the marks `folded` and `oldest`.
Must not know ids, fences, cursors or who may write.
"""

from bisect import bisect_left
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from heapq import merge
from itertools import islice
from typing import Final, NamedTuple

COMPLETED_MAX: Final = 512  # ended parts not folded yet; beyond it the two oldest count as one, folded with the younger

PartName = tuple[str, str]  # the turn or "", and the part


class StreamEntry(NamedTuple):
    """`at_ms`: when the log took it, by the server's clock."""

    seq: int
    tag: int
    frame: bytes
    at_ms: int


class Part(NamedTuple):
    """Which seqs the deltas of an open part span, when the last one came, and its author."""

    first: int
    last: int
    last_ms: int
    author: bytes


class Completed(NamedTuple):
    """A part that has ended but whose deltas are still kept. Those that ended at once without an event of their own count as one."""

    first: int
    ended_ms: int


@dataclass(slots=True)
class Streams:
    durable: list[StreamEntry] = field(default_factory=list)
    deltas: list[StreamEntry] = field(default_factory=list)
    open: dict[PartName, Part] = field(default_factory=dict)
    completed: list[Completed] = field(default_factory=list)
    folded: int = 0
    oldest: int = 1
    size: int = 0

    def copy(self) -> "Streams":
        return Streams(list(self.durable), list(self.deltas), dict(self.open), list(self.completed), self.folded, self.oldest, self.size)

    def add_durable(self, entry: StreamEntry) -> None:
        self.durable.append(entry)
        self.size += len(entry.frame)

    def add_delta(self, entry: StreamEntry, name: PartName, author: bytes) -> None:
        held = self.open.get(name)
        self.open[name] = Part(held.first if held else entry.seq, entry.seq, entry.at_ms, held.author if held else author)
        self.deltas.append(entry)
        self.size += len(entry.frame)

    def end_part(self, name: PartName, seq: int, now_ms: int) -> tuple[int, int]:
        """The span of the part's deltas; of a part that had none, the seq of the event that ends it."""
        held = self.open.pop(name, None)
        if held is None:
            return seq, seq
        self._complete(Completed(held.first, now_ms))
        return held.first, held.last

    def end_parts(self, is_over: Callable[[PartName, Part], bool], now_ms: int) -> None:
        """Parts that no event ends."""
        gone = [name for name, part in self.open.items() if is_over(name, part)]
        if gone:
            self._complete(Completed(min(self.open.pop(name).first for name in gone), now_ms))

    def _complete(self, item: Completed) -> None:
        self.completed.append(item)
        if len(self.completed) > COMPLETED_MAX:
            one, two = self.completed[:2]
            self.completed[:2] = [Completed(min(one.first, two.first), max(one.ended_ms, two.ended_ms))]

    def fold(self, ended_before_ms: int, head: int) -> None:
        """Forget the deltas below the oldest part that is open or ended lately."""
        self.completed = [part for part in self.completed if part.ended_ms > ended_before_ms]
        firsts = [part.first for part in self.open.values()] + [part.first for part in self.completed]
        bound = min(firsts, default=head + 1)
        if (cut := _index(self.deltas, bound)) > 0:
            self.folded = max(self.folded, self.deltas[cut - 1].seq)
            self._forget(self.deltas, cut)

    def trim(self, keep: int | None, until_ms: int | None) -> None:
        """Forget durable events beyond `keep` and those that were there by then, and the deltas among them."""
        cut = 0 if keep is None else max(0, len(self.durable) - keep)
        if until_ms is not None:
            while cut < len(self.durable) and self.durable[cut].at_ms <= until_ms:
                cut += 1
        if cut > 0:
            self.oldest = self.durable[cut - 1].seq + 1
            self._forget(self.durable, cut)
            self._forget(self.deltas, _index(self.deltas, self.oldest))

    def _forget(self, entries: list[StreamEntry], count: int) -> None:
        self.size -= sum(len(entry.frame) for entry in entries[:count])
        del entries[:count]

    def visible_deltas(self, *, is_folded: bool, head: int) -> tuple[int, int]:
        """From which seq on a reader gets deltas, and up to which they may be missing for it."""
        if not is_folded:
            return 0, self.folded
        bound = min((part.first for part in self.open.values()), default=head + 1)
        cut = _index(self.deltas, bound)
        return bound, max(self.folded, self.deltas[cut - 1].seq if cut > 0 else 0)

    def between(self, after: int, deltas_from: int, limit: int) -> Sequence[StreamEntry]:
        """At most `limit` entries after seq `after`, without the deltas before `deltas_from`."""
        durable = islice(self.durable, _index(self.durable, after + 1), None)
        deltas = islice(self.deltas, _index(self.deltas, max(after + 1, deltas_from)), None)
        return list(islice(merge(durable, deltas, key=_seq), limit))

    def before(self, seq: int, limit: int) -> Sequence[StreamEntry]:
        """The last `limit` durable entries before `seq`, oldest first."""
        end = _index(self.durable, seq)
        return self.durable[max(0, end - limit) : end]

    def tag_at(self, seq: int) -> int | None:
        for entries in (self.durable, self.deltas):
            index = _index(entries, seq)
            if index < len(entries) and entries[index].seq == seq:
                return entries[index].tag
        return None


def _seq(entry: StreamEntry) -> int:
    return entry.seq


def _index(entries: Sequence[StreamEntry], seq: int) -> int:
    """Where the entries from `seq` on begin."""
    return bisect_left(entries, seq, key=_seq)
