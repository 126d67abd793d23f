"""What the client's machine is told.

Owns the inputs, one a fact. Must not know what the machine makes of them.
A link is one connection of one transport, numbered by the machine when it asks for it; inputs of links that it has given up are ignored.
"""

from dataclasses import dataclass, field

from anypod.core.frames import ClientFrame, ErrorFrame, Event, PublishedFrame, PublishFrame, ServerFrame


@dataclass(frozen=True, slots=True)
class Start:
    """Begin. Once, before anything else."""


@dataclass(frozen=True, slots=True)
class Opened:
    """The link is open: the upgrade was answered, the stream has begun; for polling, the link is ready to fetch."""

    link: int


@dataclass(frozen=True, slots=True)
class Received:
    """One frame arrived. An event's `data` is its value, and bytes where it is binary."""

    link: int
    frame: ServerFrame


@dataclass(frozen=True, slots=True)
class PageReceived:
    """The answer to a `Fetch`. `closed`: the log has ended; nothing follows once there is no `more`."""

    link: int
    events: tuple[Event, ...]
    cursor: str
    folded: int
    more: bool
    closed: bool = False


@dataclass(frozen=True, slots=True)
class ConnectionClosed:
    """The link is closed, or could not be opened. `code`: 1006 without a close frame. `retry_after_ms`: as the server asked."""

    link: int
    code: int
    reason: str = ""
    retry_after_ms: int | None = None


@dataclass(frozen=True, slots=True)
class Answered:
    """The answer to a `Post`, put as the frame that a WebSocket would have brought (an error's `ref` is the id)."""

    frame: PublishedFrame | ErrorFrame


@dataclass(frozen=True, slots=True)
class Publish:
    """The application publishes. No event of that id may be unsettled. `payload`: binary data, absent from the frame."""

    publish: PublishFrame
    payload: bytes | None = None


@dataclass(frozen=True, slots=True)
class SendFrame:
    """Send a frame that needs no answer, if a WebSocket is attached; else nothing happens, and the shell sees no `Send`."""

    frame: ClientFrame


@dataclass(frozen=True, slots=True)
class CredentialGiven:
    """The answer to `AskCredential`. HTTP requests from now on carry it too."""

    credential: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class CredentialFailed:
    """`is_final`: the provider knows that asking again is of no use."""

    reason: str
    is_final: bool = False


@dataclass(frozen=True, slots=True)
class Paused:
    """The application lags behind: links are not read, so their silence says nothing."""


@dataclass(frozen=True, slots=True)
class Resumed:
    """Links are read again."""


@dataclass(frozen=True, slots=True)
class NetworkChanged:
    """The network may be back or another one: a back-off need not be waited out, and what is open must prove itself."""


@dataclass(frozen=True, slots=True)
class Tick:
    """The time asked for by `Wake` has come."""


@dataclass(frozen=True, slots=True)
class Stop:
    """The application is done."""


Input = (
    Start
    | Opened
    | Received
    | PageReceived
    | ConnectionClosed
    | Answered
    | Publish
    | SendFrame
    | CredentialGiven
    | CredentialFailed
    | Paused
    | Resumed
    | NetworkChanged
    | Tick
    | Stop
)
