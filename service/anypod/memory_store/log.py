"""One session as the memory server keeps it.

Owns its two streams, terms, remembered ids, parts, fences and state, and every rule of an append: it is the twin of the
scripts in `redis_store`. Must not know the clock, chance, or who listens: time, term and tags are handed to it.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Final, NamedTuple

from msgspec import Raw

from anypod.core.cursor import Cursor, Term
from anypod.core.errors import AnypodError
from anypod.core.event import Draft, Receipt, complete
from anypod.core.identity import Subject
from anypod.core.notices import StateNotice, encode_notice
from anypod.memory_store.claims import Claims
from anypod.memory_store.members import Members
from anypod.memory_store.streams import PartName, StreamEntry, Streams
from anypod.store import Append, Creation, Patch, Results, SessionClass

TERMS_MAX: Final = 32  # failovers that a cursor can look back on: the first and the latest 31
IDS_MIN: Final = 64  # ids remembered however old: the contract's dedup window
TIDY_EVENTS: Final = 32  # events between two rounds of housekeeping, so that an append seldom pays for one
PARTS_MAX: Final = 256  # parts open at once in a session; a further one is `quota_exceeded`
PARTS_FULL_OPEN_MS: Final = 60_000  # for when there are so many: a part without a delta for this long makes room
PATCHES_MAX: Final = 32  # whose ids are remembered: so many may come between a patch and its repetition
FENCES_MAX: Final = 10_000  # turns of a session; events_max ends a log before
REFRESH_SHARE: Final = 16  # the expiry moves when this share of the ttl has passed: most appends need not touch it
NO_STATE: Final = b"{}"


class Remembered(NamedTuple):
    digest: bytes
    seq: int
    cursor: str
    at_ms: int


class Moment(NamedTuple):
    """What an append is told of its surroundings. `incarnation`: the first six hex digits of the server's replication id."""

    now_ms: int
    incarnation: str
    tags: Iterator[int]


class Appended(NamedTuple):
    """What became of the drafts, in their order, and what the session's channel carries: frames, then a notice."""

    results: Results
    feed: Sequence[bytes]


