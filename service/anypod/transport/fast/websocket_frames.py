"""WebSocket frames out of bytes, and back (RFC 6455, the server's side).

Owns the framing: masks, lengths, fragments, control frames, and what is a violation. Must not know sockets or sessions.
Bytes may be cut anywhere. A violation ends the reading: nothing after it is looked at.
"""

import codecs
from collections.abc import Sequence
from enum import IntEnum
from struct import Struct
from typing import Final

try:
    from websockets.speedups import apply_mask
except ImportError:  # the library's wheel for this platform has no C part
    from websockets.utils import apply_mask


class Opcode(IntEnum):
    CONTINUATION = 0
    TEXT = 1
    BINARY = 2
    CLOSE = 8
    PING = 9
    PONG = 10


TEXT: Final = int(Opcode.TEXT)  # compared for every message, and a plain int is twice as quick


# Opcode and payload: TEXT, BINARY, CLOSE, PING or PONG; a fragmented message comes whole. Text is valid UTF-8.
# CONTINUATION, without payload, stands for a fragment that did not end its message: it costs as much as any frame.
Message = tuple[int, bytes]

_UNFINISHED: Final[Message] = (Opcode.CONTINUATION, b"")


class FrameError(Exception):
    """The client broke the protocol; `code` is the close code that says how."""

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(code, reason)
        self.code: Final = code
        self.reason: Final = reason


PROTOCOL_ERROR: Final = 1002
BAD_DATA: Final = 1007
TOO_LARGE: Final = 4413
CONTROL_BYTES_MAX: Final = 125
_CLOSE_CODES: Final = frozenset({1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 1014})
_read_opening: Final = Struct(">HH4s").unpack_from  # of a text of 126 to 65,535 bytes: opcode, length and mask
_TEXT: Final = 0x8180  # how a whole text of a client begins, with its length if it is short
_LONG_TEXT: Final = 0x81FE
_SHORT: Final = 4_096  # bytes of a text whose header stands in the table
_SHORT_HEADERS: Final = tuple(
    bytes((0x81, length)) if length < 126 else b"\x81\x7e" + length.to_bytes(2, "big") for length in range(_SHORT)
)


