"""Appends as calls of the function library, and what their replies mean.

Owns the layout of arguments and replies of `append` and `append_one`, which the scripts name at their top. Must not know
connections, nor what is retried.
"""

from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import Final

from anypod.core.errors import AnypodError
from anypod.core.event import Draft, Receipt
from anypod.core.identity import Subject
from anypod.redis_store.functions import FunctionLibrary
from anypod.redis_store.keys import SessionNames
from anypod.redis_store.wire.connection import Reply
from anypod.redis_store.wire.errors import checked, refusal
from anypod.store import Append, Patch, Results

ONE_ARGS: Final = 13  # FCALL, name, count, four keys, channel, owner, id, digest, tag, body
DELTA_ARGS: Final = 14  # the same and the part
TURN_ARGS: Final = 16  # the same and turn and fence
MANY_ARGS: Final = 12  # FCALL, name, count, four keys, channel, owner, mode, expected cursor, version of the patch
OWNERS_MAX: Final = 4_096  # subjects whose field is kept packed: about half a MiB
NO_SHAPE: Final = b"$0\r\n\r\n"  # nothing follows
DUPLICATE: Final = ord("=")  # the labels of verdicts
REFUSED: Final = ord("!")


@lru_cache(OWNERS_MAX)
def _packed_owner(owner: Subject | None) -> bytes:
    return _bulk(owner_field(owner))


def owner_field(owner: Subject | None) -> bytes:
    """As it is kept and compared: no subject looks like `-`, which stands for any."""
    return b"-" if owner is None else b":" + owner.encode()


class AppendCalls:
    """`tags`: random numbers of ten digits, one for each event."""

    def __init__(self, library: FunctionLibrary, tags: Iterator[int]) -> None:
        self._one = b"*%d\r\n$5\r\nFCALL\r\n%b$1\r\n4\r\n" % (ONE_ARGS, _bulk(library.name("append_one")))
        delta = _bulk(library.name("append_delta"))
        self._delta = b"*%d\r\n$5\r\nFCALL\r\n%b$1\r\n4\r\n" % (DELTA_ARGS, delta)
        self._turn_delta = b"*%d\r\n$5\r\nFCALL\r\n%b$1\r\n4\r\n" % (TURN_ARGS, delta)
        self._many = b"$5\r\nFCALL\r\n%b$1\r\n4\r\n" % _bulk(library.name("append"))
        self._tags = tags

    def one(self, names: SessionNames, owner: Subject | None, item: Draft) -> bytes:
        """The call for one simple event."""
        if item.is_plain:
            return self._simple(self._one, names, owner, item)
        assert item.part is not None
        part = _bulk(item.part.encode())
        if item.turn is None:
            return self._simple(self._delta, names, owner, item) + part
        return b"%b%b%b%b" % (self._simple(self._turn_delta, names, owner, item), part, _bulk(item.turn.encode()), _bulk(_fence(item)))

    def whole(self, names: SessionNames, request: Append) -> bytes:
        """The call for one request, all of it or nothing."""
        args = [owner_field(request.owner), b"all", (request.expect or "").encode(), *_patch_args(request.patch, request.nonce)]
        return self._call(names, args, request.drafts)

    def each(self, names: SessionNames, owner: Subject | None, drafts: Sequence[Draft]) -> bytes:
        """The call for drafts of several requests, each judged by itself. No id may come twice."""
        return self._call(names, [owner_field(owner), b"each", b"", b""], drafts)

    def _simple(self, start: bytes, names: SessionNames, owner: Subject | None, item: Draft) -> bytes:
        # In one piece with what `_packed` makes: this is nearly every event.
        return b"%b%b%b$%d\r\n%b\r\n$8\r\n%b\r\n$10\r\n%d\r\n$%d\r\n%b\r\n" % (
            start,
            names.packed,
            _packed_owner(owner),
            len(item.id),
            item.id.encode(),
            item.digest,
            next(self._tags),
            len(item.body),
            item.body,
        )

    def _packed(self, item: Draft) -> bytes:
        """Id, digest, tag and body."""
        return b"$%d\r\n%b\r\n$8\r\n%b\r\n$10\r\n%d\r\n$%d\r\n%b\r\n" % (
            len(item.id),
            item.id.encode(),
            item.digest,
            next(self._tags),
            len(item.body),
            item.body,
        )

    def _call(self, names: SessionNames, args: list[bytes], drafts: Sequence[Draft]) -> bytes:
        count = MANY_ARGS - 4 + len(args)
        parts = [self._many, names.packed, *map(_bulk, args)]
        for item in drafts:
            count += 5
            parts.append(self._packed(item))
            if item.is_plain:
                parts.append(NO_SHAPE)
                continue
            shape, extras = _shape(item)
            count += len(extras)
            parts.extend(map(_bulk, (shape, *extras)))
        return b"*%d\r\n%b" % (count, b"".join(parts))


def is_simple(item: Draft) -> bool:
    """Whether `one` can carry it."""
    return item.is_plain or item.is_delta


def results(drafts: Sequence[Draft], reply: Reply) -> Results | AnypodError:
    """What became of the drafts of one call, each, or of the call."""
    if isinstance(reply, bytes) and reply[0] != REFUSED:
        return [result_of(drafts[0], reply)]
    try:
        reply = checked(reply)
    except AnypodError as error:
        return error
    assert isinstance(reply, list)
    return [result_of(item, verdict) for item, verdict in zip(drafts, reply, strict=True)]


def result_of(item: Draft, verdict: Reply) -> Receipt | AnypodError:
    """What became of one draft."""
    assert isinstance(verdict, bytes)
    if verdict[0] == REFUSED:
        return refusal(verdict)
    cursor = verdict[1:].decode()
    return Receipt(item.id, int(cursor.rsplit("-", 2)[1]), cursor, verdict[0] == DUPLICATE)


def _patch_args(patch: Patch | None, patch_id: int) -> list[bytes]:
    if patch is None:
        return [b""]
    return [b"%d" % patch.version, b"%d" % patch_id, patch.state or b"", patch.live or b"", patch.metadata or b""]


def _shape(item: Draft) -> tuple[bytes, list[bytes]]:
    """The letters that say which arguments follow, the turn first because parts are named within it."""
    shape = b""
    extras: list[bytes] = []
    if item.turn is not None:
        shape, extras = b"te" if item.ends_turn else b"t", [item.turn.encode(), _fence(item)]
    if item.is_delta and item.part is not None:
        shape += b"d"
        extras.append(item.part.encode())
    elif item.replaces is not None:
        shape += b"ro" if item.is_own else b"r"
        extras.append(item.replaces.encode())
    if item.payload is not None:
        shape += b"b"
        extras.append(item.payload)
    return shape, extras


def _fence(item: Draft) -> bytes:
    """No fence is ever 0."""
    return b"%d" % (item.fence or 0)


def _bulk(text: bytes) -> bytes:
    return b"$%d\r\n%b\r\n" % (len(text), text)
