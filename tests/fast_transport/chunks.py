"""A body in chunks (RFC 9112, 7.1), read strictly, and the server-sent events in it.

Owns the two small parsers. Must not know who sent it.
"""

import re
from dataclasses import dataclass
from typing import Final

_SIZE: Final = re.compile(rb"[0-9a-f]+")


@dataclass(frozen=True, slots=True)
class ServerSent:
    """One event of a stream; what it lacks is empty."""

    event: str = ""
    id: str = ""
    data: str = ""
    retry: str = ""


def unchunked(body: bytes) -> bytes:
    """The content. Raises AssertionError for anything but whole chunks, the last one and nothing behind it."""
    content = b""
    while True:
        size, end, body = body.partition(b"\r\n")
        assert end, "a chunk begins with a line"
        assert _SIZE.fullmatch(size), f"{size!r} is no size"
        length = int(size, 16)
        assert body[length : length + 2] == b"\r\n", "a chunk is as long as it says"
        if length == 0:
            assert body == b"\r\n", "nothing follows the last chunk"
            return content
        content += body[:length]
        body = body[length + 2 :]


def events_of(content: bytes) -> list[ServerSent]:
    """Raises AssertionError when the content is not events, each ended by an empty line."""
    *blocks, rest = content.decode().split("\n\n")
    assert rest == "", "the stream ends with a whole event"
    events = []
    for block in blocks:
        fields = dict(line.split(": ", 1) for line in block.split("\n"))
        assert fields.keys() <= {"event", "id", "data", "retry"}
        events.append(ServerSent(**fields))
    return events
