"""A TCP balancer: each connection goes to the next replica that accepts it.

Owns the connections and the turn of the replicas. Must not know HTTP, but for the one refusal that it writes itself.
It is the shape of what stands before replicas in production: it neither retries nor moves a connection, so a replica's
death is its clients' to notice.
"""

import asyncio
import socket
from collections.abc import Callable, Sequence
from typing import NamedTuple, cast

CONNECT_S_MAX = 1.0  # on one machine a replica accepts within milliseconds; one that does not is skipped
BUFFER_BYTES_MAX = 256 * 1024  # held for a slow side; beyond it the fast side is not read
CONNECTIONS_MAX = 10_000  # each takes two descriptors; further ones are refused
REFUSAL_S_MAX = 2.0  # then a refused client that does not leave is cut
BACKLOG = 1_024  # all clients of a dead replica come back at once

_BODY = b"no replica accepts connections right now\n"
REFUSAL = b"HTTP/1.1 503 Service Unavailable\r\nRetry-After: 1\r\nConnection: close\r\nContent-Length: %d\r\n\r\n%b" % (len(_BODY), _BODY)


class Upstream(NamedTuple):
    host: str
    port: int


class Balancer:
    def __init__(self, replicas: Callable[[], Sequence[Upstream]]) -> None:
        self._replicas = replicas
        self._turn = 0
        self._fronts: set[_Front] = set()

    async def run(self, listener: socket.socket) -> None:
        """Take connections from a bound socket until this is cancelled; then cut them all."""
        loop = asyncio.get_running_loop()
        async with asyncio.TaskGroup() as tasks:
            server = await loop.create_server(lambda: _Front(self, tasks), sock=listener, backlog=BACKLOG)
            try:
                await loop.create_future()
            finally:
                server.close()
                for front in list(self._fronts):
                    front.transport.abort()

    async def dial(self, front: "_Front") -> None:
        """Join a new connection with a replica, or refuse it."""
        for address in self._in_turn():
            try:
                async with asyncio.timeout(CONNECT_S_MAX):
                    await asyncio.get_running_loop().create_connection(lambda: _Back(front), *address)
            except (OSError, TimeoutError):
                continue  # the next one
            return
        if not front.transport.is_closing():
            front.refuse()

    def opened(self, front: "_Front") -> bool:
        """False: there are too many."""
        self._fronts.add(front)
        return len(self._fronts) <= CONNECTIONS_MAX

    def lost(self, front: "_Front") -> None:
        self._fronts.discard(front)

    def _in_turn(self) -> Sequence[Upstream]:
        replicas = self._replicas()
        if not replicas:
            return ()
        self._turn = (self._turn + 1) % len(replicas)
        return [*replicas[self._turn :], *replicas[: self._turn]]


class _End(asyncio.Protocol):
    """One side of a joined pair; what it hears goes to the other."""

    transport: asyncio.Transport
    other: "_End | None" = None
    has_ended = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)
        self.transport.set_write_buffer_limits(high=BUFFER_BYTES_MAX)

    def data_received(self, data: bytes) -> None:
        if self.other is not None and not self.other.transport.is_closing():
            self.other.transport.write(data)

    def eof_received(self) -> bool:
        """True: this side has nothing more to say, but may still listen."""
        self.has_ended = True
        if self.other is None or self.other.transport.is_closing():
            return False
        if self.other.has_ended:
            self.other.transport.close()
            return False
        self.other.transport.write_eof()
        return True

    def pause_writing(self) -> None:
        if self.other is not None and not self.other.transport.is_closing():
            self.other.transport.pause_reading()

    def resume_writing(self) -> None:
        if self.other is not None and not self.other.transport.is_closing():
            self.other.transport.resume_reading()

    def connection_lost(self, exc: Exception | None) -> None:
        if self.other is None or self.other.transport.is_closing():
            return
        if exc is None:
            self.other.transport.close()
        else:
            self.other.transport.abort()


class _Back(_End):
    """A replica's side."""

    def __init__(self, front: "_Front") -> None:
        self._front = front

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        if self._front.transport.is_closing():  # its client left while we dialled
            self.transport.abort()
            return
        self.other = self._front
        self._front.join(self)


class _Front(_End):
    """A client's side. What it says before there is a replica to hear it is held, and then nothing more is read."""

    def __init__(self, balancer: Balancer, tasks: asyncio.TaskGroup) -> None:
        self._balancer = balancer
        self._tasks = tasks
        self._early = bytearray()
        self._is_refused = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        if self._balancer.opened(self):
            self._tasks.create_task(self._balancer.dial(self))
        else:
            self.refuse()

    def join(self, back: _Back) -> None:
        self.other = back
        back.transport.write(bytes(self._early))
        self._early.clear()
        if self.has_ended:
            back.transport.write_eof()
        else:
            self.transport.resume_reading()

    def refuse(self) -> None:
        """Say so, and read what the client still sends: closing over unread bytes would reset the connection and lose the answer."""
        self._is_refused = True
        self.transport.write(REFUSAL)
        self.transport.write_eof()
        self.transport.resume_reading()
        asyncio.get_running_loop().call_later(REFUSAL_S_MAX, self.transport.abort)

    def data_received(self, data: bytes) -> None:
        if self.other is not None:
            super().data_received(data)
        elif not self._is_refused:
            self._early += data
            self.transport.pause_reading()

    def eof_received(self) -> bool:
        if self.other is not None:
            return super().eof_received()
        self.has_ended = True
        return not self._is_refused

    def connection_lost(self, exc: Exception | None) -> None:
        self._balancer.lost(self)
        super().connection_lost(exc)
