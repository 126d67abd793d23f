"""The framing of the lean path, against the `websockets` library as the oracle (`oracle.py` lists where they are meant to differ)."""

import time

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from tests.fast_transport.frames import UNHURRIED, RawFrame, cut, cuts, messages, read, sent, streams
from tests.fast_transport.oracle import Oracle, is_same
from websockets.frames import Close, Frame, Opcode
from websockets.protocol import Protocol, Side, State

from anypod.transport.fast.websocket_frames import (
    BAD_DATA,
    PROTOCOL_ERROR,
    TOO_LARGE,
    FrameError,
    FrameReader,
    close_code_of,
    close_frame,
    control,
    framed,
    header_of,
    join_framed,
)

BYTES_MAX = 1 << 17
SMALL_BYTES_MAX = 100


def received(data: bytes) -> list[Frame]:
    """What the library's client makes of a server's bytes."""
    client = Protocol(Side.CLIENT, state=State.OPEN, max_size=None)
    client.receive_data(data)
    assert client.parser_exc is None
    return [event for event in client.events_received() if isinstance(event, Frame)]


# Reading.


@UNHURRIED
@given(stream=st.lists(messages(), max_size=8).map(b"".join), places=cuts)
def test_well_formed_messages_arrive_whole_however_their_bytes_are_cut(stream: bytes, places: list[int]) -> None:
    oracle = Oracle(BYTES_MAX)
    oracle.feed([stream])
    assert oracle.code is None
    assert read(cut(stream, places), BYTES_MAX) == (oracle.messages, None)


@settings(UNHURRIED, max_examples=400)
@given(stream=streams(), places=cuts)
@example(stream=RawFrame(Opcode.TEXT, b"\xff", is_last=False).encode() + RawFrame(Opcode.PING, b"").encode(), places=[])
@example(stream=RawFrame(Opcode.TEXT, b"a", is_last=False).encode() + RawFrame(Opcode.CLOSE, b"\x03\xe8").encode(), places=[7])
@example(stream=RawFrame(Opcode.TEXT, b"", wide=127).encode(), places=[])
@example(stream=RawFrame(Opcode.TEXT, b"whole, but \xff").encode(), places=[])
@example(stream=b"\x81\xff" + b"\xff" * 12, places=[])
def test_any_bytes_mean_the_same_to_the_reader_and_to_the_library(stream: bytes, places: list[int]) -> None:
    oracle = Oracle(BYTES_MAX)
    oracle.feed([stream])
    found, code = read(cut(stream, places), BYTES_MAX)
    assert found[: len(oracle.messages)] == oracle.messages[: len(found)]
    if code is not None and oracle.code is None and not oracle.has_ended:
        oracle.feed([bytes(14 + BYTES_MAX)])  # ours saw it coming: the library wants the rest of the frame first
    assert is_same(code, oracle.code)
    assert found == oracle.messages


@settings(UNHURRIED, max_examples=200)
@given(st.lists(st.integers(0, 150), min_size=1, max_size=6), st.sampled_from((Opcode.TEXT, Opcode.BINARY)), cuts)
def test_a_message_beyond_the_limit_is_refused_however_it_is_fragmented(sizes: list[int], opcode: Opcode, places: list[int]) -> None:
    last = len(sizes) - 1
    stream = b"".join(sent(Opcode.CONT if at else opcode, bytes(size), is_last=at == last) for at, size in enumerate(sizes))
    oracle = Oracle(SMALL_BYTES_MAX)
    oracle.feed([stream])
    assert read(cut(stream, places), SMALL_BYTES_MAX) == (oracle.messages, oracle.code)
    assert (oracle.code == TOO_LARGE) == (sum(sizes) > SMALL_BYTES_MAX)


@UNHURRIED
@given(stream=streams(), places=cuts)
def test_how_the_bytes_are_cut_makes_no_difference(stream: bytes, places: list[int]) -> None:
    assert read(cut(stream, places), BYTES_MAX) == read([stream], BYTES_MAX) == read(cut(stream, range(len(stream))), BYTES_MAX)


@pytest.mark.parametrize(
    ("start", "code"),
    [
        (b"\xc1\x80", PROTOCOL_ERROR),  # a reserved bit
        (b"\x81\x00", PROTOCOL_ERROR),  # no mask
        (b"\x83\x80", PROTOCOL_ERROR),  # a reserved opcode
        (b"\x8b\x80", PROTOCOL_ERROR),  # a reserved control opcode
        (b"\x80\x80", PROTOCOL_ERROR),  # a continuation of nothing
        (b"\x09\x80", PROTOCOL_ERROR),  # a ping in fragments
        (b"\x89\xfe", PROTOCOL_ERROR),  # a ping of more than 125 bytes, or of fewer in a long form
        (b"\x81\xff" + (BYTES_MAX + 1).to_bytes(8, "big") + b"mask", TOO_LARGE),
    ],
)
def test_a_bad_header_is_refused_before_its_payload_has_come(start: bytes, code: int) -> None:
    assert read([start], BYTES_MAX) == ([], code)