class FrameReader:
    """One connection's. `message_bytes_max` bounds a message, whole or in fragments."""

    __slots__ = ("_buffer", "_bytes_max", "_fragments", "_need", "_opcode", "_utf8", "error", "held")

    def __init__(self, message_bytes_max: int) -> None:
        self._bytes_max = message_bytes_max
        self._buffer: bytes | bytearray = b""
        self._need = 2  # bytes without which there is no use in looking again
        self._opcode = 0  # of the message that comes in fragments
        self._fragments: bytearray | None = None
        self._utf8: codecs.IncrementalDecoder | None = None
        self.error: FrameError | None = None
        self.held = 0  # bytes of a message that is not whole yet

    def feed(self, data: bytes) -> list[Message]:
        """The messages that are complete now. After a violation `error` is set: what was whole before it is still returned."""
        if self.error is not None:
            return []
        if self._buffer:
            data = self._joined(data)
            if len(data) < self._need:
                self._count_held()
                return []
        messages: list[Message] = []
        try:
            at = self._read_texts(data, messages) if self._fragments is None else 0
            if at < len(data):
                self._read_frames(data, at, messages)
        except FrameError as error:
            self.error = FrameError(error.code, error.reason)  # with its traceback, either would keep the other
        if self._buffer or self._fragments is not None or self.held:
            self._count_held()
        return messages

    def _count_held(self) -> None:
        self.held = len(self._buffer) + (len(self._fragments) if self._fragments is not None else 0)

    def _joined(self, data: bytes) -> bytes:
        """What was left over and what has come since; nothing while it is too little."""
        buffer = self._buffer if isinstance(self._buffer, bytearray) else bytearray(self._buffer)
        buffer += data
        if len(buffer) < self._need:
            self._buffer = buffer
            return b""
        self._buffer = b""
        return bytes(buffer)

    def _read_frames(self, data: bytes, at: int, messages: list[Message]) -> None:
        """Frames of any kind, and the beginning of the next one."""
        end = len(data)
        while (frame_end := self._frame_end(data, at, end)) > 0:
            messages.append(self._frame(data, at, frame_end))
            at = frame_end
        if at < end:
            self._buffer = data[at:]

    def _read_texts(self, data: bytes, messages: list[Message]) -> int:
        """The whole texts that the bytes begin with, which is nearly all there ever is; where something else begins."""
        end, at = len(data), 0
        while end - at >= 8:
            opening, length, mask = _read_opening(data, at)
            start = at + 8
            if opening != _LONG_TEXT:
                length, mask, start = opening - _TEXT, data[at + 2 : at + 6], at + 6
            stop = start + length
            if not _TEXT <= opening <= _LONG_TEXT or stop > end or length > self._bytes_max:
                break
            payload = apply_mask(data[start:stop], mask)
            if not payload.isascii():
                _check_text(payload)
            messages.append((TEXT, payload))
            at = stop
        return at

    def _frame_end(self, data: bytes, at: int, end: int) -> int:
        """Where the frame at `at` ends, 0 when it is not all here. Its header is judged before its payload has come."""
        if end - at < 2:
            self._need = 2
            return 0
        first, length = data[at], data[at + 1]
        if first & 0x70 or not length & 0x80:
            raise FrameError(PROTOCOL_ERROR, "reserved bits are set" if first & 0x70 else "frames of a client are masked")
        length &= 0x7F
        header = 6 if length < 126 else 8 if length == 126 else 14
        if end - at < header:
            self._need = header
            self._check_control(first, length)
            return 0
        self._check_control(first, length)
        if length == 126:
            length = int.from_bytes(data[at + 2 : at + 4], "big")
        elif length == 127:
            length = int.from_bytes(data[at + 2 : at + 10], "big")
        if length > self._bytes_max:
            raise FrameError(TOO_LARGE, f"a frame is at most {self._bytes_max} bytes")
        if end - at < header + length:
            self._need = header + length
            return 0
        return at + header + length

    def _check_control(self, first: int, length: int) -> None:
        opcode = first & 0x0F
        if opcode >= Opcode.CLOSE:
            if length > CONTROL_BYTES_MAX or not first & 0x80:
                raise FrameError(PROTOCOL_ERROR, "control frames are short and whole")
            if opcode > Opcode.PONG:
                raise FrameError(PROTOCOL_ERROR, "this opcode is reserved")
        elif opcode > Opcode.BINARY:
            raise FrameError(PROTOCOL_ERROR, "this opcode is reserved")
        elif (opcode == Opcode.CONTINUATION) != (self._fragments is not None):
            raise FrameError(PROTOCOL_ERROR, "fragments of one message follow each other")

    def _frame(self, data: bytes, at: int, end: int) -> Message:
        length = data[at + 1] & 0x7F
        mask_at = at + (2 if length < 126 else 4 if length == 126 else 10)
        payload = apply_mask(data[mask_at + 4 : end], data[mask_at : mask_at + 4])
        first = data[at]
        if first == 0x81:  # a whole text: nearly all there is
            _check_text(payload)
            return TEXT, payload
        opcode = first & 0x0F
        if opcode >= Opcode.CLOSE:
            return opcode, payload
        if first == 0x82:
            return Opcode.BINARY, payload
        return self._fragment(opcode, payload, is_last=bool(first & 0x80))

    def _fragment(self, opcode: int, payload: bytes, *, is_last: bool) -> Message:
        if self._fragments is None:
            self._fragments = bytearray()
            self._opcode = opcode
            self._utf8 = codecs.getincrementaldecoder("utf-8")() if opcode == Opcode.TEXT else None
        self._fragments += payload
        if len(self._fragments) > self._bytes_max:
            raise FrameError(TOO_LARGE, f"a message is at most {self._bytes_max} bytes")
        if self._utf8 is not None:
            try:
                self._utf8.decode(payload, is_last)
            except UnicodeDecodeError as exc:
                raise FrameError(BAD_DATA, "text is UTF-8") from exc
        if not is_last:
            return _UNFINISHED
        whole = bytes(self._fragments)
        self._fragments = self._utf8 = None
        return self._opcode, whole


def _check_text(payload: bytes) -> None:
    try:
        payload.decode()
    except UnicodeDecodeError as exc:
        raise FrameError(BAD_DATA, "text is UTF-8") from exc


def close_code_of(payload: bytes) -> int:
    """The code of a client's close frame, 1005 for none. Raises FrameError."""
    if not payload:
        return 1005
    code = int.from_bytes(payload[:2], "big")
    _check_text(payload[2:])
    if len(payload) == 1 or not (code in _CLOSE_CODES or 3000 <= code < 5000):
        raise FrameError(PROTOCOL_ERROR, "this close code is not for the wire")
    return code


def framed(payload: bytes) -> bytes:
    """A whole text or, for frames that begin with a zero byte, binary message of a server."""
    length = len(payload)
    if payload[:1] == b"\0":
        return header_of(Opcode.BINARY, length) + payload
    return (_SHORT_HEADERS[length] if length < _SHORT else header_of(Opcode.TEXT, length)) + payload


def join_framed(frames: Sequence[bytes]) -> bytes:
    """Many messages in one piece, for one write."""
    return framed(frames[0]) if len(frames) == 1 else b"".join([framed(frame) for frame in frames])


def header_of(opcode: int, length: int) -> bytes:
    first = bytes((0x80 | opcode,))
    if length < 126:
        return first + bytes((length,))
    return first + (b"\x7e" + length.to_bytes(2, "big") if length < 65_536 else b"\x7f" + length.to_bytes(8, "big"))


def control(opcode: int, payload: bytes = b"") -> bytes:
    assert len(payload) <= CONTROL_BYTES_MAX
    return header_of(opcode, len(payload)) + payload


def close_frame(code: int, reason: str = "") -> bytes:
    return control(Opcode.CLOSE, code.to_bytes(2, "big") + reason.encode()[: CONTROL_BYTES_MAX - 2].decode(errors="ignore").encode())
