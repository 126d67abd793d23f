"""Which requests the lean path takes, against the `websockets` library as the oracle; everything odd is left to the HTTP server."""

import re
from base64 import b64encode

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from tests.fast_transport.frames import UNHURRIED
from websockets.exceptions import WebSocketException
from websockets.http11 import Request
from websockets.server import ServerProtocol

from anypod.transport.fast.http_head import PATH_START, HeadError, parse_head, upgrade_response

KEY = b64encode(bytes(range(16))).decode()
USUAL = {
    "Host": "anypod.example",
    "Upgrade": "websocket",
    "Connection": "keep-alive, Upgrade",
    "Sec-WebSocket-Key": KEY,
    "Sec-WebSocket-Version": "13",
    "Sec-WebSocket-Protocol": "anypod.v1, bearer.abc",
}


def head_of(*, target: str = "/v1/sessions/s1/ws", version: str = "HTTP/1.1", without: str = "", **headers: str) -> bytes:
    """The usual upgrade with these headers instead, underscores for dashes."""
    changed = {name.replace("_", "-"): value for name, value in headers.items()}
    lines = [f"{name}: {value}" for name, value in (USUAL | changed).items() if name != without]
    return "\r\n".join([f"GET {target} {version}", *lines]).encode("latin-1")


def library_answer(head: bytes) -> tuple[int, str | None]:
    """Status and accept key of the library's server.

    One difference is meant: it refuses a list for any element that is not a token, we look for the elements that we know.
    """
    server = ServerProtocol(max_size=None)
    lines = [tidy(line) for line in head.split(b"\r\n")]
    server.receive_data(b"\r\n".join([line for line in lines if line] + [b"", b""]))
    events = server.events_received()
    if server.handshake_exc is not None or not events:
        return 400, None
    assert isinstance(events[0], Request)
    try:
        response = server.accept(events[0])
    except WebSocketException:
        return 400, None
    return response.status_code, response.headers.get("Sec-WebSocket-Accept")


def tidy(line: bytes) -> bytes:
    name, _, value = line.partition(b":")
    if name.lower() not in {b"connection", b"sec-websocket-protocol"}:
        return line
    tokens = [element for element in value.split(b",") if re.fullmatch(rb"\s*[\w!#$%&'*+.^`|~-]+\s*", element, re.ASCII)]
    return name + b": " + b",".join(tokens) if tokens else b""


def our_answer(head: bytes) -> tuple[int, str | None] | None:
    """None: left to the HTTP server."""
    parsed = parse_head(head) if head.startswith(PATH_START) else None
    if parsed is None or not parsed.is_upgrade:
        return None
    try:
        response = upgrade_response(parsed)
    except HeadError as error:
        return int(error.response.split()[1]), None
    lines = dict(line.split(": ", 1) for line in response.decode().splitlines()[1:] if line)
    assert response.endswith(b"\r\n\r\n")
    return 101, lines["Sec-WebSocket-Accept"]


def test_an_upgrade_is_answered_with_the_key_that_the_library_computes() -> None:
    assert our_answer(head_of()) == library_answer(head_of())
    assert our_answer(head_of(Sec_WebSocket_Key="dGhlIHNhbXBsZSBub25jZQ==")) == (101, "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=")  # RFC 6455, 1.3


def test_our_subprotocol_is_chosen_and_a_credential_is_never_echoed() -> None:
    parsed = parse_head(head_of())
    assert parsed is not None
    assert parsed.subprotocols == ["anypod.v1", "bearer.abc"]
    response = upgrade_response(parsed)
    assert b"Sec-WebSocket-Protocol: anypod.v1\r\n" in response
    assert b"bearer" not in response
    other = parse_head(head_of(Sec_WebSocket_Protocol="bearer.abc"))
    assert other is not None
    assert b"Sec-WebSocket-Protocol" not in upgrade_response(other)


def test_address_query_and_headers_of_a_head_are_read() -> None:
    parsed = parse_head(head_of(target="/v1/sessions/a%3Ab/ws?after=x-1&resume=true&fold=", last_EVENT_id="x-2"))
    assert parsed is not None
    assert (parsed.session_id, parsed.rest) == ("a:b", "ws")
    assert parsed.query == {"after": "x-1", "resume": "true", "fold": ""}
    assert parsed.headers["last-event-id"] == "x-2"


def test_a_list_that_stands_on_two_lines_is_one_list() -> None:
    parsed = parse_head(head_of() + b"\r\nsec-websocket-protocol: more\r\nConnection: x")
    assert parsed is not None
    assert parsed.subprotocols == ["anypod.v1", "bearer.abc", "more"]
    assert our_answer(head_of() + b"\r\nConnection: x") == our_answer(head_of())


