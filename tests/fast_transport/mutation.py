"""Bytes that are almost right: what a fuzz run sends.

Owns the drawing of them from a seeded source of chance, and the mutations. Must not know where they go.
"""

import json
from dataclasses import dataclass
from random import Random
from typing import Final

from tests.fast_transport.frames import RawFrame
from tests.fast_transport.raw import upgrade
from websockets.frames import Opcode

STREAM_FRAMES_MAX: Final = 60
HEAD_FAULTS_MAX: Final = 3
FRAME_FAULTS_MAX: Final = 4
NOISE_BYTES_MAX: Final = 3_000
BROKEN_ONE_IN: Final = 120  # texts: one ends its connection, and most should come to their end
PAYLOADS: Final = (
    b"",
    b"{",
    b"[]",
    b"null",
    b'{"type":"publish"}',
    b'{"type":1}',
    "ä€𝄞".encode(),
    b"\xff\xfe",
    b"\0\0\0\2{}x",
    b"{" * 5_000,
)


@dataclass(frozen=True, slots=True)
class Attempt:
    """One connection: its head, and what is sent behind it. `is_upgrade`: the head is as it should be.

    `waits`: what is behind waits until the session is open.
    """

    head: bytes
    body: bytes
    is_upgrade: bool = False
    waits: bool = False


class Mutator:
    def __init__(self, rng: Random, credential: str) -> None:
        self._rng = rng
        self._credential = credential
        self._published = 0

    def attempt(self) -> Attempt:
        rng = self._rng
        match rng.randrange(6):
            case 0:
                return Attempt(self.head(), self.frames() if rng.randrange(2) else b"")
            case 1:
                return Attempt(rng.randbytes(rng.randrange(NOISE_BYTES_MAX)), b"")
            case 2:
                noise = rng.randbytes(rng.randrange(NOISE_BYTES_MAX))
                return Attempt(upgrade(self._credential), noise, is_upgrade=True, waits=rng.randrange(2) == 0)
            case _:
                return Attempt(upgrade(self._credential), self.frames(), is_upgrade=True, waits=rng.randrange(4) > 0)

    def head(self) -> bytes:
        """A request of any kind, with a few faults."""
        rng = self._rng
        target = rng.choice(("/v1/sessions/s1/ws", "/v1/sessions/s1/ws?after=start", "/v1/sessions/%F0/ws", "/v1/sessions/s1/events"))
        more = rng.sample(("Accept: text/event-stream", "Content-Length: 5", "Origin: null", "X: y", "Last-Event-ID: x"), rng.randrange(3))
        head = upgrade(rng.choice((self._credential, "x.y.z")), target, *more)
        if rng.randrange(3) == 0:
            head = head.replace(b"Upgrade: websocket\r\n", b"")
        if rng.randrange(4) == 0:
            head = head.replace(b"GET", rng.choice((b"POST", b"PATCH", b"DELETE", b"PRI", b"get")), 1)
        return self.mutated(head, rng.randrange(HEAD_FAULTS_MAX + 1))

    def frames(self) -> bytes:
        """A client's frames, nearly all well formed, with a few faults in their bytes."""
        rng = self._rng
        encoded = b"".join(self._frame() for _ in range(rng.randrange(1, STREAM_FRAMES_MAX)))
        return self.mutated(encoded, rng.choice((0, 0, 1, FRAME_FAULTS_MAX)))

    def mutated(self, whole: bytes, faults: int) -> bytes:
        """Bits flipped, bytes cut out, doubled and put in."""
        rng, made = self._rng, bytearray(whole)
        for _ in range(faults):
            at = rng.randrange(len(made) + 1)
            match rng.randrange(4):
                case 0 if at < len(made):
                    made[at] ^= 1 << rng.randrange(8)
                case 1:
                    del made[at : at + rng.randrange(1, 40)]
                case 2:
                    made[at:at] = made[at : at + rng.randrange(1, 400)]
                case _:
                    made[at:at] = rng.randbytes(rng.randrange(1, 20))
        return bytes(made)

    def _frame(self) -> bytes:
        rng = self._rng
        odd = rng.randrange(40) == 0
        opcode = rng.choice((Opcode.TEXT,) * 8 + (Opcode.BINARY, Opcode.PING, Opcode.PONG)) if not odd else rng.randrange(16)
        payload = self._text() if opcode == Opcode.TEXT else rng.choice(PAYLOADS)[:125]
        if opcode == Opcode.TEXT and rng.randrange(4) == 0 and len(payload) > 2:
            at = rng.randrange(len(payload))
            return RawFrame(opcode, payload[:at], is_last=False).encode() + RawFrame(Opcode.CONT, payload[at:]).encode()
        return RawFrame(opcode, payload, is_last=not odd or rng.randrange(2) == 0, wide=rng.choice((0, 0, 126, 127)) if odd else 0).encode()

    def _text(self) -> bytes:
        """What a client says: most of it makes sense, some of it is broken JSON."""
        rng = self._rng
        if rng.randrange(BROKEN_ONE_IN) == 0:
            return rng.choice(PAYLOADS)
        self._published += 1
        said = rng.choice(
            (
                {"type": "publish", "id": f"e{self._published}", "kind": "message", "data": {"text": "x" * rng.randrange(200)}},
                {"type": "publish", "id": "e1", "kind": "message", "data": 1, "expect": "x", "ref": 7},
                {"type": "signal", "name": "typing", "data": None},
                {"type": "presence", "data": {"is": "here"}},
                {"type": "sync", "after": "start"},
                {"type": "history", "limit": rng.randrange(-1, 300)},
                {"type": "state.patch", "state": {"a": {"b": [1, None]}}},
                {"type": "heartbeat", "cursor": "start"},
                {"type": "auth", "token": "x.y.z"},
                {"type": "cancel", "all": True},
            )
        )
        text = json.dumps(said).encode()
        return self.mutated(text, 1) if rng.randrange(BROKEN_ONE_IN) == 0 else text
