"""Floods: what clients say who mean harm, each kind by its name.

Owns the bytes. Must not know what they are answered, nor how many come at once.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from tests.fast_transport.raw import INIT, said, sent, upgrade
from tests.support.replica_process import credential
from websockets.frames import Opcode

SESSIONS: Final = 90  # that floods make: fewer than a subject may have
GOOD: Final = credential("acme", "ann")
GIANT: Final = b"\x81\xff" + (1 << 30).to_bytes(8, "big") + b"mask"  # the head of a text of a gigabyte
JOIN: Final = (upgrade(GOOD), INIT)
OTHERS_SECRET: Final = "a-secret-that-these-replicas-do-not-know"


def asked(path: str, *lines: str, method: str = "GET", body: bytes = b"") -> bytes:
    usual = (f"{method} {path} HTTP/1.1", "Host: 127.0.0.1", f"Authorization: Bearer {GOOD}", "Connection: close")
    return "\r\n".join((*usual, f"Content-Length: {len(body)}", *lines, "", "")).encode() + body


def forged(number: int) -> str:
    return credential("acme", f"nobody-{number}", secret=OTHERS_SECRET)


def many(count: int = 2_000, **fields: Any) -> Sequence[bytes]:
    """So many frames of this content on an open connection."""
    return (*JOIN, said(**fields) * count)


# What the connection of this number says, piece by piece.
FLOODS: Final[Mapping[str, Callable[[int], Sequence[bytes]]]] = {
    "nothing": lambda _: (),
    "half a head": lambda _: (upgrade(GOOD)[:200],),
    "no session.init": lambda _: (upgrade(GOOD),),
    "forged credentials": lambda number: (upgrade(forged(number)), INIT),
    "tickets of nobody": lambda number: (upgrade(GOOD).replace(b"Bearer " + GOOD.encode(), b"Ticket %040x" % number), INIT),
    "sessions that are not there": lambda number: (asked(f"/v1/sessions/n{number}"),),
    "one session after the other": lambda number: (upgrade(GOOD, f"/v1/sessions/s{number % SESSIONS}/ws"), INIT),
    "cursors of nobody": lambda number: (upgrade(GOOD, f"/v1/sessions/s1/ws?after=epoch-{number}-1-1&resume=true"),),
    "paths": lambda number: (asked(f"/{number:0200x}"),),
    "headers": lambda number: (asked("/v1/sessions", *(f"X-{number}-{line}: {'a' * 100}" for line in range(90))),),
    "heads without end": lambda _: (upgrade(GOOD)[:-2] + b"X: " + b"a" * 20_000,),
    "bodies that are too large": lambda _: (asked("/v1/sessions", method="POST", body=b" " * 300_000),),
    "JSON that nests": lambda _: (asked("/v1/sessions/s1/events", method="POST", body=b'{"kind":"message","data":' + b"[" * 60_000),),
    "frames of a gigabyte": lambda _: (*JOIN, GIANT + b"x" * 60_000),
    "fragments without end": lambda _: (*JOIN, sent(Opcode.TEXT, is_last=False) + sent(Opcode.CONT, b"x" * 9_000, is_last=False) * 20),
    "pings": lambda _: (*JOIN, sent(Opcode.PING, b"x" * 125) * 2_000),
    "no JSON": lambda _: (*JOIN, sent(Opcode.TEXT, b"{" * 100) * 2_000),
    "heartbeats": lambda _: many(type="heartbeat", cursor="x"),
    "questions": lambda _: many(type="history", limit=9),
    "presence": lambda number: many(type="presence", data={"at": number}),
    "signals to nobody": lambda _: many(type="signal", name="x", data="y" * 500, to="nobody"),
    "patches": lambda number: many(200, type="state.patch", state={"at": number}),
}
