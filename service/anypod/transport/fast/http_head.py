"""The head of an HTTP request, as far as a session's transport needs it.

Owns which requests are ours, their parsing, and the answer to an upgrade (RFC 9110, RFC 6455 section 4.2). Must not know
sockets. Whatever is not clearly ours is left to the HTTP server behind us. Every line is checked; only headers that
this server uses are kept.
"""

import re
from binascii import b2a_base64
from collections.abc import Mapping, Sequence
from functools import lru_cache
from hashlib import sha1
from typing import Final, NamedTuple
from urllib.parse import parse_qsl, unquote

from anypod.core.frames import SUBPROTOCOL

HEAD_BYTES_MAX: Final = 16_384  # one credential of 8 KiB and what a browser adds; proxies allow no more for a line
HEAD_TOO_LARGE: Final = b"HTTP/1.1 431 Request Header Fields Too Large\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
PATH_START: Final = b"GET /v1/sessions/"
_CONTROLS: Final = bytes((*range(32), 127))
_STAND_ONCE: Final = frozenset({"host", "origin", "authorization", "upgrade", "sec-websocket-key", "sec-websocket-version"})
_KEPT: Final = _STAND_ONCE | {"accept", "connection", "last-event-id", "sec-websocket-protocol"}
_OF_A_BODY: Final = frozenset({"content-length", "transfer-encoding"})  # ours have none
_SPELLINGS_MAX: Final = 128  # of names, remembered; a browser and its proxies send some thirty, all of them in every request
_UNNEEDED: Final = ""

_NONCE: Final = re.compile(r"[A-Za-z0-9+/]{22}==")  # 16 bytes in base64
_GUID: Final = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
_SWITCHING: Final = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: "
_CHOSEN: Final = b"Sec-WebSocket-Protocol: %b\r\n" % SUBPROTOCOL.encode()


class HeadError(Exception):
    """The request cannot be served; `response` is the whole answer."""

    def __init__(self, status: str, headers: bytes = b"") -> None:
        super().__init__(status)
        self.response: Final = b"HTTP/1.1 %b\r\n%bContent-Length: 0\r\nConnection: close\r\n\r\n" % (status.encode(), headers)


class RequestHead(NamedTuple):
    """`rest`: the path after the session's id. Header names are in lower case; of a repeated header the values are joined."""

    session_id: str
    rest: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    subprotocols: Sequence[str]

    @property
    def is_upgrade(self) -> bool:
        return self.rest == "ws" and self.headers.get("upgrade", "").lower() == "websocket"

    @property
    def is_stream(self) -> bool:
        return self.rest == "events" and "text/event-stream" in self.headers.get("accept", "")


def parse_head(head: bytes) -> RequestHead | None:
    """`head` ends before the empty line. None: not of ours, or not in the plain form that ours have."""
    request, *lines = head.decode("latin-1").split("\r\n")
    target, _, version = request[4:].partition(" ")
    path, _, query = target.partition("?")
    parts = path.split("/")
    if version != "HTTP/1.1" or not request.isascii() or len(parts) != 5:
        return None
    if len(head.translate(None, _CONTROLS)) != len(head) - 2 * len(lines):
        return None  # a stray control character: other parsers would end a line there
    headers = _headers(lines)
    if headers is None:
        return None
    session_id = unquote(parts[3]) if "%" in parts[3] else parts[3]
    offered = headers.get("sec-websocket-protocol")
    subprotocols = [name.strip() for name in offered.split(",")] if offered else ()
    return RequestHead(session_id, parts[4], _fields(query), headers, subprotocols)


def _headers(lines: list[str]) -> dict[str, str] | None:
    """None for folded or broken lines, and for a body: the HTTP server behind us knows what to answer."""
    headers: dict[str, str] = {}
    for line in lines:
        name, colon, value = line.partition(":")
        key = _key(name)
        if key is None or not colon:
            return None
        if key in headers:
            if key in _STAND_ONCE:
                return None
            headers[key] = f"{headers[key]}, {value.strip(' ')}"
        elif key != _UNNEEDED:
            headers[key] = value.strip(" ")
    return headers


@lru_cache(_SPELLINGS_MAX)
def _key(name: str) -> str | None:
    """What a header is called here; None: a head with it is none of ours."""
    if not name.isascii() or not name.replace("-", "").replace("_", "").isalnum():
        return None
    key = name.lower()
    if key in _OF_A_BODY:
        return None
    return key if key in _KEPT else _UNNEEDED


def _fields(query: str) -> dict[str, str]:
    """Where nothing is escaped, which is usual, this is all that `parse_qsl` does; what costs it most is to find that out."""
    if "%" in query or "+" in query:
        return dict(parse_qsl(query, keep_blank_values=True))
    fields = {}
    for part in query.split("&"):
        name, _, value = part.partition("=")
        if part:
            fields[name] = value
    return fields


def upgrade_response(head: RequestHead) -> bytes:
    """The 101. Raises HeadError."""
    headers = head.headers
    if not _asks_to_upgrade(headers.get("connection", "")) or "host" not in headers:
        raise HeadError("400 Bad Request")
    if headers.get("sec-websocket-version") != "13":
        raise HeadError("426 Upgrade Required", b"Sec-WebSocket-Version: 13\r\n")
    nonce = headers.get("sec-websocket-key", "")
    if _NONCE.fullmatch(nonce) is None:
        raise HeadError("400 Bad Request")
    accept = b2a_base64(sha1(nonce.encode() + _GUID, usedforsecurity=False).digest(), newline=False)
    return b"%b%b\r\n%b\r\n" % (_SWITCHING, accept, _CHOSEN if SUBPROTOCOL in head.subprotocols else b"")


@lru_cache(_SPELLINGS_MAX)
def _asks_to_upgrade(connection: str) -> bool:
    return "upgrade" in [part.strip() for part in connection.lower().split(",")]
