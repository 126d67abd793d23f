"""Drafts are checked and encoded once; frames are read without being parsed."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from anypod.core.errors import AnypodError
from anypod.core.event import (
    DELTA_KINDS,
    NO_DETAILS,
    Details,
    author_json,
    complete,
    draft,
    is_binary,
    position,
    split_binary,
)

ANN = author_json("ann")
CURSOR = "abcd1234-1aaaaaa-57-1234567890"

names = st.from_regex(r"[A-Za-z0-9_.:-]{1,64}", fullmatch=True)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(), lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner)
)


def test_a_frame_is_the_event_of_the_contract() -> None:
    item = draft("e1", "message", b'{"text":"hi"}', author=ANN, ts_ms=5, details=Details(turn="t1", fence=3, attempt=2, part="p"))
    assert json.loads(complete(item, 57, CURSOR)) == {
        "type": "event",
        "seq": 57,
        "cursor": CURSOR,
        "id": "e1",
        "kind": "message",
        "author": "ann",
        "ts": 5,
        "turn": "t1",
        "attempt": 2,
        "part": "p",
        "data": {"text": "hi"},
    }


def test_a_frame_of_what_ends_a_part_says_which_deltas_it_replaces() -> None:
    item = draft("e1", "message", b"1", author=ANN, ts_ms=5, details=Details(replaces="p"))
    assert json.loads(complete(item, 9, CURSOR, (3, 7)))["replaces"] == {"part": "p", "first_seq": 3, "last_seq": 7}


@given(names, names, json_values, st.text(max_size=50), st.integers(0, 2**45))
def test_whatever_is_published_stands_in_the_frame(event_id: str, kind: str, value: object, author: str, ts_ms: int) -> None:
    part = Details(part="p") if kind in DELTA_KINDS else NO_DETAILS
    frame = complete(draft(event_id, kind, json.dumps(value).encode(), author=author_json(author), ts_ms=ts_ms, details=part), 57, CURSOR)
    read = json.loads(frame)
    assert (read["id"], read["kind"], read["data"], read["author"], read["ts"]) == (event_id, kind, value, author, ts_ms)
    assert position(frame) == (57, CURSOR)
    assert not is_binary(frame)


@given(st.binary(max_size=300), st.integers(1, 2**50))
def test_a_binary_frame_is_a_length_a_header_and_the_payload(payload: bytes, seq: int) -> None:
    frame = complete(draft("a1", "audio", payload, author=ANN, ts_ms=5, is_binary=True), seq, CURSOR)
    header, rest = split_binary(frame)
    assert is_binary(frame)
    assert rest == payload
    assert position(frame) == (seq, CURSOR)
    assert json.loads(header) == {"type": "event", "seq": seq, "cursor": CURSOR, "id": "a1", "kind": "audio", "author": "ann", "ts": 5}


@given(st.binary(max_size=40))
def test_any_bytes_are_split_or_refused(data: bytes) -> None:
    length = int.from_bytes(data[:4], "big")
    if len(data) >= 4 and length <= len(data) - 4:
        assert split_binary(data) == (data[4 : 4 + length], data[4 + length :])
    else:
        with pytest.raises(AnypodError, match="length"):
            split_binary(data)


def test_the_length_of_a_binary_header_is_bounded() -> None:
    with pytest.raises(AnypodError):
        split_binary((100).to_bytes(4, "big") + b"x" * 200, header_bytes_max=99)


@pytest.mark.parametrize(
    ("event_id", "kind", "details", "told"),
    [
        ("", "message", NO_DETAILS, "id"),
        ("a b", "message", NO_DETAILS, "id"),
        ('a"', "message", NO_DETAILS, "id"),
        ("e1", "", NO_DETAILS, "kind"),
        ("e1", 'm","x":"', NO_DETAILS, "kind"),
        ("e1", "message", Details(turn="a/b"), "turn"),
        ("e1", "message", Details(part=""), "part"),
        ("e1", "message", Details(replaces="x" * 65), "replaces"),
        ("e1", "message", Details(fence=0), "fence"),
        ("e1", "message", Details(attempt=1 << 53), "attempt"),
        ("e1", "token", NO_DETAILS, "part"),
        ("e1", "token", Details(part="p", replaces="q"), "replace"),
    ],
)
def test_what_is_not_well_formed_is_refused_by_the_name_of_the_field(event_id: str, kind: str, details: Details, told: str) -> None:
    with pytest.raises(AnypodError, match=told) as caught:
        draft(event_id, kind, b"1", author=ANN, ts_ms=5, details=details)
    assert caught.value.code == "malformed"


@pytest.mark.parametrize("kind", sorted(DELTA_KINDS))
def test_a_kind_that_adds_to_a_part_is_a_delta_unless_it_is_binary(kind: str) -> None:
    assert draft("e1", kind, b'"x"', author=ANN, ts_ms=5, details=Details(part="p")).is_delta
    assert not draft("e1", kind, b"x", author=ANN, ts_ms=5, details=Details(part="p"), is_binary=True).is_delta
    assert not draft("e1", "message", b'"x"', author=ANN, ts_ms=5, details=Details(part="p")).is_delta


def test_a_repetition_has_the_same_digest_whenever_it_comes_and_whoever_holds_the_turn() -> None:
    first = draft("e1", "message", b"1", author=ANN, ts_ms=5, details=Details(turn="t", fence=1))
    again = draft("e1", "message", b"1", author=ANN, ts_ms=9, details=Details(turn="t", fence=2))
    assert first.digest == again.digest


@pytest.mark.parametrize(
    "other",
    [
        draft("e1", "message", b"2", author=ANN, ts_ms=5),
        draft("e1", "other", b"1", author=ANN, ts_ms=5),
        draft("e1", "message", b"1", author=author_json("bob"), ts_ms=5),
        draft("e1", "message", b"1", author=ANN, ts_ms=5, details=Details(turn="t")),
        draft("e1", "message", b"1", author=ANN, ts_ms=5, details=Details(part="p")),
        draft("e1", "message", b"1", author=ANN, ts_ms=5, details=Details(replaces="p")),
    ],
)
def test_another_body_has_another_digest(other: object) -> None:
    assert getattr(other, "digest", None) != draft("e1", "message", b"1", author=ANN, ts_ms=5).digest


@given(json_values)
def test_a_frame_has_no_line_break_so_that_it_fits_into_one_line_of_a_stream(value: object) -> None:
    item = draft("e1", "message", json.dumps(value, indent=2).replace("\n", "\r\n").encode(), author=ANN, ts_ms=5)
    assert not {b"\n"[0], b"\r"[0]} & set(item.body)
    assert json.loads(complete(item, 1, CURSOR))["data"] == value


def test_the_size_of_a_draft_counts_its_payload() -> None:
    item = draft("e1", "audio", b"12345", author=ANN, ts_ms=5, is_binary=True)
    assert item.size == len(item.body) + 5
