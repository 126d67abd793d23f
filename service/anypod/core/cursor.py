"""A cursor names a position and the history behind it.

Owns the cursor's text and the only judgement of one. Must not know where facts come from, nor mint a cursor
of an event: the log's append does that.

The text is `epoch-term-seq-tag`. *epoch* is the life of the log (random, made at its creation). *term* names one
incarnation of the store that wrote the log: its number within the epoch followed by six hex digits of the
incarnation's replication id. *seq* counts events. *tag* is the random number of the event at `seq`.
"""

import re
from bisect import bisect_right
from dataclasses import dataclass
from typing import Final, Literal, assert_never

START: Final = "start"
TAIL: Final = "tail"
CURSOR_CHARS_MAX: Final = 80

_CURSOR = re.compile(r"([a-z0-9]{1,16})-([0-9]{1,6}[0-9a-f]{6})-([0-9]{1,16})-([0-9]{1,10})", re.ASCII)

Reason = Literal["expired", "trimmed", "rolled_back", "deleted", "unknown"]


@dataclass(frozen=True, slots=True)
class Cursor:
    epoch: str
    term: str
    seq: int
    tag: int

    def __str__(self) -> str:
        return f"{self.epoch}-{self.term}-{self.seq}-{self.tag}"

    @classmethod
    def parse(cls, text: str) -> "Cursor | None":
        """None: no replica wrote this."""
        match = _CURSOR.fullmatch(text) if len(text) <= CURSOR_CHARS_MAX else None
        return match and cls(match[1], match[2], int(match[3]), int(match[4]))


After = Cursor | Literal["start", "tail", "unknown"]


def parse_after(text: str) -> After:
    """What a client gives as `after`: a sentinel, a cursor, or `unknown` when it is neither."""
    match text:
        case "start" | "tail":
            return text
        case _:
            return Cursor.parse(text) or "unknown"


@dataclass(frozen=True, slots=True)
class Term:
    """`name` wrote the log from `first_seq` on, until the next term."""

    name: str
    first_seq: int

    @property
    def number(self) -> int:
        return int(self.name[:-6])


@dataclass(frozen=True, slots=True)
class Facts:
    """What the log says of itself at the moment of one read.

    `oldest`: from this seq on nothing was trimmed. `folded`: up to this seq deltas may be missing.
    `terms`: ascending, never empty; the last may begin at `head.seq + 1` when the store's incarnation is new.
    `tag_at`: the tag of the event at the seq that was asked about, None when no event is kept there.
    """

    head: Cursor
    oldest: int
    folded: int
    terms: tuple[Term, ...]
    tag_at: int | None = None

    def term_of(self, seq: int) -> Term:
        assert self.terms
        return self.terms[max(0, bisect_right(self.terms, seq, key=lambda term: term.first_seq) - 1)]


@dataclass(frozen=True, slots=True)
class Resume:
    """The history is a prefix of the log: everything after `seq` follows."""

    seq: int


@dataclass(frozen=True, slots=True)
class Reset:
    """The history cannot be honoured. `common`: the last seq that it is sure to share with the log, if any."""

    reason: Reason
    common: int | None = None


def judge(after: After, facts: Facts) -> Resume | Reset:
    """Is the history behind `after` a prefix of the log? Decided from the cursor and the log alone."""
    match after:
        case "start":
            return Resume(facts.oldest - 1)
        case "tail":
            return Resume(facts.head.seq)
        case "unknown":
            return Reset("unknown")
        case Cursor():
            return _judge_cursor(after, after.seq, facts)
        case _:
            assert_never(after)


def judge_place(cursor: str, seq: int, facts: Facts) -> Reset | None:
    """Does the history up to `seq` hold, of which `cursor` proves the newest event at or below it? None: it does.

    `facts` were asked about `seq`. Without a cursor there is nothing to prove but retention.
    """
    parsed = Cursor.parse(cursor)
    if parsed is None:
        return Reset("trimmed") if seq < facts.oldest - 1 else None
    if parsed.seq != seq:  # what lies between was folded; the tag that the facts hold is not the cursor's
        facts = Facts(facts.head, facts.oldest, facts.folded, facts.terms)
    verdict = _judge_cursor(parsed, seq, facts)
    return verdict if isinstance(verdict, Reset) else None


def _judge_cursor(cursor: Cursor, seq: int, facts: Facts) -> Resume | Reset:
    if cursor.epoch != facts.head.epoch:
        return Reset("expired")
    if not _is_in_log(cursor, facts):
        common = _common(cursor, facts)
        return Reset("rolled_back", common if common > 0 and common >= facts.oldest - 1 else None)
    if seq < facts.oldest - 1:
        return Reset("trimmed")
    return Resume(seq)


def _is_in_log(cursor: Cursor, facts: Facts) -> bool:
    if cursor.seq > facts.head.seq:
        return False
    if cursor.seq == 0:
        return True  # the beginning of this epoch is in every history
    if facts.term_of(cursor.seq).name != cursor.term:
        return False
    return facts.tag_at is None or facts.tag_at == cursor.tag


def _common(cursor: Cursor, facts: Facts) -> int:
    """The last seq that a lost history is sure to share with the log.

    1. Its term is lost altogether. The first term of an epoch is in every history, so its end is sure.
    2. A later term began at or before it, and replaced what its own term had written from there on.
    3. It lies beyond the head of its own term.
    4. Another event stands in its place within one term (a restored backup): only the term's beginning is sure.
    """
    names = [term.name for term in facts.terms]
    if cursor.term not in names:
        end = facts.terms[1].first_seq - 1 if len(names) > 1 else facts.head.seq
        return min(end, facts.head.seq, cursor.seq)
    index = names.index(cursor.term)
    if index + 1 < len(names) and facts.terms[index + 1].first_seq <= cursor.seq:
        return min(facts.terms[index + 1].first_seq - 1, facts.head.seq)
    return facts.head.seq if cursor.seq > facts.head.seq else facts.terms[index].first_seq - 1
