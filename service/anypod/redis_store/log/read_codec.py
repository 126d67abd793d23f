"""Snapshots and pages as the function library tells them.

Owns the layout of the replies of `create` and `read`, and the merging of the two streams. Must not know connections.
"""

from bisect import bisect_right
from collections.abc import Sequence
from functools import lru_cache
from sys import intern
from typing import Final, cast

from anypod.core.cursor import Cursor, Facts, Term
from anypod.core.event import position
from anypod.core.identity import Subject
from anypod.redis_store.wire.connection import Reply
from anypod.store import BackwardPage, Missing, Page, SessionClass, Snapshot, within

NO_STATE: Final = b"{}"
TERMS_KEPT: Final = 256  # tables of terms that sessions share; of one life of the server there is one


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
        item.bytes_max,
        item.event_bytes,
        item.part_open_ms,
    )
    return " ".join("-" if number is None else str(number) for number in numbers).encode()


def missing(reply: Sequence[Reply]) -> Missing:
    owner = reply[1]
    return Missing(was_deleted=True, owner=_subject(owner)) if isinstance(owner, bytes) else Missing()


def page(reply: Sequence[Reply], after: int | None, limit: int, bytes_max: int) -> Page:
    """The reply of `read`: a label, the snapshot, the entry at `after`, frames of both streams, and how far they go if not to the end.

    Each stream ends with `bytes_max`, so both together may hold twice as much.
    """
    _, fields, entry, events, deltas, ending = reply
    snapshot = _snapshot(fields, None if entry is None else int(_bytes(entry).partition(b"-")[2]))
    head = snapshot.facts.head.seq
    frames = _in_order(_frames(events), _frames(deltas))
    shown = min(limit, len(frames))
    if ending is not None:
        shown = bisect_right(frames, _number(ending), hi=shown, key=_seq)
    if events and deltas:
        shown = within(frames[:shown], bytes_max)
    if shown == len(frames) and ending is None:
        return Page(snapshot, frames, head)
    before = head if after is None else min(after, head)
    return Page(snapshot, frames[:shown], _seq(frames[shown - 1]) if shown else before)


def history_page(reply: Sequence[Reply]) -> BackwardPage:
    """The reply of `history`: a label, frames from the newest on, and whether there are older ones."""
    _, frames, has_more = reply
    return BackwardPage(_frames(frames)[::-1], has_more == 1)


def bare_page(fields: Reply) -> Page:
    """A page at the head."""
    snapshot = _snapshot(fields, None)
    return Page(snapshot, (), snapshot.facts.head.seq)


def _in_order(events: list[bytes], deltas: list[bytes]) -> list[bytes]:
    """The frames of both streams. Most ranges are of one, and then nothing is looked at."""
    if not events or not deltas:
        return events or deltas
    return sorted(events + deltas, key=_seq)  # two ascending runs: one pass


def _frames(reply: Reply) -> list[bytes]:
    assert isinstance(reply, list)
    return cast("list[bytes]", reply)


def _seq(frame: bytes) -> int:
    return position(frame).seq


def _snapshot(fields: Reply, tag_at: int | None) -> Snapshot:
    """Interned is what thousands of sessions have in common."""
    assert isinstance(fields, list)
    prefix, head, owner, class_name, closed, terms, version, state, metadata, folded, oldest, expires, live, live_ms, now = fields
    epoch, term = _text(prefix).split("-")
    seq, tag = _text(head).split("-")
    facts = Facts(
        head=Cursor(epoch, intern(term), int(seq), int(tag)),
        oldest=_number(oldest),
        folded=_number(folded),
        terms=_terms(_bytes(terms)),
        tag_at=tag_at,
    )
    return Snapshot(
        facts=facts,
        owner=_subject(owner),
        class_name=intern(_text(class_name)),
        state=_object(state),
        live=NO_STATE if live is None else _bytes(live),
        live_until_ms=0 if live is None else _number(now) + _number(live_ms),
        metadata=_object(metadata),
        version=_number(version),
        is_closed=closed is not None,
        expires_at_ms=_number(expires),
        expires_in_ms=_number(expires) - _number(now),
    )


@lru_cache(TERMS_KEPT)
def _terms(text: bytes) -> tuple[Term, ...]:
    """Sessions that were made since the server started, which are most, have the same."""
    parts = (item.partition(":") for item in text.decode().split(" "))
    return tuple(Term(intern(name), int(first_seq)) for name, _, first_seq in parts)


def _object(reply: Reply) -> bytes:
    """Of most sessions it is empty, and then one for all."""
    return NO_STATE if reply == NO_STATE else _bytes(reply)


def _subject(reply: Reply) -> Subject:
    return Subject(_text(reply)[1:])


def _bytes(reply: Reply) -> bytes:
    assert isinstance(reply, bytes)
    return reply


def _text(reply: Reply) -> str:
    return _bytes(reply).decode()


def _number(reply: Reply) -> int:
    return reply if isinstance(reply, int) else int(_bytes(reply))