@pytest.mark.parametrize(
    ("changes", "status"),
    [
        ({"Sec_WebSocket_Version": "8"}, 426),
        ({"Sec_WebSocket_Key": "short"}, 400),
        ({"Sec_WebSocket_Key": b64encode(bytes(17)).decode()}, 400),
        ({"Sec_WebSocket_Key": "ä" * 24}, 400),
        ({"Connection": "keep-alive"}, 400),
        ({"without": "Host"}, 400),
        ({"without": "Sec-WebSocket-Key"}, 400),
        ({"without": "Sec-WebSocket-Version"}, 426),
        ({"without": "Connection"}, 400),
    ],
)
def test_a_broken_upgrade_is_refused_with_a_status(changes: dict[str, str], status: int) -> None:
    assert our_answer(head_of(**changes)) == (status, None)


@pytest.mark.parametrize(
    "head",
    [
        head_of(version="HTTP/1.0"),
        head_of(version="HTTP/1.1 x"),
        head_of(version="HTTP/2"),
        head_of(target="/v1/sessions/s1/ws/more"),
        head_of(target="/v1/sessions/s1"),
        head_of(target="/v1/sessions/ä/ws"),
        head_of(target="/v1/sessions/s1/ws\nX: y"),
        head_of(Upgrade="h2c"),
        head_of(Upgrade="websocket, h2c"),
        head_of(without="Upgrade"),
        head_of(Content_Length="5"),
        head_of(Transfer_Encoding="chunked"),
        head_of() + b"\r\n folded",
        head_of() + b"\r\nno colon",
        head_of() + b"\r\n: no name",
        head_of() + b"\r\nX : y",
        head_of() + b"\r\nX\x00: y",
        head_of() + b"\r\nX: y\nHost: evil",
        head_of() + b"\r\nX: y\rHost: evil",
        head_of() + b"\r\nX: \x00",
        head_of() + b"\r\nHost: evil",
        head_of() + b"\r\nOrigin: a\r\nOrigin: b",
        head_of() + b"\r\nAuthorization: Bearer a\r\nAuthorization: Bearer b",
        head_of() + b"\r\nsec-websocket-key: " + KEY.encode(),
    ],
)
def test_whatever_is_odd_is_left_to_the_http_server(head: bytes) -> None:
    assert our_answer(head) is None


def test_only_streams_and_upgrades_are_ours() -> None:
    stream = parse_head(head_of(target="/v1/sessions/s1/events?after=start", without="Upgrade", Accept="text/event-stream"))
    assert stream is not None
    assert stream.is_stream
    assert not stream.is_upgrade
    page = parse_head(head_of(target="/v1/sessions/s1/events", without="Upgrade", Accept="application/json"))
    assert page is not None
    assert not page.is_stream


# Arbitrary heads.

names = st.one_of(
    st.sampled_from(tuple(USUAL)), st.sampled_from(("Origin", "Cookie", "Content-Length", "Transfer-Encoding", "X")), st.text(max_size=5)
)
values = st.one_of(st.sampled_from(tuple(USUAL.values())), st.text(st.characters(max_codepoint=255), max_size=20))
headers = st.lists(st.tuples(names, values), max_size=4)
dropped = st.one_of(st.none(), st.none(), st.sampled_from(tuple(USUAL)))


@st.composite
def heads(draw: st.DrawFn) -> bytes:
    """The usual upgrade, with a header fewer, some more, and some bytes changed."""
    drop = draw(dropped)
    lines = [f"{name}: {value}" for name, value in USUAL.items() if name != drop]
    more = [f"{name}{draw(st.sampled_from((': ', ':', ' : ', '')))}{value}" for name, value in draw(headers)]
    target = draw(st.sampled_from(("/v1/sessions/s1/ws", "/v1/sessions/s1/ws?after=start", "/v1/sessions/%20/ws")))
    version = draw(st.sampled_from(("HTTP/1.1", "HTTP/1.1", "HTTP/1.1", "HTTP/1.0")))
    head = bytearray("\r\n".join([f"GET {target} {version}", *draw(st.permutations(lines + more))]).encode("latin-1", "replace"))
    for at, byte in draw(st.lists(st.tuples(st.integers(0, 1_000), st.integers(0, 255)), max_size=3)):
        head[at % len(head)] = byte
    return bytes(head)


@settings(UNHURRIED, max_examples=500)
@given(heads())
@example(head_of(Connection="upgrade"))
@example(head_of(Upgrade="WebSocket"))
def test_a_head_that_is_taken_as_an_upgrade_is_one_to_the_library_too(head: bytes) -> None:
    ours = our_answer(head)
    if ours is not None and ours[0] == 101:
        assert library_answer(head) == ours


@settings(UNHURRIED, max_examples=200)
@given(st.one_of(heads(), st.binary(max_size=200), st.text(max_size=200).map(str.encode)))
def test_no_head_is_more_than_left_or_refused(noise: bytes) -> None:
    our_answer(noise.partition(b"\r\n\r\n")[0])
    our_answer(b"GET /v1/sessions/" + noise.partition(b"\r\n\r\n")[0])
