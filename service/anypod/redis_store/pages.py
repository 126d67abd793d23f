"""Snapshots and pages as the function library tells them.

Owns the layout of the replies of `create` and `read`, and the merging of the two streams. Must not know connections.
"""

from collections.abc import Iterator, Sequence
from heapq import merge
from itertools import islice
from typing import Final, NamedTuple

from anypod.core.cursor import Cursor, Facts, Term
from anypod.core.identity import Subject
from anypod.redis_store.connection import Reply
from anypod.store import Missing, Page, SessionClass, Snapshot

NO_STATE: Final = b"{}"


class Entry(NamedTuple):
    seq: int
    frame: bytes


def class_numbers(item: SessionClass) -> bytes:
    """The class as it is kept in the session, `class_of` of the scripts reads it; `-`: no limit."""
    numbers = (
        item.ttl_ms,
        item.live_ms,
        item.events_max,
        item.deltas_max,
        item.retain_events,
        item.retain_ms,
        item.fold_after_ms,
        item.dedup_ms,
    )
    return " ".join("-" if number is None else str(number) for number in numbers).encode()


def missing(reply: Sequence[Reply]) -> Missing:
    owner = reply[1]
    return Missing(was_deleted=True, owner=_subject(owner)) if isinstance(owner, bytes) else Missing()


def page(reply: Sequence[Reply], after: int | None, limit: int) -> Page:
    """The reply of `read`: a label, the snapshot, the entry at `after`, entries of both streams, and how far they go if not to the end."""
    _, fields, entry, events, deltas, ending = reply
    snapshot = _snapshot(fields, None if entry is None else int(_text(entry).partition("-")[2]))
    head = snapshot.facts.head.seq
    position = head if after is None else min(after, head)
    entries = list(islice(merge(_entries(events), _entries(deltas)), limit + 1))
    shown = [item for item in entries[:limit] if ending is None or item.seq <= _number(ending)]
    is_cut = len(shown) < len(entries) or ending is not None
    through = (shown[-1].seq if shown else position) if is_cut else head
    return Page(snapshot, [item.frame for item in shown], through)


def bare_page(fields: Reply) -> Page:
    """A page at the head."""
    snapshot = _snapshot(fields, None)
    return Page(snapshot, (), snapshot.facts.head.seq)


def _entries(flat: Reply) -> Iterator[Entry]:
    assert isinstance(flat, list)
    for i in range(0, len(flat), 2):
        frame = flat[i + 1]
        assert isinstance(frame, bytes)
        yield Entry(int(_text(flat[i]).partition("-")[0]), frame)


def _snapshot(fields: Reply, tag_at: int | None) -> Snapshot:
    assert isinstance(fields, list)
    prefix, head, owner, class_name, closed, terms, version, state, metadata, folded, oldest, expires, live, live_ms, now = fields
    epoch, term = _text(prefix).split("-")
    seq, tag = _text(head).split("-")
    facts = Facts(
        head=Cursor(epoch, term, int(seq), int(tag)),
        oldest=_number(oldest),
        folded=_number(folded),
        terms=tuple(_term(item) for item in _text(terms).split(" ")),
        tag_at=tag_at,
    )
    return Snapshot(
        facts=facts,
        owner=_subject(owner),
        class_name=_text(class_name),
        state=_bytes(state),
        live=NO_STATE if live is None else _bytes(live),
        live_until_ms=0 if live is None else _number(now) + _number(live_ms),
        metadata=_bytes(metadata),
        version=_number(version),
        is_closed=closed is not None,
        expires_at_ms=_number(expires),
    )


def _term(text: str) -> Term:
    name, _, first_seq = text.partition(":")
    return Term(name, int(first_seq))


def _subject(reply: Reply) -> Subject:
    return Subject(_text(reply)[1:])


def _bytes(reply: Reply) -> bytes:
    assert isinstance(reply, bytes)
    return reply


def _text(reply: Reply) -> str:
    return _bytes(reply).decode()


def _number(reply: Reply) -> int:
    return reply if isinstance(reply, int) else int(_bytes(reply))
