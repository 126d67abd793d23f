"""What the `websockets` library makes of a client's bytes.

Owns the oracle: the library's own protocol without a connection, and the few places where ours is meant to differ:

1. A frame or message beyond the limit is closed with 4413, the contract's code, rather than 1009.
2. Text that is not UTF-8 is refused at the fragment that breaks it, not when the message is complete. (The library leaves
   the check to whoever takes the message, so the oracle makes it.)
3. A close frame between fragments is a close frame: nobody waits for the rest of a message whose sender leaves.
4. What a frame's first two bytes tell is judged by them, before its length is known: a frame that is wrong and too long is 1002.
5. A control frame with a length of more than one byte is refused whatever the length: the shortest form is a must (RFC 6455, 5.2).
"""

import codecs
from collections.abc import Sequence
from typing import Final

from websockets.exceptions import ProtocolError
from websockets.frames import Close, Frame, Opcode
from websockets.protocol import Protocol, Side, State

from anypod.transport.fast.websocket_frames import BAD_DATA, PROTOCOL_ERROR, TOO_LARGE, Message

LIBRARY_TOO_LARGE: Final = 1009


class Oracle:
    """`messages` up to a close frame; `code` of the violation, None without one."""

    def __init__(self, bytes_max: int) -> None:
        self.messages: list[Message] = []
        self.code: int | None = None
        self._library = Protocol(Side.SERVER, state=State.OPEN, max_size=bytes_max)
        self._opcode: Opcode | None = None
        self._pieces: list[bytes] = []
        self._utf8: codecs.IncrementalDecoder | None = None

    @property
    def has_ended(self) -> bool:
        return self.code is not None or (bool(self.messages) and self.messages[-1][0] == Opcode.CLOSE)

    def feed(self, pieces: Sequence[bytes]) -> None:
        for piece in pieces:
            if not self.has_ended:
                self._feed(piece)

    def _feed(self, piece: bytes) -> None:
        self._library.receive_data(piece)
        for event in self._library.events_received():
            assert isinstance(event, Frame)
            if not self.has_ended:
                self._take(event)
        if self._library.parser_exc is not None and not self.has_ended:
            self._violated()

    def _violated(self) -> None:
        rejected = self._library.close_rcvd
        if rejected is not None and "incomplete fragmented message" in str(self._library.parser_exc):
            self.messages.append((Opcode.CLOSE, _payload(rejected)))  # difference 3
            return
        sent = self._library.close_sent
        assert sent is not None
        self.code = TOO_LARGE if sent.code == LIBRARY_TOO_LARGE else int(sent.code)  # difference 1

    def _take(self, frame: Frame) -> None:
        payload = bytes(frame.data)
        if frame.opcode in {Opcode.PING, Opcode.PONG, Opcode.CLOSE}:
            self.messages.append((frame.opcode, payload))
            return
        if frame.opcode is not Opcode.CONT:
            self._opcode = frame.opcode
            self._utf8 = codecs.getincrementaldecoder("utf-8")() if frame.opcode is Opcode.TEXT else None
        self._pieces.append(payload)
        try:
            if self._utf8 is not None:
                self._utf8.decode(payload, frame.fin)
        except UnicodeDecodeError:
            self.code = BAD_DATA  # difference 2
            return
        if frame.fin:
            assert self._opcode is not None
            self.messages.append((self._opcode, b"".join(self._pieces)))
            self._pieces = []


def _payload(close: Close) -> bytes:
    try:
        return close.serialize()
    except ProtocolError:  # there was none
        return b""


def is_same(ours: int | None, theirs: int | None) -> bool:
    """Is the violation the same? Difference 4."""
    return ours == theirs or (ours == PROTOCOL_ERROR and theirs == TOO_LARGE)
