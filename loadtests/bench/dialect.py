"""How a load speaks to each server: the same conversation in two protocols.

Owns the bytes of requests and frames, and what to look for in the answers. Must not know connections or loads: for speed
answers are counted, not parsed.
"""

import json
import os
import time
from base64 import b64encode
from typing import Final, Protocol

from anypod.auth import RIGHTS_BY_DEFAULT, Principal, mint
from anypod.core.identity import Subject, TenantId
from anypod.settings import DEV_SECRET

SECRET: Final = DEV_SECRET  # both servers know it, so that one credential is good for either
CREDENTIAL_S: Final = 3_600
TENANT: Final = TenantId("bench")
TAIL: Final = "tail"  # a place: from now on
NOWHERE: Final = "nowhere"  # a place: no events are wanted, the client publishes only


class Dialect(Protocol):
    """`session` is a channel in the other one's words. A *place* is what a client resumes after, in the server's own form."""

    accepted: bytes  # in the first line of the response
    acknowledged: bytes
    delivered: bytes
    replayed: bytes
    opened: bytes
    connected: bytes  # instead, to a client that wants no events
    ping: bytes
    pong: bytes

    def request(self, session: str, credential: str, place: str) -> bytes:
        """The upgrade."""

    def hello(self, session: str, credential: str, place: str) -> bytes:
        """The text frames that follow the upgrade, already framed; empty when it said everything."""

    def publish(self, session: str, number: int, text: bytes) -> bytes:
        """One event as a text frame; `number` is never used twice in a session."""


def credential(subject: str, *, is_guest: bool = False) -> str:
    """A guest reaches every session, not only its own, so that hundreds of different clients may come to one."""
    sessions = ("*",) if is_guest else None
    return mint(Principal(TENANT, Subject(subject), time.time() + CREDENTIAL_S, RIGHTS_BY_DEFAULT, sessions), SECRET)


def text_frame(text: bytes) -> bytes:
    """A client's frame. The mask is always zero: unmasking costs the server the same, and masking costs the load nothing."""
    size = len(text)
    if size < 126:
        return b"\x81%c\0\0\0\0%b" % (0x80 | size, text)
    return b"\x81\xfe%b\0\0\0\0%b" % (size.to_bytes(2, "big"), text)


def upgrade(path: str, headers: str) -> bytes:
    key = b64encode(os.urandom(16)).decode()
    return (
        f"GET {path} HTTP/1.1\r\nHost: bench.example.org\r\nUser-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36\r\n"
        f"Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {key}\r\n{headers}\r\n"
    ).encode()


class AnypodDialect:
    accepted = b" 101 "
    acknowledged = b'"type":"published"'
    delivered = b'"type":"event"'
    replayed = b'"type":"event"'
    opened = connected = b'"type":"sync.done"'
    ping = b"\x89\x00"
    pong = b"\x8a\x80\0\0\0\0"

    def request(self, session: str, credential: str, place: str) -> bytes:
        query = {TAIL: "after=tail", NOWHERE: "after=tail&features=no_events"}.get(place, f"after={place}&resume=true")
        headers = f"Sec-WebSocket-Protocol: anypod.v1\r\nAuthorization: Bearer {credential}\r\n"
        return upgrade(f"/v1/sessions/{session}/ws?{query}", headers)

    def hello(self, session: str, credential: str, place: str) -> bytes:
        return b""  # the cursor stands in the upgrade, as the product's own client has it

    def publish(self, session: str, number: int, text: bytes) -> bytes:
        return text_frame(b'{"type":"publish","id":"bench-%08d","kind":"message","data":{"x":"%b"}}' % (number, text))


class CentrifugoDialect:
    accepted = b" 101 "
    acknowledged = b'"publish":{}'
    delivered = b'"pub":{'
    replayed = b'"data":{'
    opened = b'"subscribe":{'
    connected = b'"connect":{'
    ping = b"\x81\x02{}"
    pong = text_frame(b"{}")

    def request(self, session: str, credential: str, place: str) -> bytes:
        return upgrade("/connection/websocket", "")

    def hello(self, session: str, credential: str, place: str) -> bytes:
        connect = text_frame(json.dumps({"id": 1, "connect": {"token": credential}}).encode())
        if place == NOWHERE:
            return connect
        ask: dict[str, object] = {"channel": session}
        if place != TAIL:
            offset, _, epoch = place.partition(":")
            ask |= {"recover": True, "offset": int(offset), "epoch": epoch}
        return connect + text_frame(json.dumps({"id": 2, "subscribe": ask}).encode())

    def publish(self, session: str, number: int, text: bytes) -> bytes:
        return text_frame(b'{"id":%d,"publish":{"channel":"%b","data":{"x":"%b"}}}' % (number + 10, session.encode(), text))


class StreamDialect:
    """The product's server-sent events. A stream publishes nothing."""

    accepted = b" 200 "
    acknowledged = b"\0never"
    delivered = b"event: event\n"
    replayed = b"event: event\n"
    opened = connected = b"event: sync.done\n"
    ping = pong = b"\0none"

    def request(self, session: str, credential: str, place: str) -> bytes:
        headers = f"Accept: text/event-stream\r\nAuthorization: Bearer {credential}\r\n"
        return f"GET /v1/sessions/{session}/events?after={place} HTTP/1.1\r\nHost: bench.example.org\r\n{headers}\r\n".encode()

    def hello(self, session: str, credential: str, place: str) -> bytes:
        return b""

    def publish(self, session: str, number: int, text: bytes) -> bytes:
        raise NotImplementedError


class PlainDialect:
    """The reference application on a stock server (`plain_app`): one frame there, one back."""

    accepted = b" 101 "
    acknowledged = delivered = replayed = b'"type":"answer"'
    opened = connected = b'"type":"welcome"'
    ping = b"\x89\x00"
    pong = b"\x8a\x80\0\0\0\0"

    def request(self, session: str, credential: str, place: str) -> bytes:
        return upgrade("/ws", f"Authorization: Bearer {credential}\r\n")

    def hello(self, session: str, credential: str, place: str) -> bytes:
        return text_frame(b'{"type":"hello"}')

    def publish(self, session: str, number: int, text: bytes) -> bytes:
        return text_frame(b'{"type":"publish","data":{"x":"%b"}}' % text)


class PlainStreamDialect(StreamDialect):
    """Its stream."""

    opened = b"event: welcome\n"

    def request(self, session: str, credential: str, place: str) -> bytes:
        headers = f"Accept: text/event-stream\r\nAuthorization: Bearer {credential}\r\n"
        return f"GET /events HTTP/1.1\r\nHost: bench.example.org\r\n{headers}\r\n".encode()
