"""The two streams of a session: durable events and deltas.

Owns which entries are kept, the parts that are open or lately completed, and the marks `folded` and `oldest`.
Must not know ids, fences, cursors or who may write.
"""

import re
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass, field
from heapq import merge
from itertools import islice
from typing import Final, NamedTuple

COMPLETED_MAX: Final = 512  # completed parts not folded yet; beyond it the two oldest count as one, folded with the younger

_PUBLISHED = re.compile(rb',"ts":(\d+)')


class Entry(NamedTuple):
    seq: int
    tag: int
    frame: bytes

    @property
    def published_ms(self) -> int:
        match = _PUBLISHED.search(self.frame)  # nothing before it can look like it: a quote within a string is escaped
        assert match is not None
        return int(match[1])


class Part(NamedTuple):
    """Which seqs the deltas of an open part span."""

    first: int
    last: int


class Completed(NamedTuple):
    """A part that has ended but whose deltas are still kept."""

    first: int
    ended_ms: int


@dataclass(slots=True)
class Streams:
    durable: list[Entry] = field(default_factory=list)
    deltas: list[Entry] = field(default_factory=list)
    open: dict[tuple[str, str], Part] = field(default_factory=dict)
    completed: list[Completed] = field(default_factory=list)
    folded: int = 0
    oldest: int = 1
    size: int = 0

    def copy(self) -> "Streams":
        return Streams(list(self.durable), list(self.deltas), dict(self.open), list(self.completed), self.folded, self.oldest, self.size)

    def add_durable(self, entry: Entry) -> None:
        self.durable.append(entry)
        self.size += len(entry.frame)

    def add_delta(self, entry: Entry, turn: str | None, part: str | None) -> None:
        assert part is not None
        key = (turn or "", part)
        span = self.open.get(key, Part(entry.seq, entry.seq))
        self.open[key] = Part(span.first, entry.seq)
        self.deltas.append(entry)
        self.size += len(entry.frame)

    def end_part(self, turn: str | None, part: str, seq: int, now_ms: int) -> Part:
        """The span of the part's deltas; of a part that had none, the seq of the event that ends it."""
        span = self.open.pop((turn or "", part), None)
        if span is None:
            return Part(seq, seq)
        self.completed.append(Completed(span.first, now_ms))
        if len(self.completed) > COMPLETED_MAX:
            one, two = self.completed[:2]
            self.completed[:2] = [Completed(min(one.first, two.first), max(one.ended_ms, two.ended_ms))]
        return span

    def fold(self, ended_before_ms: int, head: int) -> None:
        """Forget the deltas below the oldest part that is open or ended lately."""
        self.completed = [part for part in self.completed if part.ended_ms > ended_before_ms]
        firsts = [part.first for part in self.open.values()] + [part.first for part in self.completed]
        bound = min(firsts, default=head + 1)
        if (cut := _index(self.deltas, bound)) > 0:
            self.folded = max(self.folded, self.deltas[cut - 1].seq)
            self._forget(self.deltas, cut)

    def trim(self, keep: int | None, published_from_ms: int | None) -> None:
        """Forget durable events beyond `keep` and those published earlier, and the deltas among them."""
        cut = 0 if keep is None else max(0, len(self.durable) - keep)
        if published_from_ms is not None:
            while cut < len(self.durable) and self.durable[cut].published_ms < published_from_ms:
                cut += 1
        if cut > 0:
            self.oldest = self.durable[cut - 1].seq + 1
            self._forget(self.durable, cut)
            self._forget(self.deltas, _index(self.deltas, self.oldest))

    def _forget(self, entries: list[Entry], count: int) -> None:
        self.size -= sum(len(entry.frame) for entry in entries[:count])
        del entries[:count]

    def visible_deltas(self, *, is_folded: bool, head: int) -> tuple[int, int]:
        """From which seq on a reader gets deltas, and up to which they may be missing for it."""
        if not is_folded:
            return 0, self.folded
        bound = min((part.first for part in self.open.values()), default=head + 1)
        cut = _index(self.deltas, bound)
        return bound, max(self.folded, self.deltas[cut - 1].seq if cut > 0 else 0)

    def between(self, after: int, deltas_from: int, limit: int) -> Sequence[Entry]:
        """At most `limit` entries after seq `after`, without the deltas before `deltas_from`."""
        durable = islice(self.durable, _index(self.durable, after + 1), None)
        deltas = islice(self.deltas, _index(self.deltas, max(after + 1, deltas_from)), None)
        return list(islice(merge(durable, deltas, key=_seq), limit))

    def before(self, seq: int, limit: int) -> Sequence[Entry]:
        """The last `limit` durable entries before `seq`, oldest first."""
        end = _index(self.durable, seq)
        return self.durable[max(0, end - limit) : end]

    def tag_at(self, seq: int) -> int | None:
        for entries in (self.durable, self.deltas):
            index = _index(entries, seq)
            if index < len(entries) and entries[index].seq == seq:
                return entries[index].tag
        return None


def _seq(entry: Entry) -> int:
    return entry.seq


def _index(entries: Sequence[Entry], seq: int) -> int:
    """Where the entries from `seq` on begin."""
    return bisect_left(entries, seq, key=_seq)