@dataclass(slots=True)
class Log:
    owner: Subject
    session_class: SessionClass
    head: Cursor
    terms: tuple[Term, ...]
    state: bytes
    live: bytes
    live_until_ms: int
    metadata: bytes
    expires_at_ms: int
    version: int = 1
    is_closed: bool = False
    streams: Streams = field(default_factory=Streams)
    ids: dict[str, Remembered] = field(default_factory=dict)
    fences: dict[str, int] = field(default_factory=dict)
    members: Members = field(default_factory=Members)
    claims: Claims = field(default_factory=Claims)
    patches: tuple[int, ...] = ()

    @classmethod
    def begin(cls, creation: Creation, now_ms: int, incarnation: str) -> "Log":
        term = Term(f"1{incarnation}", 1)
        is_live = creation.live != NO_STATE
        return cls(
            owner=creation.owner,
            session_class=creation.session_class,
            head=Cursor(creation.epoch, term.name, 0, 0),
            terms=(term,),
            state=creation.state,
            live=creation.live,
            live_until_ms=now_ms + creation.session_class.live_ms if is_live else 0,
            metadata=creation.metadata,
            expires_at_ms=now_ms + _life_ms(creation.session_class.ttl_ms),
        )

    def copy(self) -> "Log":
        ids, fences, members = dict(self.ids), dict(self.fences), self.members.copy()
        return replace(self, streams=self.streams.copy(), ids=ids, fences=fences, members=members, claims=self.claims.copy())

    def terms_at(self, incarnation: str) -> tuple[Term, ...]:
        """The table as the next event will find it."""
        last = self.terms[-1]
        if last.name.endswith(incarnation):
            return self.terms
        terms = (*self.terms, Term(f"{last.number + 1}{incarnation}", self.head.seq + 1))
        return terms if len(terms) <= TERMS_MAX else (terms[0], *terms[1 - TERMS_MAX :])

    def tag_at(self, seq: int) -> int | None:
        """The head's is known even when its event is no longer kept."""
        return self.head.tag if seq == self.head.seq > 0 else self.streams.tag_at(seq)

    def live_at(self, now_ms: int) -> tuple[bytes, int]:
        """`live` and until when it holds; once forgotten it is empty."""
        return (self.live, self.live_until_ms) if self.live_until_ms > now_ms else (NO_STATE, 0)

    def append(self, request: Append, moment: Moment) -> Appended:
        seq_before = self.head.seq
        appended = self._append_all(request, moment) if request.is_atomic else self._append_each(request, moment)
        if appended.feed and self.expires_at_ms - moment.now_ms <= self.session_class.ttl_ms:
            self.expires_at_ms = moment.now_ms + _life_ms(self.session_class.ttl_ms)
        if seq_before // TIDY_EVENTS != self.head.seq // TIDY_EVENTS:
            self.tidy(moment.now_ms)
        return appended

    def keep(self, now_ms: int) -> int:
        """Move the expiry as an append does; in how many milliseconds it is."""
        if self.expires_at_ms - now_ms <= self.session_class.ttl_ms:
            self.expires_at_ms = now_ms + _life_ms(self.session_class.ttl_ms)
        return self.expires_at_ms - now_ms

    def raise_fence(self, turn: str, now_ms: int) -> int:
        """The parts that earlier attempts have open end with it: no worker can end them any more."""
        if self.is_closed:
            raise AnypodError("closed")
        if turn not in self.fences and len(self.fences) >= FENCES_MAX:
            raise AnypodError("quota_exceeded", "the session has too many turns")
        self.fences[turn] = self.fences.get(turn, 0) + 1
        self._end_turn(turn, now_ms)
        return self.fences[turn]

    def tidy(self, now_ms: int, part_open_ms: int | None = None) -> int | None:
        """When it is to come again, None: not before the next append. `part_open_ms`: shorter than the class's, when there are too many."""
        limits, streams = self.session_class, self.streams
        open_ms = limits.part_open_ms if part_open_ms is None else min(part_open_ms, limits.part_open_ms)
        streams.end_parts(lambda _, part: part.last_ms <= now_ms - open_ms, now_ms)
        streams.fold(now_ms - limits.fold_after_ms, self.head.seq)
        streams.trim(limits.retain_events, None if limits.retain_ms is None else now_ms - limits.retain_ms)
        for event_id, item in list(self.ids.items()):  # in order of seq
            if item.seq > self.head.seq - IDS_MIN or item.at_ms > now_ms - limits.dedup_ms:
                break
            del self.ids[event_id]
        times = [part.last_ms + limits.part_open_ms for part in streams.open.values()]
        times += [part.ended_ms + limits.fold_after_ms for part in streams.completed]
        times += [now_ms + limits.dedup_ms] if len(self.ids) > IDS_MIN else []
        times += [streams.durable[0].at_ms + limits.retain_ms] if streams.durable and limits.retain_ms is not None else []
        return max(min(times), now_ms + 1_000) if times else None

    def _end_turn(self, turn: str, now_ms: int) -> None:
        self.streams.end_parts(lambda name, _: name[0] == turn, now_ms)

    def _append_each(self, request: Append, moment: Moment) -> Appended:
        results, feed = list[Receipt | AnypodError](), list[bytes]()
        for item in request.drafts:
            try:
                appended = self._append_all(Append(request.key, (item,)), moment)
            except AnypodError as error:
                results.append(error)
            else:
                results += appended.results
                feed += appended.feed
        return Appended(results, feed)

    def _append_all(self, request: Append, moment: Moment) -> Appended:
        """All checks, in the order of the contract, and then all writes."""
        if request.patch is not None and not request.drafts and request.nonce in self.patches:
            return Appended([], ())  # the first reply was lost
        known = [self.ids.get(item.id) for item in request.drafts]
        is_conflict = _is_conflict(request.drafts, known)
        if request.drafts and all(known) and not is_conflict:
            # Before `closed`: a publisher that lost the first reply must not get a refusal of a logged event.
            return Appended([_duplicate(item, first) for item, first in zip(request.drafts, known, strict=True) if first], ())
        if self.is_closed:
            raise AnypodError("closed")
        if is_conflict:
            raise AnypodError("conflict")
        if request.expect is not None and request.expect != str(self.head):
            raise AnypodError("stale")
        if request.patch is not None and request.patch.version != self.version:
            raise AnypodError("stale")
        fresh = _first_ones(item for item, first in zip(request.drafts, known, strict=True) if first is None)
        self._check_fences(fresh)
        self._check_ends(fresh)
        self._check_quotas(fresh, moment.now_ms)
        receipts, feed = self._write_all(request.drafts, known, moment)
        if request.patch is not None:
            feed.append(self._set(request.patch, moment.now_ms))
            self.patches = (*self.patches, request.nonce)[-PATCHES_MAX:]
        return Appended(receipts, feed)

    def _check_fences(self, fresh: Sequence[Draft]) -> None:
        for item in fresh:
            if item.turn is not None and (item.fence is None or self.fences.get(item.turn) != item.fence):
                raise AnypodError("fenced")

    def _check_ends(self, fresh: Sequence[Draft]) -> None:
        """Draft by draft: parts begin and end within a call too."""
        if not any(item.is_own for item in fresh):
            return
        authors = {name: part.author for name, part in self.streams.open.items()}
        for item in fresh:
            if item.is_delta:
                authors.setdefault(_part_name(item), item.author)
            elif item.replaces is not None:
                if item.is_own and authors.get(_part_name(item), item.author) != item.author:
                    raise AnypodError("not_allowed", "the part belongs to another author")
                authors.pop(_part_name(item), None)

    def _check_quotas(self, fresh: Sequence[Draft], now_ms: int) -> None:
        deltas = sum(item.is_delta for item in fresh)
        events, size = len(fresh) - deltas, sum(item.size for item in fresh)
        if self._is_beyond(events, deltas) or self._is_too_large(size):
            self.tidy(now_ms)
        if self._is_beyond(events, deltas):
            raise AnypodError("quota_exceeded", "the session holds as many events as it may")
        if self._is_too_large(size):
            raise AnypodError("quota_exceeded", "the session holds as many bytes as it may")
        if self._is_beyond_parts(fresh):
            self.tidy(now_ms, PARTS_FULL_OPEN_MS)
        if self._is_beyond_parts(fresh):
            raise AnypodError("quota_exceeded", "the session has too many open parts")

    def _is_beyond_parts(self, fresh: Sequence[Draft]) -> bool:
        opened = {_part_name(item) for item in fresh if item.is_delta} - self.streams.open.keys()
        return len(opened) > 0 and len(self.streams.open) + len(opened) > PARTS_MAX

    def _is_beyond(self, events: int, deltas: int) -> bool:
        limits = self.session_class
        is_trimmed = limits.retain_events is not None and limits.retain_events <= limits.events_max
        is_full = events > 0 and not is_trimmed and len(self.streams.durable) + events > limits.events_max
        return is_full or (deltas > 0 and len(self.streams.deltas) + deltas > limits.deltas_max)

    def _is_too_large(self, size: int) -> bool:
        bytes_max = self.session_class.bytes_max
        return size > 0 and bytes_max is not None and self.streams.size + size > bytes_max

    def _write_all(self, drafts: Sequence[Draft], known: Sequence[Remembered | None], moment: Moment) -> tuple[list[Receipt], list[bytes]]:
        receipts, frames, written = list[Receipt](), list[bytes](), dict[str, Remembered]()
        for item, first in zip(drafts, known, strict=True):
            if (before := first or written.get(item.id)) is not None:
                receipts.append(_duplicate(item, before))
                continue
            frames.append(self._write(item, moment))
            written[item.id] = self.ids[item.id]
            receipts.append(Receipt(item.id, self.head.seq, str(self.head), False))
        return receipts, frames

    def _write(self, item: Draft, moment: Moment) -> bytes:
        self.terms = self.terms_at(moment.incarnation)
        self.head = Cursor(self.head.epoch, self.terms[-1].name, self.head.seq + 1, next(moment.tags))
        seq, cursor = self.head.seq, str(self.head)
        replaced = self.streams.end_part(_part_name(item), seq, moment.now_ms) if item.replaces else None
        frame = complete(item, seq, cursor, replaced)
        entry = StreamEntry(seq, self.head.tag, frame, moment.now_ms)
        if item.is_delta:
            self.streams.add_delta(entry, _part_name(item), item.author)
        else:
            self.streams.add_durable(entry)
        if item.ends_turn and item.turn is not None:
            self._end_turn(item.turn, moment.now_ms)
        self.ids[item.id] = Remembered(item.digest, seq, cursor, moment.now_ms)
        return frame

    def _set(self, patch: Patch, now_ms: int) -> bytes:
        self.version += 1
        self.state = self.state if patch.state is None else patch.state
        self.metadata = self.metadata if patch.metadata is None else patch.metadata
        if patch.live is not None:
            self.live = patch.live
            self.live_until_ms = now_ms + self.session_class.live_ms if patch.live != NO_STATE else 0
        live, until_ms = self.live_at(now_ms)
        return encode_notice(StateNotice(self.version, Raw(self.state), Raw(live), max(0, until_ms - now_ms)))


def _life_ms(ttl_ms: int) -> int:
    """Never shorter than the ttl after the last append, and at most a sixteenth longer."""
    return ttl_ms + ttl_ms // REFRESH_SHARE


def _part_name(item: Draft) -> PartName:
    """The part that it extends or ends, within its turn."""
    return item.turn or "", item.part if item.is_delta and item.part else item.replaces or ""


def _duplicate(item: Draft, first: Remembered) -> Receipt:
    return Receipt(item.id, first.seq, first.cursor, True)


def _first_ones(drafts: Iterable[Draft]) -> Sequence[Draft]:
    """Without those that repeat an id."""
    first = dict[str, Draft]()
    for item in drafts:
        first.setdefault(item.id, item)
    return list(first.values())


def _is_conflict(drafts: Sequence[Draft], known: Sequence[Remembered | None]) -> bool:
    """Whether an id comes with two bodies, in the log and among the drafts."""
    digests = dict[str, bytes]()
    return any(
        (first.digest if first else digests.setdefault(item.id, item.digest)) != item.digest
        for item, first in zip(drafts, known, strict=True)
    )
