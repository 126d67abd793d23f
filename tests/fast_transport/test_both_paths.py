"""The lean and the portable WebSocket path say the same to the same frames. (What they carry, `tests/protocol` compares.)"""

from collections.abc import AsyncIterator
from typing import Any, Final

import pytest
import pytest_asyncio
from tests.fast_transport.raw import INIT, RawClient, heard_of, said, sent, upgrade
from tests.fast_transport.served import Served, served
from websockets.frames import Frame, Opcode

pytestmark = pytest.mark.asyncio(loop_scope="module")

VARIES: Final = frozenset({"cursor", "ts", "resumed_at", "heartbeat_ms", "live"})  # from one session or moment to the next
SILENCE_S: Final = 0.1  # after which the answers to a piece are complete
LOOKS_MAX: Final = 200  # at a session that is opening
CLOSE: Final = sent(Opcode.CLOSE, b"\x03\xe8bye")
AUDIO: Final = b'{"type":"publish","id":"b","kind":"x.audio"}'
HELLO: Final = said(type="publish", id="1", kind="message", data={"text": "hello"})

SCRIPTS: Final = {
    "a conversation": [INIT, HELLO, HELLO, CLOSE],
    "all at once, before the session is open": [INIT + HELLO + said(type="signal", name="x", data=1) + CLOSE],
    "a message in fragments": [
        INIT,
        sent(Opcode.TEXT, b'{"type":"publish","id":"f",', is_last=False),
        sent(Opcode.PING, b"?"),
        sent(Opcode.CONT, b'"kind":"message","data":0}'),
        CLOSE,
    ],
    "binary data": [INIT, sent(Opcode.BINARY, len(AUDIO).to_bytes(4, "big") + AUDIO + b"\0\1"), CLOSE],
    "no first frame": [HELLO],
    "no JSON": [INIT, sent(Opcode.TEXT, b"{")],
    "a frame for nobody": [INIT, said(type="nonsense")],
    "what the credential may not": [INIT, said(type="publish", id="1", kind="token", data=1, ref="r"), CLOSE],
    "a frame that is too large": [INIT, sent(Opcode.TEXT, b"x" * 80_000)],
    "text that is not UTF-8": [INIT, sent(Opcode.TEXT, b"\xff")],
    "a reserved opcode": [INIT, b"\x83\x80mask"],
    "no mask": [INIT, b"\x81\x02{}"],
    "a close code that is none": [INIT, sent(Opcode.CLOSE, b"\x03\xed")],
    "an empty close frame": [INIT, sent(Opcode.CLOSE)],
    "init twice": [INIT, INIT, CLOSE],
    "another protocol": [said(type="session.init", protocol=9)],
}
DOORS: Final = {
    "no JWT": ("nonsense", "/v1/sessions/s1/ws"),
    "a bad name": (None, "/v1/sessions/a%20b/ws"),
    "a bad query": (None, "/v1/sessions/s1/ws?after=start&history=x"),
    "everything in the query": (None, "/v1/sessions/s1/ws?after=start"),
    "a cursor of nobody": (None, "/v1/sessions/s1/ws?after=nonsense&resume=true"),
}


def kept(heard: dict[str, Any]) -> dict[str, Any]:
    """What must be the same. A violation is named by its code; the words are the library's or ours."""
    is_violation = heard["type"] == "close" and heard["code"] < 4_000
    return {name: value for name, value in heard.items() if name not in VARIES and not (is_violation and name == "reason")}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def both() -> AsyncIterator[tuple[Served, Served]]:
    async with served("lean", replica="r") as lean, served("portable", replica="r") as portable:
        yield lean, portable


def is_open(frame: Frame) -> bool:
    """It tells what became of an attach: however slow the machine is, nothing is sent before."""
    return heard_of(frame)["type"] in {"sync.done", "error", "close"}


async def answers(at: Served, target: str, bearer: str | None, *pieces: bytes) -> list[dict[str, Any]]:
    """What the server says to the pieces, each sent after the answers to the one before."""
    async with await RawClient.connect(at.port) as client:
        client.send(upgrade(bearer or at.credential, target, "Sec-WebSocket-Protocol: anypod.v1, bearer.x"))
        head = await client.head()
        assert head.startswith(b"HTTP/1.1 101 ")
        assert b"\r\nsec-websocket-protocol: anypod.v1\r\n" in head.lower()
        heard = []
        for piece in pieces:
            client.send(piece)
            heard += RawClient.understood(await client.until_silent(SILENCE_S))
            for _ in range(LOOKS_MAX):
                if piece != INIT or any(map(is_open, heard)):
                    break
                heard += RawClient.understood(await client.until_silent(SILENCE_S))
        if not heard or heard[-1].opcode is not Opcode.CLOSE:
            client.send(CLOSE)
            heard += await client.frames()
        return [kept(heard_of(frame)) for frame in heard]


@pytest.mark.parametrize("name", SCRIPTS)
async def test_the_same_frames_are_answered_alike(name: str, both: tuple[Served, Served]) -> None:
    target = f"/v1/sessions/s{list(SCRIPTS).index(name)}/ws"
    lean, portable = [await answers(at, target, None, *SCRIPTS[name]) for at in both]
    assert lean == portable
    assert lean[-1]["type"] == "close"


@pytest.mark.parametrize("name", DOORS)
async def test_the_same_requests_are_answered_alike(name: str, both: tuple[Served, Served]) -> None:
    bearer, target = DOORS[name]
    lean, portable = [await answers(at, target, bearer, b"") for at in both]
    assert lean == portable
    assert lean[-1]["type"] == "close"
