"""What of a head is kept: the address, taken apart as the standard library would, and the headers that somebody asks for."""

from urllib.parse import parse_qsl, quote, unquote

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.fast_transport.frames import UNHURRIED

from anypod.transport.fast.http_head import RequestHead, parse_head


def parsed(target: str, *lines: str) -> RequestHead | None:
    return parse_head("\r\n".join([f"GET {target} HTTP/1.1", *lines]).encode("latin-1"))


def kept(*lines: str) -> dict[str, str]:
    head = parsed("/v1/sessions/s1/ws", *lines)
    assert head is not None
    return dict(head.headers)


_address = st.text(st.characters(min_codepoint=33, max_codepoint=126, exclude_characters="?"), max_size=30)
_query = st.text("abc=&%+2F;", max_size=30)


@UNHURRIED
@given(st.one_of(_address, _query))
def test_a_query_is_read_as_the_standard_library_reads_it(query: str) -> None:
    head = parsed(f"/v1/sessions/s1/ws?{query}")
    assert head is not None
    assert head.query == dict(parse_qsl(query, keep_blank_values=True))


@UNHURRIED
@given(st.text(max_size=20))
def test_a_session_id_may_be_escaped(name: str) -> None:
    escaped = quote(name, safe="")
    head = parsed(f"/v1/sessions/{escaped}/ws")
    assert head is not None
    assert head.session_id == unquote(escaped)


def test_a_header_that_nobody_asks_for_is_checked_but_not_kept() -> None:
    assert kept("Host: a", "User-Agent: b", "Cookie: c", "Cookie: d") == {"host": "a"}
    assert parsed("/v1/sessions/s1/ws", "Host: a", "User Agent: b") is None
    assert parsed("/v1/sessions/s1/ws", "Host: a", "User-Agent") is None
    assert parsed("/v1/sessions/s1/ws", "Host: a", "Cookié: b") is None
    assert parsed("/v1/sessions/s1/ws", "Host: a", "User-Agent: b\tc") is None


@pytest.mark.parametrize("name", ["Last-Event-ID", "last-event-id", "LAST-EVENT-ID", "lAsT-eVeNt-Id"])
def test_a_name_may_be_spelled_in_any_case(name: str) -> None:
    assert kept(f"{name}: x-1") == {"last-event-id": "x-1"}
    assert parsed("/v1/sessions/s1/ws", "Host: a", f"{'HOST' if name.isupper() else 'hOsT'}: b") is None, "and stands once in any case"


@pytest.mark.parametrize("name", ["Content-Length", "content-length", "TRANSFER-ENCODING", "Transfer-Encoding"])
def test_a_body_is_none_of_ours_however_it_is_announced(name: str) -> None:
    assert parsed("/v1/sessions/s1/ws", "Host: a", f"{name}: 0") is None


def test_spaces_around_a_value_are_left_out_and_nothing_else() -> None:
    assert kept("Accept:  a b  ", "Origin:c", "Upgrade: websocket\xa0") == {"accept": "a b", "origin": "c", "upgrade": "websocket\xa0"}


def test_any_number_of_other_names_leaves_the_known_ones_known() -> None:
    strange = [f"X-{number}: y" for number in range(500)]
    assert kept(*strange, "Host: a", *strange, "Origin: b") == {"host": "a", "origin": "b"}


def test_the_subprotocols_are_taken_apart_once_for_everybody() -> None:
    head = parsed("/v1/sessions/s1/ws", "Sec-WebSocket-Protocol: anypod.v1 ,bearer.a.b.c")
    assert head is not None
    assert list(head.subprotocols) == ["anypod.v1", "bearer.a.b.c"]
    bare = parsed("/v1/sessions/s1/ws", "Host: a")
    assert bare is not None
    assert list(bare.subprotocols) == []
