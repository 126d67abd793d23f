"""The head of an HTTP request, as far as a session's transport needs it.

Owns which requests are ours, their parsing, and the answer to an upgrade (RFC 9110, RFC 6455 section 4.2). Must not know
sockets. Whatever is not clearly ours is left to the HTTP server behind us.
"""

from base64 import b64decode, b64encode
from binascii import Error as NotBase64
from collections.abc import Mapping
from hashlib import sha1
from typing import Final, NamedTuple
from urllib.parse import parse_qsl, unquote

from anypod.core.frames import SUBPROTOCOL

HEAD_BYTES_MAX: Final = 16_384  # one credential of 8 KiB and what a browser adds; proxies allow no more for a line
HEAD_TOO_LARGE: Final = b"HTTP/1.1 431 Request Header Fields Too Large\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
PATH_START: Final = b"GET /v1/sessions/"
_CONTROLS: Final = bytes((*range(32), 127))
_STAND_ONCE: Final = frozenset({"host", "origin", "authorization", "upgrade", "sec-websocket-key", "sec-websocket-version"})
_GUID: Final = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"


class HeadError(Exception):
    """The request cannot be served; `response` is the whole answer."""

    def __init__(self, status: str, headers: bytes = b"") -> None:
        super().__init__(status)
        self.response: Final = b"HTTP/1.1 %b\r\n%bContent-Length: 0\r\nConnection: close\r\n\r\n" % (status.encode(), headers)


class Head(NamedTuple):
    """`rest`: the path after the session's id. Header names are in lower case; of a repeated header the values are joined."""

    session_id: str
    rest: str
    query: Mapping[str, str]
    headers: Mapping[str, str]

    @property
    def is_upgrade(self) -> bool:
        return self.rest == "ws" and self.headers.get("upgrade", "").lower() == "websocket"

    @property
    def is_stream(self) -> bool:
        return self.rest == "events" and "text/event-stream" in self.headers.get("accept", "")


def parse_head(head: bytes) -> Head | None:
    """`head` ends before the empty line. None: not of ours, or not in the plain form that ours have."""
    request, *lines = head.split(b"\r\n")
    target, _, version = request[4:].partition(b" ")
    if version != b"HTTP/1.1" or not request.isascii():
        return None
    path, _, query = target.decode().partition("?")
    parts = path.split("/")
    if len(parts) != 5 or len(head.translate(None, _CONTROLS)) != len(head) - 2 * len(lines):
        return None  # a stray control character: other parsers would end a line there
    headers: dict[str, str] = {}
    for line in lines:
        name, colon, value = line.partition(b":")
        if not colon or not name.translate(None, b"-_").isalnum():
            return None  # folded or broken lines: the HTTP server behind us knows what to answer
        key = name.decode().lower()
        text = value.strip().decode("latin-1")
        if key in headers:
            if key in _STAND_ONCE:
                return None
            text = f"{headers[key]}, {text}"
        headers[key] = text
    if "content-length" in headers or "transfer-encoding" in headers:
        return None
    return Head(unquote(parts[3]), parts[4], dict(parse_qsl(query, keep_blank_values=True)) if query else {}, headers)


def subprotocols(head: Head) -> list[str]:
    offered = head.headers.get("sec-websocket-protocol", "")
    return [name.strip() for name in offered.split(",")] if offered else []


def upgrade_response(head: Head) -> bytes:
    """The 101. Raises HeadError."""
    headers = head.headers
    if "upgrade" not in [part.strip() for part in headers.get("connection", "").lower().split(",")] or "host" not in headers:
        raise HeadError("400 Bad Request")
    if headers.get("sec-websocket-version") != "13":
        raise HeadError("426 Upgrade Required", b"Sec-WebSocket-Version: 13\r\n")
    key = headers.get("sec-websocket-key", "").encode("latin-1")
    try:
        is_key = len(b64decode(key, validate=True)) == 16
    except NotBase64:
        is_key = False
    if not is_key:
        raise HeadError("400 Bad Request")
    accept = b64encode(sha1(key + _GUID, usedforsecurity=False).digest())
    chosen = b"Sec-WebSocket-Protocol: %b\r\n" % SUBPROTOCOL.encode() if SUBPROTOCOL in subprotocols(head) else b""
    start = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: "
    return b"%b%b\r\n%b\r\n" % (start, accept, chosen)
