import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from anypod.client.io.sse import EVENT_BYTES_MAX, EventStream
from anypod.core.errors import AnypodError

frames = st.lists(
    st.dictionaries(st.text(max_size=5), st.text(max_size=20), max_size=3).map(lambda frame: json.dumps(frame).encode()), max_size=5
)


@given(frames=frames, line_end=st.sampled_from([b"\n", b"\r\n"]), data=st.data())
def test_events_are_found_however_the_bytes_are_cut(frames: list[bytes], line_end: bytes, data: st.DataObject) -> None:
    text = b"".join(b"id: c\nevent: event\ndata: %b\n\n" % frame for frame in frames).replace(b"\n", line_end)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(text)), max_size=8)))
    stream = EventStream()
    found = [event for start, end in zip([0, *cuts], [*cuts, len(text)], strict=True) for event in stream.feed(text[start:end])]
    assert found == frames


def test_comments_and_lines_without_data_are_no_events() -> None:
    assert EventStream().feed(b": hello\n\nevent: x\nid: 1\n\ndata:a\ndata: b\n\n") == [b"a\nb"]


def test_the_wait_before_the_next_stream_is_remembered() -> None:
    stream = EventStream()
    stream.feed(b"retry: 1500\n\nretry: soon\n\n")
    assert stream.retry_ms == 1_500


def test_an_event_without_end_is_an_error_not_a_leak() -> None:
    stream = EventStream()
    assert stream.feed(b"x" * EVENT_BYTES_MAX) == []
    with pytest.raises(AnypodError) as caught:
        stream.feed(b"x")
    assert caught.value.code == "too_large"
