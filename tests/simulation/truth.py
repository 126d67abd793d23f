"""One session's log as the store wrote it, with all that was ever in it.

Owns the chain of events, which of them are lost, folded or trimmed, and what may be missing legally. Must not know clients.
It reads frames with a parser of its own: what the product believes of its frames is no evidence.
"""

from base64 import b64encode
from collections.abc import Iterator
from dataclasses import dataclass, field
from math import inf
from typing import Any, NamedTuple

import msgspec

DELTA_KINDS = frozenset({"token", "reasoning"})


class Replaced(msgspec.Struct):
    part: str


class Seen(msgspec.Struct):
    """The fields of a frame that matter here."""

    seq: int
    cursor: str
    id: str
    kind: str
    author: str
    data: Any = None
    turn: str | None = None
    attempt: int | None = None
    part: str | None = None
    replaces: Replaced | None = None


_parse = msgspec.json.Decoder(Seen).decode


def parse(frame: bytes) -> Seen:
    """A text frame, or a binary one: its header is parsed and the payload's hex digits are the data."""
    if frame[:1] == b"{":
        return _parse(frame)
    end = 4 + int.from_bytes(frame[:4], "big")
    seen = _parse(frame[4:end])
    seen.data = frame[end:].hex()
    return seen


def as_text(frame: bytes) -> bytes:
    """As a transport that carries text alone brings it."""
    if frame[:1] == b"{":
        return frame
    end = 4 + int.from_bytes(frame[:4], "big")
    return frame[4 : end - 1] + b',"data_base64":"' + b64encode(frame[end:]) + b'"}'


class Content(NamedTuple):
    """What a repeated id must have in common, beside its author."""

    kind: str
    data: Any
    turn: str | None = None
    part: str | None = None
    replaces: str | None = None

    def __str__(self) -> str:
        return f"{self.kind} {self.data!r} {self.turn or ''}/{self.part or ''}>{self.replaces or ''}"


@dataclass(slots=True, eq=False)
class Entry:
    """One event of the log. `before`: the event it was written upon. `lost`: index of the record that took it away, at `lost_at`.

    `is_taken`: a delta that somebody took away before its part was complete, or after.
    """

    index: int
    at: float
    seen: Seen
    frame: bytes
    before: "Entry | None"
    lost: int | None = None
    lost_at: float = 0.0
    is_completed: bool = False
    is_taken: bool = False

    @property
    def seq(self) -> int:
        return self.seen.seq

    @property
    def term(self) -> str:
        return self.seen.cursor.split("-")[1]

    @property
    def is_delta(self) -> bool:
        return self.seen.kind in DELTA_KINDS

    @property
    def content(self) -> str:
        seen = self.seen
        return str(Content(seen.kind, seen.data, seen.turn, seen.part, seen.replaces.part if seen.replaces else None))

    def chain(self) -> Iterator["Entry"]:
        """This event and all that it was written upon, newest first."""
        entry: Entry | None = self
        while entry is not None:
            yield entry
            entry = entry.before


class Standing(NamedTuple):
    """How the log stood from one of its changes to the next. `since`: index of the record of that change."""

    since: int
    head: Entry | None
    oldest: int

    def is_void(self, entry: Entry) -> bool:
        """Was a client at `entry` to be reset? What is lost stays lost, but a failover brings trimmed events back."""
        return (entry.lost is not None and entry.lost <= self.since) or entry.seq < self.oldest - 1

    def has_trimmed(self, entry: Entry) -> bool:
        """What is logged later is another event, whatever its seq."""
        return entry.index <= self.since and entry.seq < self.oldest


