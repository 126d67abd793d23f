"""What replicas tell each other on a session's channel beside events.

Owns their shapes. Unlike events they are not logged, and losing one loses nothing that the log does not tell again.
A notice is a JSON object whose `type` begins with `n.`; an event's frame never does.
"""

from typing import Final

import msgspec
from msgspec import Raw, Struct


class SignalNotice(Struct, tag_field="type", tag="n.signal", omit_defaults=True):
    """`frame` is the `signal` or `presence` frame for clients; `to` a device or an author, everybody without it.

    `origin`: the attachment that it tells of, which is not told.
    """

    frame: Raw
    to: str | None = None
    is_presence: bool = False
    origin: str | None = None


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


class DeviceNotice(Struct, tag_field="type", tag="n.device"):
    """`device` of `author` has attached as `attachment`: whatever else that device had attached is replaced."""

    device: str
    author: str
    attachment: str


Notice = SignalNotice | StateNotice | ClosedNotice | DeletedNotice | DeviceNotice

encode_notice: Final = msgspec.json.Encoder().encode
decode_notice: Final = msgspec.json.Decoder(Notice).decode


def is_notice(payload: bytes) -> bool:
    return payload.startswith(b'{"type":"n.')
