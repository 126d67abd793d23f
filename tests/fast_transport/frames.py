"""Frames as a client would send them, well and badly formed.

Owns their bytes, and how hypothesis draws them. Must not know what becomes of them.
"""

import struct
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from websockets.frames import Frame, Opcode
from websockets.utils import apply_mask

from anypod.transport.fast import websocket_frames

# A loaded machine is slow, which is no fault of what is tried.
UNHURRIED: Final = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])

MASK: Final = b"\x0f\xa5\x00\xff"
DATA_OPCODES: Final = (Opcode.CONT, Opcode.TEXT, Opcode.BINARY)
CONTROL_OPCODES: Final = (Opcode.PING, Opcode.PONG)
WIDTHS: Final = {126: "!H", 127: "!Q"}


@dataclass(frozen=True, slots=True)
class RawFrame:
    """A frame bit by bit, so that it may be wrong in any of them. `wide`: 126 or 127 for a length in more bytes than it needs."""

    opcode: int
    payload: bytes
    is_last: bool = True
    reserved: int = 0
    is_masked: bool = True
    wide: int = 0

    def encode(self) -> bytes:
        length = len(self.payload)
        short = max(self.wide, length if length < 126 else 126 if length < 65_536 else 127)
        head = bytes((self.is_last << 7 | self.reserved << 4 | self.opcode, self.is_masked << 7 | short))
        head += struct.pack(WIDTHS[short], length) if short in WIDTHS else b""
        return head + (MASK + apply_mask(self.payload, MASK) if self.is_masked else self.payload)


def sent(opcode: Opcode, payload: bytes, *, is_last: bool = True) -> bytes:
    """A frame as the library's client sends it."""
    return Frame(opcode, payload, is_last).serialize(mask=True)


def cut(stream: bytes, places: Iterable[int]) -> list[bytes]:
    """The stream in pieces: what a connection may make of one write."""
    at = [0, *sorted({place % (len(stream) + 1) for place in places}), len(stream)]
    return [stream[start:end] for start, end in pairwise(at)]


texts = st.text(max_size=200).map(str.encode)
payloads = st.one_of(texts, st.binary(max_size=300), st.integers(120, 130).map(bytes), st.sampled_from((65_535, 65_536)).map(bytes))
cuts = st.lists(st.integers(0, 1 << 20), max_size=30)


@st.composite
def raw_frames(draw: st.DrawFn) -> RawFrame:
    opcode = draw(st.one_of(st.sampled_from((*DATA_OPCODES, *CONTROL_OPCODES, Opcode.CLOSE)), st.integers(0, 15)))
    return RawFrame(
        opcode=opcode,
        payload=draw(payloads),
        is_last=draw(st.booleans()),
        reserved=draw(st.sampled_from((0, 0, 0, 0, 0, 0, 0, 1, 2, 4))),
        is_masked=draw(st.sampled_from((True,) * 9 + (False,))),
        wide=draw(st.sampled_from((0, 0, 0, 126, 127))) if opcode < Opcode.CLOSE else 0,  # oracle.py, difference 5
    )


@st.composite
def messages(draw: st.DrawFn) -> bytes:
    """One well-formed message of a client: whole or in fragments, with pings and pongs between them."""
    is_text = draw(st.booleans())
    payload = draw(texts if is_text else st.binary(max_size=300))
    pieces = cut(payload, draw(st.lists(st.integers(0, 300), max_size=4)))
    encoded = b""
    for index, piece in enumerate(pieces):
        opcode = (Opcode.TEXT if is_text else Opcode.BINARY) if index == 0 else Opcode.CONT
        encoded += sent(opcode, piece, is_last=index == len(pieces) - 1)
        if draw(st.booleans()):
            encoded += sent(draw(st.sampled_from(CONTROL_OPCODES)), draw(st.binary(max_size=125)))
    return encoded


@st.composite
def streams(draw: st.DrawFn) -> bytes:
    """What a client may send: mostly messages, then perhaps something odd, the end anywhere."""
    encoded = b"".join(draw(st.lists(messages(), max_size=4)))
    encoded += b"".join(frame.encode() for frame in draw(st.lists(raw_frames(), max_size=4)))
    encoded += draw(st.binary(max_size=20))
    return encoded[: draw(st.integers(0, len(encoded)))] if draw(st.booleans()) else encoded


def read(pieces: Sequence[bytes], bytes_max: int) -> tuple[list[websocket_frames.Message], int | None]:
    """What a frame reader makes of the pieces: messages up to a close frame, and the code of the violation, if any."""
    reader = websocket_frames.FrameReader(bytes_max)
    found: list[websocket_frames.Message] = []
    for piece in pieces:
        for message in reader.feed(piece):
            if message[0] == websocket_frames.Opcode.CONTINUATION:
                continue
            found.append(message)
            if message[0] == websocket_frames.Opcode.CLOSE:
                return _closed(found)
    return found, reader.error.code if reader.error is not None else None


def _closed(found: list[websocket_frames.Message]) -> tuple[list[websocket_frames.Message], int | None]:
    try:
        websocket_frames.close_code_of(found[-1][1])
    except websocket_frames.FrameError as error:
        return found[:-1], error.code
    return found, None