def test_what_was_whole_before_a_violation_is_still_handed_over_and_nothing_after_it() -> None:
    reader = FrameReader(BYTES_MAX)
    assert reader.feed(sent(Opcode.TEXT, b"one") + b"\x83\x80") == [(Opcode.TEXT, b"one")]
    assert reader.error is not None
    assert reader.feed(sent(Opcode.TEXT, b"two")) == []


def test_a_fragment_that_ends_no_message_is_told_so_that_it_can_be_counted() -> None:
    reader = FrameReader(BYTES_MAX)
    unfinished = (Opcode.CONT, b"")
    assert reader.feed(sent(Opcode.TEXT, b"a", is_last=False)) == [unfinished]
    assert reader.feed(sent(Opcode.CONT, b"", is_last=False)) == [unfinished]
    assert reader.feed(sent(Opcode.CONT, b"b")) == [(Opcode.TEXT, b"ab")]


@pytest.mark.parametrize("size", [0, 1])
def test_a_hundred_thousand_tiny_fragments_cost_no_more_than_their_number(size: int) -> None:
    count = 100_000
    first, more = sent(Opcode.BINARY, bytes(size), is_last=False), sent(Opcode.CONT, bytes(size), is_last=False)
    stream = first + more * count + sent(Opcode.CONT, b"")
    began = time.process_time()
    found, code = read(cut(stream, range(0, len(stream), 65_536)), BYTES_MAX)
    assert (found, code) == ([(Opcode.BINARY, bytes(size * (count + 1)))], None)
    assert time.process_time() - began < 5.0, "about 0.2 s when each is looked at once, a minute when all are at each"


def test_a_large_message_in_small_pieces_is_copied_a_few_times_at_most() -> None:
    stream = sent(Opcode.BINARY, bytes(16 << 20))
    began = time.process_time()
    found, code = read(cut(stream, range(0, len(stream), 4_096)), 16 << 20)
    assert (len(found[0][1]), code) == (16 << 20, None)
    assert time.process_time() - began < 5.0


# The close code.


def test_a_close_code_is_accepted_exactly_when_the_library_accepts_it() -> None:
    for code in range(5_100):
        oracle = Oracle(BYTES_MAX)
        oracle.feed([sent(Opcode.CLOSE, code.to_bytes(2, "big"))])
        assert accepts_close(code) == (oracle.code is None), code


def accepts_close(code: int) -> bool:
    try:
        return close_code_of(code.to_bytes(2, "big")) == code
    except FrameError as error:
        return error.code != PROTOCOL_ERROR


def test_a_close_frame_may_be_empty_and_its_reason_is_utf8() -> None:
    assert close_code_of(b"") == 1005
    with pytest.raises(FrameError) as caught:
        close_code_of(b"\x03\xe8\xff")
    assert caught.value.code == BAD_DATA
    with pytest.raises(FrameError) as caught:
        close_code_of(b"\x03")
    assert caught.value.code == PROTOCOL_ERROR


# Writing.

frame_payloads = st.one_of(
    st.text(max_size=300).map(str.encode), st.sampled_from((125, 126, 65_535, 65_536, 70_000)).map(lambda n: b"x" * n)
)


@UNHURRIED
@given(frame_payloads)
def test_a_frame_of_ours_is_one_whole_text_to_the_library(payload: bytes) -> None:
    if payload[:1] != b"\0":
        assert received(framed(payload)) == [Frame(Opcode.TEXT, payload)]


@UNHURRIED
@given(frame_payloads)
def test_a_frame_that_begins_with_a_zero_byte_leaves_as_binary(payload: bytes) -> None:
    assert received(framed(b"\0" + payload)) == [Frame(Opcode.BINARY, b"\0" + payload)]


@UNHURRIED
@given(st.lists(frame_payloads, min_size=1, max_size=10))
def test_frames_that_are_joined_arrive_one_by_one(payloads: list[bytes]) -> None:
    assert join_framed(payloads) == b"".join(map(framed, payloads))
    assert [bytes(frame.data) for frame in received(join_framed(payloads))] == payloads


@UNHURRIED
@given(st.sampled_from((Opcode.TEXT, Opcode.BINARY)), st.sampled_from((0, 1, 125, 126, 65_535, 65_536)))
def test_a_header_is_the_one_that_the_library_writes(opcode: Opcode, length: int) -> None:
    assert header_of(opcode, length) + bytes(length) == Frame(opcode, bytes(length)).serialize(mask=False)


@UNHURRIED
@given(st.sampled_from((Opcode.PING, Opcode.PONG)), st.binary(max_size=125))
def test_a_control_frame_is_the_one_that_the_library_writes(opcode: Opcode, payload: bytes) -> None:
    assert control(opcode, payload) == Frame(opcode, payload).serialize(mask=False)


@UNHURRIED
@given(st.sampled_from((1000, 1012, 4401, 4999)), st.text(max_size=200))
def test_a_close_frame_carries_its_code_and_as_much_of_the_reason_as_fits(code: int, reason: str) -> None:
    (frame,) = received(close_frame(code, reason))
    close = Close.parse(bytes(frame.data))
    assert frame.opcode is Opcode.CLOSE
    assert close.code == code
    assert reason.startswith(close.reason)
    assert len(close.reason.encode()) > 119 or close.reason == reason, "a letter of four bytes may not fit"
