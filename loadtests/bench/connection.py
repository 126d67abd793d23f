"""A client's WebSocket that costs as little as a client can: it looks for bytes and parses nothing.

Owns the upgrade, the opening and the answer to a server's ping. Must not know which server it talks to, nor the load it belongs to.
"""

import asyncio
import socket
import struct
from collections.abc import Iterator, Sequence
from typing import Final, cast

from loadtests.bench.dialect import NOWHERE, Dialect

from anypod.devcluster.ports import LOOPBACK

OPEN_S_MAX: Final = 60.0  # for all connections of a load together; slower is a failure of the row
HEAD_END: Final = b"\r\n\r\n"
_ABORTIVE: Final = struct.pack("ii", 1, 0)  # SO_LINGER: a reset leaves no port behind in TIME_WAIT


class LoadError(Exception):
    """The server did not do what a load needs; the row cannot be measured."""


class Counter:
    """How often a needle has come by in a stream of reads, which may cut it anywhere."""

    __slots__ = ("_needle", "_overlap", "_rest", "count")

    def __init__(self, needle: bytes) -> None:
        self._needle = needle
        self._overlap = len(needle) - 1
        self._rest = b""
        self.count = 0

    def feed(self, data: bytes) -> int:
        """How many more it were."""
        seam = self._rest + data[: self._overlap]
        more = data.count(self._needle) + seam.count(self._needle)
        self._rest = data[-self._overlap :] if len(data) >= self._overlap else seam[-self._overlap :]
        self.count += more
        return more


class Connection(asyncio.Protocol):
    """One client. Subclasses take what comes after the opening in `received`."""

    __slots__ = ("_before", "_dialect", "_hello", "_is_upgraded", "_needle", "is_open", "opening", "ready", "transport")

    def __init__(self, dialect: Dialect, session: str, credential: str, place: str) -> None:
        self._dialect = dialect
        self._before = dialect.request(session, credential, place)  # what is sent first, then what has come so far
        self._hello = dialect.hello(session, credential, place)
        self._needle = dialect.connected if place == NOWHERE else dialect.opened
        self._is_upgraded = False
        self.is_open = False
        self.opening = b""  # what came up to the read that opened it, for those who look into it
        self.ready: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)
        transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _ABORTIVE)
        self.transport.write(self._before)
        self._before = b""

    def data_received(self, data: bytes) -> None:
        if self.is_open:
            if data == self._dialect.ping:
                self.transport.write(self._dialect.pong)
            else:
                self.received(data)
            return
        self._before += data
        if not self._is_upgraded:
            self._upgrade()
        if self._is_upgraded and self._is_opening_whole(self._before):
            self.is_open = True
            self.opening, self._before = self._before, b""
            if not self.ready.done():
                self.ready.set_result(None)
            self.opened()

    def _upgrade(self) -> None:
        head, end, rest = self._before.partition(HEAD_END)
        if not end:
            return
        if self._dialect.accepted not in head[:20]:
            self._fail(f"the request was refused: {head[:80].decode('latin-1')}")
            return
        self._is_upgraded, self._before = True, rest
        if self._hello:
            self.transport.write(self._hello)

    def _is_opening_whole(self, data: bytes) -> bool:
        return self._needle in data

    def connection_lost(self, exc: Exception | None) -> None:
        self._fail(f"the connection was lost while it opened: {self._before[-200:].decode('latin-1')}")

    def _fail(self, reason: str) -> None:
        if not self.ready.done():
            self.ready.set_exception(LoadError(reason))

    def opened(self) -> None:
        """The conversation may begin."""

    def received(self, data: bytes) -> None:
        """Something came after the opening."""


async def open_all(port: int, connections: Sequence[Connection], *, at_once: int = 50) -> None:
    """Open them, so many being on their way at any moment. Raises LoadError."""
    waiting = iter(connections)
    try:
        async with asyncio.timeout(OPEN_S_MAX), asyncio.TaskGroup() as group:
            for _ in range(at_once):
                group.create_task(_open_in_turn(port, waiting), name="open")
    except TimeoutError as exc:
        opened = sum(one.is_open for one in connections)
        raise LoadError(f"only {opened} of {len(connections)} clients were served within {OPEN_S_MAX:g} s") from exc
    except ExceptionGroup as errors:
        raise LoadError(f"{type(errors.exceptions[0]).__name__}: {errors.exceptions[0]}") from errors


async def _open_in_turn(port: int, waiting: Iterator[Connection]) -> None:
    loop = asyncio.get_running_loop()
    for one in waiting:
        await loop.create_connection(lambda one=one: one, LOOPBACK, port)  # type: ignore[misc]
        await one.ready


def close_all(connections: Sequence[Connection]) -> None:
    for one in connections:
        one.transport.abort()
