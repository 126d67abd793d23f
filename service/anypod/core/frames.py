"""The frames of the wire contract, both ways: one definition for replicas and for the Python client.

Owns their fields, decoding and encoding. Must not know what a frame brings about. Events are not encoded here:
the log completes their bytes (see `event`).
"""

from typing import Annotated, Any, Final

import msgspec
from msgspec import UNSET, Meta, Raw, Struct, UnsetType

from anypod.core.errors import AnypodError, Code
from anypod.core.event import split_binary
from anypod.core.json_value import INTEGER_MAX

PROTOCOL: Final = 1
SUBPROTOCOL: Final = "anypod.v1"
NO_STATE: Final = Raw(b"{}")

Ref = str | Annotated[int, Meta(ge=-INTEGER_MAX, le=INTEGER_MAX)] | None


class _ClientFrame(Struct, tag_field="type", omit_defaults=True, gc=False, kw_only=True):
    ref: Ref = None


class InitFrame(_ClientFrame, tag="session.init", kw_only=True):
    protocol: int
    resume: bool = False
    after: str | None = None
    fold: bool | None = None
    class_: str | None = msgspec.field(default=None, name="class")
    device: str | None = None
    features: list[str] = []
    history: int | None = None


class PublishFrame(_ClientFrame, tag="publish", kw_only=True):
    id: str
    kind: str
    data: Raw | UnsetType = UNSET
    turn: str | None = None
    fence: int | None = None
    attempt: int | None = None
    part: str | None = None
    replaces: str | None = None
    intent: str | None = None
    on_busy: str | None = None
    expect: str | None = None
    traceparent: str | None = None


class ClientSignalFrame(_ClientFrame, tag="signal", kw_only=True):
    name: str
    data: Raw = Raw(b"null")
    to: str | None = None


class ClientPresenceFrame(_ClientFrame, tag="presence", kw_only=True):
    data: Raw


class SyncFrame(_ClientFrame, tag="sync", kw_only=True):
    after: str


class ClientHistoryFrame(_ClientFrame, tag="history", kw_only=True):
    before: str | None = None
    limit: int = 50


class StatePatchFrame(_ClientFrame, tag="state.patch", kw_only=True):
    state: Raw | UnsetType = UNSET
    live: Raw | UnsetType = UNSET
    metadata: Raw | UnsetType = UNSET
    expect: str | None = None


class CancelFrame(_ClientFrame, tag="cancel", kw_only=True):
    turn: str | None = None
    input: str | None = None
    all: bool = False


class AuthFrame(_ClientFrame, tag="auth", kw_only=True):
    token: str


class ClientHeartbeatFrame(_ClientFrame, tag="heartbeat", kw_only=True):
    cursor: str | None = None


ClientFrame = (
    InitFrame
    | PublishFrame
    | ClientSignalFrame
    | ClientPresenceFrame
    | SyncFrame
    | ClientHistoryFrame
    | StatePatchFrame
    | CancelFrame
    | AuthFrame
    | ClientHeartbeatFrame
)


class _ServerFrame(Struct, tag_field="type", omit_defaults=True, kw_only=True):
    ref: Ref = None


class ConnectionLimits(Struct):
    frame_bytes: int
    publish_per_s: int
    data_bytes: int


class _AttachedFrame(_ServerFrame, kw_only=True):
    session_id: str
    cursor: str
    folded: int
    heartbeat_ms: int
    resumed_at: str | None = None
    after_seq: int | None = None  # events beyond it follow: what a client cannot read off an opaque cursor, to find a hole at once
    missed: int
    state: Raw
    live: Raw
    turns: list[Any]
    limits: ConnectionLimits
    replica: str


class CreatedFrame(_AttachedFrame, tag="session.created", kw_only=True):
    pass


class RestoredFrame(_AttachedFrame, tag="session.restored", kw_only=True):
    pass


class ResetFrame(_ServerFrame, tag="session.reset", kw_only=True):
    reason: str
    common: str | None = None
    common_seq: int | None = None
    cursor: str | None = None  # absent when there is no log to follow
    folded: int = msgspec.field(default_factory=int)
    oldest: int = msgspec.field(default_factory=int)
    state: Raw = NO_STATE
    live: Raw = NO_STATE


class ClosedFrame(_ServerFrame, tag="session.closed", kw_only=True):
    cursor: str


