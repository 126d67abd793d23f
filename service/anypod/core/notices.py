"""What replicas tell each other on a session's channel beside events.

Owns their shapes, and what is read past. Unlike events they are not logged, and losing one loses nothing that the log does not tell again.
A notice is a JSON object whose `type` begins with `n.`; an event's frame never does.

During a rolling upgrade, and after a rollback, replicas of two versions share a channel. So a type that this version does not know is
skipped, a field that it does not know is passed over, and nothing that stands in a channel or an entry is an error of the connection.
"""

from typing import Final, Literal

import msgspec
from msgspec import Raw, Struct

from anypod.core.frames import PresenceFrame
from anypod.core.json_value import compact


class SignalNotice(Struct, tag_field="type", tag="n.signal", omit_defaults=True):
    """`frame` is the `signal` or `presence` frame for clients; `to`: see `is_for`; all subscribers without it.

    `sender`: the author of a signal. `origin`: the attachment that it tells of, which is not told. `life`: of presence, that of the
    replica which keeps the entries; None: told by a replica of an older version.
    """

    frame: Raw
    to: str | None = None
    sender: str | None = None
    is_presence: bool = False
    origin: str | None = None
    life: str | None = None

    def is_for(self, author: str, device: str | None) -> bool:
        """Is a device of this author meant?

        1. With a slash, `to` is an author and one of its devices, or with nothing behind the last slash all of the author's.
        2. Otherwise it is an author, or a device of the sender's own. Devices give themselves their names: another author's is never
           meant by its name alone, or it would overhear the author whose name it bears.
        """
        if self.to is None:
            return True
        named, slash, part = self.to.rpartition("/")
        if slash:
            return author == named and part in ("", device)
        return author == part or (author == self.sender and device == part)


class StateNotice(Struct, tag_field="type", tag="n.state"):
    """State or live has changed: the whole new values. `live_ms`: how long `live` holds from now."""

    version: int
    state: Raw
    live: Raw
    live_ms: int


class ClosedNotice(Struct, tag_field="type", tag="n.closed"):
    """The log has ended at `cursor`."""

    cursor: str


class DeletedNotice(Struct, tag_field="type", tag="n.deleted"):
    """Everything of the session is gone."""


class DeviceNotice(Struct, tag_field="type", tag="n.device", omit_defaults=True):
    """`device` of `author` has attached as `attachment`: whatever that device attached by a smaller `claim` is replaced.

    `claim` 0: told by a replica of an older version. `certain_before`: claims from this number on were made while this one was under
    way, so that nobody can say which is the newer; 0: there are none.
    """

    device: str
    author: str
    attachment: str
    claim: int = 0
    certain_before: int = 0

    def is_certainly_after(self, claim: int) -> bool:
        return not self.certain_before or claim < self.certain_before


class MemberEntry(Struct):
    """One subscriber in the list of those present, as every replica writes it."""

    id: str
    author: str
    device: str | None = None
    data: Raw = Raw(b"null")


class _Tagged(Struct):
    type: str


Notice = SignalNotice | StateNotice | ClosedNotice | DeletedNotice | DeviceNotice

# What is read past, and why: a frame of the feed that is no event, a notice of a type that is unknown here, one that cannot be decoded,
# the entry of a subscriber, the entry of a replica.
Skipped = Literal["event", "notice_unknown", "notice_broken", "member", "replica"]

NOTICE_START: Final = b'{"type":"n.'
TAGS: Final = frozenset(str(shape.__struct_config__.tag) for shape in Notice.__args__)
UNREADABLE: Final = (msgspec.DecodeError, ValueError, RecursionError)  # all that a decoder raises over bytes from elsewhere

encode_notice: Final = msgspec.json.Encoder().encode
_decode: Final = msgspec.json.Decoder(Notice).decode
_decode_tag: Final = msgspec.json.Decoder(_Tagged).decode
_decode_member: Final = msgspec.json.Decoder(MemberEntry).decode
_decode_presence: Final = msgspec.json.Decoder(PresenceFrame).decode


def is_notice(payload: bytes) -> bool:
    return payload.startswith(NOTICE_START)


def read_notice(payload: bytes) -> Notice | Skipped:
    """The notice, or why it is skipped."""
    try:
        notice = _decode(payload)
    except UNREADABLE:
        return _reason(payload)
    match notice:
        case SignalNotice():
            is_sound = bytes(notice.frame).startswith(b'{"type":"')
        case StateNotice():
            is_sound = _is_object(notice.state) and _is_object(notice.live)
        case _:
            is_sound = True
    return notice if is_sound else "notice_broken"


def on_one_line(text: bytes) -> bytes:
    """JSON without line breaks between its tokens, which would end a line of an SSE frame; replicas up to 0.1.0 send them."""
    return compact(text) if b"\n" in text or b"\r" in text else text


def presence_of(notice: SignalNotice) -> tuple[dict[str, bytes], list[str]] | None:
    """The entries that joined, by id, and the ids that left. None: they cannot be read."""
    try:
        frame = _decode_presence(notice.frame)
        here = {_decode_member(entry).id: on_one_line(bytes(entry)) for entry in (*frame.joined, *frame.updated)}
        return here, [_decode_member(entry).id for entry in frame.left]
    except UNREADABLE:
        return None


def read_member(entry: bytes) -> Raw | None:
    """The entry as it may stand in a client's `presence` frame; None: it may not."""
    try:
        _decode_member(entry)
    except UNREADABLE:
        return None
    return Raw(on_one_line(entry)) if _is_object(entry) else None


def _reason(payload: bytes) -> Skipped:
    try:
        return "notice_broken" if _decode_tag(payload).type in TAGS else "notice_unknown"
    except UNREADABLE:
        return "notice_broken"


def _is_object(text: bytes | Raw) -> bool:
    return bytes(text).startswith(b"{")