@dataclass(slots=True)
class Truth:
    head: Entry | None = None
    oldest: int = 1
    lowered: tuple[float, int] = (-1.0, 1)  # when a failover brought trimmed events back, and which the oldest was until then
    folded: int = 0
    by_frame: dict[bytes, Entry] = field(default_factory=dict)
    by_cursor: dict[str, Entry] = field(default_factory=dict)
    by_id: dict[str, Entry] = field(default_factory=dict)  # of the log as it is now
    contents: dict[str, set[tuple[str, str]]] = field(default_factory=dict)  # author and content by id, ever logged
    fences: dict[str, int] = field(default_factory=dict)
    _open: dict[tuple[str, str], list[Entry]] = field(default_factory=dict)
    _standings: list[Standing] = field(default_factory=lambda: [Standing(-1, None, 1)])
    _tail_lost_at: float = -1.0

    @property
    def standing(self) -> Standing:
        return self._standings[-1]

    def stood(self, head: str | None, oldest: int, since: int) -> Standing | None:
        """The last time, not over before the record `since`, at which the log stood so."""
        following = inf
        for standing in reversed(self._standings):
            if following <= since:
                return None
            if standing.oldest == oldest and standing.head is not None and standing.head.seen.cursor == head:
                return standing
            following = standing.since
        return None

    def _note_standing(self, index: int) -> None:
        self._standings.append(Standing(index, self.head, self.oldest))

    def log(self, index: int, at: float, frame: bytes) -> Entry:
        entry = Entry(index, at, parse(frame), frame, self.head)
        self.head = entry
        self.by_frame[as_text(frame)] = self.by_frame[frame] = self.by_cursor[entry.seen.cursor] = entry
        self.by_id[entry.seen.id] = entry
        self.contents.setdefault(entry.seen.id, set()).add((entry.seen.author, entry.content))
        self._note_part(entry)
        self._note_standing(index)
        return entry

    def lose_after(self, index: int, at: float, head: int) -> None:
        """Completions among the lost never happened for the log: their parts are open again. Who was served before may lack the deltas."""
        while self.head is not None and self.head.seq > head:
            self.head.lost, self.head.lost_at = index, at
            self.head = self.head.before
        kept = list(self.head.chain())[::-1] if self.head else []
        self.by_id = {entry.seen.id: entry for entry in kept}
        self._open.clear()
        for entry in kept:
            self._note_part(entry)
        self._note_standing(index)
        self._tail_lost_at = at

    def lose_deltas(self, through: int) -> None:
        """As if they were folded, whether their parts are complete or not."""
        for entry in self.head.chain() if self.head else ():
            entry.is_taken = entry.is_taken or (entry.is_delta and entry.seq <= through)
        self._open = {part: [delta for delta in deltas if not delta.is_taken] for part, deltas in self._open.items()}
        self.folded = max(self.folded, through)

    def vanish(self, index: int, at: float) -> None:
        """This life of the log has ended."""
        self.lose_after(index, at, 0)
        self.oldest, self.folded = 1, 0
        self.fences.clear()
        self._note_standing(index)

    def _note_part(self, entry: Entry) -> None:
        scope, seen = entry.seen.turn or "", entry.seen
        if entry.is_delta and seen.part is not None and not entry.is_taken:
            self._open.setdefault((scope, seen.part), []).append(entry)
        if seen.replaces is not None:
            for delta in self._open.pop((scope, seen.replaces.part), ()):
                delta.is_completed = True

    def unlawfully_folded(self, through: int) -> Entry | None:
        """A delta up to `through` whose part is still open."""
        return next((delta for deltas in self._open.values() for delta in deltas if delta.seq <= through), None)

    def find(self, cursor: str | None) -> Entry | None:
        """The event that a cursor names. With tag 0 it names the place of a folded one."""
        parts = (cursor or "").split("-")
        if len(parts) == 4 and parts[3] == "0":
            return next((entry for entry in self.head.chain() if entry.seq == int(parts[2])), None) if self.head else None
        return self.by_cursor.get(cursor or "")

    def may_lack(self, entry: Entry, announced: int) -> bool:
        """May a client be without it? Deltas of completed parts and those taken away, and only those, as far as the replica announced."""
        return entry.seq <= announced and entry.is_delta and (entry.is_completed or entry.is_taken)

    def trim(self, index: int, at: float, oldest: int) -> None:
        if oldest < self.oldest:
            self.lowered = (at, self.oldest)
            if at == self._tail_lost_at:
                self._standings.pop()  # one failover: nobody read the log between its two records
        self.oldest = oldest
        self._note_standing(index)

    def missing(
        self,
        last: Entry | None,
        upto: Entry | None,
        announced: int,
        *,
        is_fresh: bool = True,
        begins: Standing | None = None,
        opened_at: float = inf,
    ) -> Entry | None:
        """The newest event between `last` and `upto` that a client at `last` may not lack, if it lacks all between them.

        Without a `last`, a fresh client begins at `oldest`; one that was there before the first event begins at that; one that was
        reset begins where the log did when it stood as in `begins`.
        One that connected before a failover may have been served by the log as it was, which began later.
        """
        oldest = max(self.oldest, self.lowered[1]) if opened_at <= self.lowered[0] else self.oldest
        for entry in upto.chain() if upto else ():
            if entry is last:
                return None
            if last is None and is_fresh and (entry.seq < oldest or (begins is not None and begins.has_trimmed(entry))):
                return None
            if not self.may_lack(entry, announced):
                return entry
        return None

    def is_history(self, last: Entry, upto: Entry) -> bool:
        """Was `upto` written upon `last`?"""
        return any(entry is last for entry in upto.chain())

    def shared(self, last: Entry) -> Entry | None:
        """The newest event of the history of `last` that the log still has."""
        return next((entry for entry in last.chain() if entry.lost is None), None)
