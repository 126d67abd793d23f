"""One subject that means harm, as a process of its own: it floods a replica in one way for as long as it is told to.

Owns its connections and what they say. Must not know what anybody measures. `python -m tests.security.flooder PORT FLOOD`: "on" and
"off" by lines of its input; at its end it says how often it was answered, and how often refused.
"""

import asyncio
import contextlib
import json
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from itertools import count
from typing import Final, NamedTuple

from tests.fast_transport.raw import INIT, said, upgrade
from tests.support.replica_process import credential

HOST: Final = "127.0.0.1"
WORKERS: Final = 16
BATCH: Final = 50  # frames that come together
WAIT_S: Final = 0.05  # for whatever is answered, before more is said
TIMEOUT_S: Final = 5.0
NICE: Final = 10  # what is measured is the replica, not who gets the machine's cores
EVIL: Final = credential("evil", "eve")
OTHERS_SECRET: Final = "a-secret-that-these-replicas-do-not-know"
BIG: Final = "/v1/sessions/big"
EVENTS, EVENT_BYTES, LISTS = 40, 8_192, 10


class Tally:
    def __init__(self) -> None:
        self.answered = self.refused = 0
        self.is_on = asyncio.Event()


class Connection(NamedTuple):
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    async def answer(self) -> tuple[int, bytes]:
        """Status and body of one response."""
        async with asyncio.timeout(TIMEOUT_S):
            head = await self.reader.readuntil(b"\r\n\r\n")
            lines = head.lower().split(b"\r\n")
            length = next((int(line.partition(b":")[2]) for line in lines if line.startswith(b"content-length:")), 0)
            return int(head.split(b" ", 2)[1]), await self.reader.readexactly(length)

    async def heard(self) -> bytes:
        """What comes at once."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(WAIT_S):
                return await self.reader.read(1 << 20)
        return b""


@contextlib.asynccontextmanager
async def connected(port: int):  # type: ignore[no-untyped-def]
    made = Connection(*await asyncio.open_connection(HOST, port, limit=1 << 21))
    try:
        yield made
    finally:
        made.writer.transport.abort()


def asked(method: str, path: str, body: object = None, *, credential: str = EVIL) -> bytes:
    text = b"" if body is None else json.dumps(body).encode()
    lines = (f"{method} {path} HTTP/1.1", "Host: 127.0.0.1", f"Authorization: Bearer {credential}", f"Content-Length: {len(text)}", "", "")
    return "\r\n".join(lines).encode() + text


Requests = Callable[[int], Sequence[bytes]]

# Over HTTP, one request after the other on a connection that is kept.
REQUESTS: Final[Mapping[str, Requests]] = {
    "pages": lambda _: (asked("GET", f"{BIG}/events?after=start&limit=500"),),
    "history": lambda _: (asked("GET", f"{BIG}/history?limit=200"),),
    "lists": lambda _: (asked("GET", "/v1/sessions?limit=200"),),
    "patches": lambda number: (asked("PATCH", BIG, {"state": {"at": number, "text": "x" * 4_000}}),),
    "creating and deleting": lambda number: (
        asked("POST", "/v1/sessions", {"session_id": f"s{os.getpid()}-{number}"}),
        asked("DELETE", f"/v1/sessions/s{os.getpid()}-{number}"),
    ),
    "publishes over HTTP": lambda number: (asked("POST", f"{BIG}/events", {"kind": "message", "data": number}),),
    "bad credentials over HTTP": lambda number: (asked("GET", "/v1/sessions", credential=forged(number)),),
}
# On one WebSocket, many at once.
FRAMES: Final[Mapping[str, Callable[[int], bytes]]] = {
    "publishes": lambda number: said(type="publish", id=f"e{os.getpid()}.{number}", kind="message", data="x" * 1_000),
    "signals": lambda number: said(type="signal", name="x", data="y" * 1_000),
    "presence": lambda number: said(type="presence", data={"at": number}),
    "history frames": lambda _: said(type="history", limit=200),
    "syncs": lambda _: said(type="sync", after="start"),
}
# A connection for each.
CONNECTS: Final[Mapping[str, Callable[[int], bytes]]] = {
    "connects": lambda number: upgrade(EVIL, f"/v1/sessions/c{number % 20}/ws") + INIT,
    "bad credentials": lambda number: upgrade(forged(number)) + INIT,
    "early frames": lambda number: upgrade(EVIL, f"{BIG}/ws") + INIT + said(type="signal", name="x", data="y" * 60_000) * 64,
}
FLOODS: Final = (*REQUESTS, *FRAMES, *CONNECTS)


def forged(number: int) -> str:
    return credential("evil", f"nobody-{number}", secret=OTHERS_SECRET)


async def request(port: int, tally: Tally, numbers: "count[int]", requests: Requests) -> None:
    async with connected(port) as at:
        while True:
            await tally.is_on.wait()
            for text in requests(next(numbers)):
                at.writer.write(text)
                status, _ = await at.answer()
                if status < 400:
                    tally.answered += 1
                else:
                    tally.refused += 1


async def talk(port: int, tally: Tally, numbers: "count[int]", frame: Callable[[int], bytes]) -> None:
    async with connected(port) as at:
        await tally.is_on.wait()
        at.writer.write(upgrade(EVIL, f"{BIG}/ws?after=tail&features=presence"))
        while not at.reader.at_eof():
            await tally.is_on.wait()
            at.writer.write(b"".join(frame(next(numbers)) for _ in range(BATCH)))
            heard = await at.heard()
            refused = heard.count(b'"type":"error"')
            tally.refused += refused
            tally.answered += max(1, BATCH - refused) if heard else 0


async def connect(port: int, tally: Tally, numbers: "count[int]", said_: Callable[[int], bytes]) -> None:
    await tally.is_on.wait()
    async with connected(port) as at:
        at.writer.write(said_(next(numbers)))
        heard = await at.heard()
        if b"session." in heard or b"published" in heard:
            tally.answered += 1
        else:
            tally.refused += 1


async def fill(port: int) -> None:
    """A session with much to read, and many sessions to list."""
    async with connected(port) as at:
        for number in range(30):
            at.writer.write(asked("POST", "/v1/sessions", {"session_id": f"listed-{number}"}))
            await at.answer()
        at.writer.write(asked("POST", "/v1/sessions", {"session_id": "big"}))
        await at.answer()
        for _ in range(LISTS):
            status = 429
            while status == 429:
                at.writer.write(asked("POST", f"{BIG}/events", [{"kind": "message", "data": "x" * EVENT_BYTES}] * EVENTS))
                status, _ = await at.answer()


async def worker(port: int, name: str, tally: Tally, numbers: "count[int]") -> None:
    while True:
        with contextlib.suppress(OSError, TimeoutError, asyncio.IncompleteReadError):
            if name in REQUESTS:
                await request(port, tally, numbers, REQUESTS[name])
            elif name in FRAMES:
                await talk(port, tally, numbers, FRAMES[name])
            else:
                await connect(port, tally, numbers, CONNECTS[name])
        await asyncio.sleep(0)


async def main(port: int, name: str) -> None:
    os.nice(NICE)
    tally, numbers = Tally(), count()
    await fill(port)
    print("ready", flush=True)
    workers = [asyncio.create_task(worker(port, name, tally, numbers)) for _ in range(WORKERS)]
    loop = asyncio.get_running_loop()
    while line := await loop.run_in_executor(None, sys.stdin.readline):
        (tally.is_on.set if line.strip() == "on" else tally.is_on.clear)()
    for task in workers:
        task.cancel()
    await asyncio.wait(workers)
    print(tally.answered, tally.refused, flush=True)


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]), sys.argv[2]))