class Replaces(Struct):
    part: str
    first_seq: int
    last_seq: int


class Event(_ServerFrame, tag="event", kw_only=True):
    seq: int
    cursor: str
    id: str
    kind: str
    author: str
    ts: int
    data: Any = None
    data_base64: str | None = None
    turn: str | None = None
    attempt: int | None = None
    part: str | None = None
    replaces: Replaces | None = None


class SyncDoneFrame(_ServerFrame, tag="sync.done", kw_only=True):
    cursor: str
    seq: int | None = None
    folded: int


class PublishedFrame(_ServerFrame, tag="published", kw_only=True):
    id: str
    seq: int
    cursor: str
    duplicate: bool


class HistoryFrame(_ServerFrame, tag="history", kw_only=True):
    events: list[Raw]
    before: str | None = None


class Origin(Struct, omit_defaults=True):
    """The sender of a signal."""

    author: str
    device: str | None = None


class SignalFrame(_ServerFrame, tag="signal", kw_only=True):
    name: str
    data: Raw
    from_: Origin = msgspec.field(name="from")
    to: str | None = None


class PresenceFrame(_ServerFrame, tag="presence", kw_only=True):
    joined: list[Raw] = []
    left: list[Raw] = []
    updated: list[Raw] = []


class AuthExpiringFrame(_ServerFrame, tag="auth.expiring", kw_only=True):
    in_ms: int


class AuthOkFrame(_ServerFrame, tag="auth.ok", kw_only=True):
    pass


class HeartbeatFrame(_ServerFrame, tag="heartbeat", kw_only=True):
    cursor: str
    ts: int
    folded: int | None = None  # given when events with folded deltas between them follow: what is missing up to here is legal


class GoawayFrame(_ServerFrame, tag="goaway", kw_only=True):
    reason: str
    reconnect_after_ms: int


class ErrorFrame(_ServerFrame, tag="error", kw_only=True):
    code: Code | str
    message: str
    retry_after_ms: int | None = None


ServerFrame = (
    CreatedFrame
    | RestoredFrame
    | ResetFrame
    | ClosedFrame
    | Event
    | SyncDoneFrame
    | PublishedFrame
    | HistoryFrame
    | SignalFrame
    | PresenceFrame
    | AuthExpiringFrame
    | AuthOkFrame
    | HeartbeatFrame
    | GoawayFrame
    | ErrorFrame
)

_client_frame: Final[msgspec.json.Decoder[ClientFrame]] = msgspec.json.Decoder(ClientFrame)
_server_frame: Final[msgspec.json.Decoder[ServerFrame]] = msgspec.json.Decoder(ServerFrame)
encode: Final = msgspec.json.Encoder().encode


def decode_client(text: bytes) -> ClientFrame:
    """One text frame of a client. Raises AnypodError `malformed`, naming what is wrong but not quoting it."""
    try:
        if not text.isascii():
            text.decode()  # msgspec takes what stands inside a Raw on trust
        return _client_frame.decode(text)
    except UnicodeDecodeError as exc:
        raise AnypodError("malformed", "the frame is not UTF-8") from exc
    except (msgspec.MsgspecError, RecursionError) as exc:
        raise AnypodError("malformed", _without_content(exc)) from exc


def decode_binary(data: bytes) -> tuple[PublishFrame, bytes]:
    """One binary frame of a client: the publish frame without `data`, and the payload. Raises AnypodError `malformed`."""
    header, payload = split_binary(data)
    frame = decode_client(header)
    if not isinstance(frame, PublishFrame) or frame.data is not UNSET:
        raise AnypodError("malformed", "the header of a binary frame is a publish frame without data")
    return frame, payload


def decode_server(text: bytes) -> ServerFrame:
    """One text frame of a replica. Raises AnypodError `malformed`, for a frame of a type that this version does not know too."""
    try:
        return _server_frame.decode(text)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as exc:
        raise AnypodError("malformed", "the frame is not of this protocol") from exc


def _without_content(exc: Exception) -> str:
    """msgspec says which field and which type, and of an unknown `type` its value: that alone could quote the sender."""
    text = str(exc)
    return "type is not one of the protocol's" if text.startswith("Invalid value") else text[:200]


def error_frame(error: AnypodError, ref: str | int | None = None) -> bytes:
    return encode(ErrorFrame(code=error.code, message=error.message, ref=ref, retry_after_ms=error.retry_after_ms))
