"""Every frame of a replica is one line, whatever is told by it, and comes out of every way of writing it as it was."""

import json
import typing
from typing import Annotated, Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec import Raw
from tests.unit.core.test_json_value import scalars, texts

from anypod.api.events import HistoryView
from anypod.api.polls import PageView
from anypod.client.io.decoding import decode_history, decode_page, decode_text
from anypod.client.io.sse import EventStream
from anypod.client.types import signal_of
from anypod.core import frames
from anypod.core.event import Details, author_json, complete, draft
from anypod.core.json_value import INTEGER_MAX, checked
from anypod.core.notices import SignalNotice, read_notice
from anypod.hub.requests import signal_notice
from anypod.transport.asgi import sse

CURSOR = "epoch001-1abcdef-57-1234567890"
lines = st.text(st.characters(exclude_categories=["Cs"]) | st.sampled_from('\n\r"\\\u2028\x00'))
integers = st.integers(-INTEGER_MAX, INTEGER_MAX)
raws = st.sampled_from([b"1", b'{ "a" :\r\n [1,\t2 ] }', b'"\\n \\u2028"', b"[\n]", b" null\n"]).map(checked).map(Raw)

SIMPLE: dict[Any, st.SearchStrategy[Any]] = {
    str: lines,
    int: integers,
    Raw: raws,
    Any: scalars,
    bool: st.booleans(),
    type(None): st.none(),
}


def of_type(hint: Any) -> st.SearchStrategy[Any]:
    """Anything that a member of this type may hold."""
    origin, inner = typing.get_origin(hint), typing.get_args(hint)
    if origin is Annotated:
        return of_type(inner[0])
    if origin is list:
        return st.lists(of_type(inner[0]), max_size=3)
    if inner and origin is not typing.Literal:
        return st.one_of(*map(of_type, inner))
    if isinstance(hint, type) and issubclass(hint, msgspec.Struct):
        return of_struct(hint)
    if hint in SIMPLE:
        return SIMPLE[hint]
    return st.sampled_from(inner)


def of_struct(struct: type[msgspec.Struct]) -> st.SearchStrategy[Any]:
    hints = typing.get_type_hints(struct, include_extras=True)
    members = {name: of_type(hints[name]) for name in struct.__struct_fields__}
    return st.fixed_dictionaries(members).map(lambda given: struct(**given))


def streamed(frame: bytes) -> list[bytes]:
    """What a reader of the stream makes of it, however it is cut."""
    text = sse.encode_frame(frame)
    stream = EventStream()
    return [found for at in range(0, len(text), 7) for found in stream.feed(text[at : at + 7])]


@pytest.mark.parametrize("kind", [kind for kind in typing.get_args(frames.ServerFrame) if kind is not frames.Event])
@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(given_data=st.data())
def test_a_frame_is_one_line_and_a_stream_carries_it_whole(kind: type[msgspec.Struct], given_data: st.DataObject) -> None:
    frame = given_data.draw(of_struct(kind))
    text = frames.encode(frame)
    assert b"\n" not in text
    assert b"\r" not in text
    assert streamed(text) == [text]
    assert frames.decode_server(text) == msgspec.json.decode(text, type=kind)


@settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(texts, st.booleans(), lines.filter(bool))
def test_an_event_is_one_line_and_every_decoder_of_every_transport_reads_its_value(text: bytes, has_part: bool, author: str) -> None:
    details = Details(part="p") if has_part else Details(replaces="p")
    made = draft("m1", "token" if has_part else "message", text, author=author_json(author), ts_ms=1, details=details)
    frame = complete(made, 57, CURSOR, None if has_part else (3, 9))
    assert b"\n" not in frame
    assert b"\r" not in frame
    assert streamed(frame) == [frame]
    page = msgspec.json.encode(PageView([Raw(frame), Raw(frame)], CURSOR, CURSOR, 0, False, False))
    history = msgspec.json.encode(HistoryView([Raw(frame)], CURSOR))
    for event in (decode_text(frame), *decode_page(page).events, *decode_history(history).events):
        assert isinstance(event, frames.Event)
        assert (event.data, event.author, event.seq) == (json.loads(text), author, 57)


@settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(texts, lines.filter(lambda name: len(name) <= 64), lines)
def test_a_signal_is_one_line_and_its_value_is_read(text: bytes, name: str, author: str) -> None:
    notice = read_notice(signal_notice(name, text, frames.Origin(author=author), None))
    assert isinstance(notice, SignalNotice)
    frame = bytes(notice.frame)
    assert streamed(frame) == [frame]
    signal = signal_of(frames.decode_server(frame))  # type: ignore[arg-type]
    assert (signal.name, signal.data, signal.author) == (name, json.loads(text), author)
