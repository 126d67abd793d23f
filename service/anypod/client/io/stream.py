"""The text of an SSE stream, cut into events.

Owns the syntax (WHATWG HTML, "Server-sent events"), as far as our replicas use it. Must not know what an event holds.
"""

from typing import Final

from anypod.core.errors import AnypodError

EVENT_BYTES_MAX: Final = 4 << 20  # as much as a WebSocket frame: an answer of this size is an error on every transport


class EventStream:
    """`retry_ms`: how long the server asks to wait before the next stream."""

    def __init__(self) -> None:
        self.retry_ms: int | None = None
        self._rest = b""
        self._lines: list[bytes] = []
        self._size = 0

    def feed(self, chunk: bytes) -> list[bytes]:
        """The `data` of the events that end in this chunk. Raises AnypodError `too_large`."""
        *lines, self._rest = (self._rest + chunk).split(b"\n")
        found = []
        for line in lines:
            event = self._line(line.removesuffix(b"\r"))
            if event is not None:
                found.append(event)
        if len(self._rest) + self._size > EVENT_BYTES_MAX:
            raise AnypodError("too_large", f"an event of the stream is larger than {EVENT_BYTES_MAX} bytes")
        return found

    def _line(self, line: bytes) -> bytes | None:
        if not line:
            event, self._lines, self._size = b"\n".join(self._lines), [], 0
            return event or None
        name, _, value = line.partition(b":")
        value = value.removeprefix(b" ")
        if name == b"data":
            self._lines.append(value)
            self._size += len(value)
        elif name == b"retry" and value.isdigit():
            self.retry_ms = int(value)
        return None  # `id` and `event` repeat what stands in the data
