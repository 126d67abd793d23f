"""One connection that speaks Redis' protocol (RESP 2).

Owns the socket, the order of replies and the watch over silence. Must not know what is asked, nor connect again: whoever
has it does.
"""

import asyncio
import socket
from collections import deque
from collections.abc import Callable, Sequence
from typing import Final, Protocol, cast

import hiredis

WATCHES: Final = 4  # in the time that a reply may take: silence is noticed at most a quarter late

LOST: Final = hiredis.ReplyError("LOST the connection is gone")  # what everything unanswered is answered with
Reply = bytes | int | None | list["Reply"] | hiredis.ReplyError
OnReply = Callable[[Reply], None]


class CommandPipe(Protocol):
    """What requests are sent over."""

    def send(self, data: bytes, on_reply: OnReply, count: int = 1) -> None:
        """Send so many commands; each reply is handed over in its turn, LOST if it never comes."""

    def abort(self) -> None:
        """Give the connection up, with everything that was asked and not answered."""


def pack(*args: bytes | str | int) -> bytes:
    """A command as it is sent."""
    parts = [b"*%d\r\n" % len(args)]
    for arg in args:
        text = arg if isinstance(arg, bytes) else str(arg).encode()
        parts.append(b"$%d\r\n%b\r\n" % (len(text), text))
    return b"".join(parts)


class Connection(asyncio.Protocol):
    """`on_lost` is called once."""

    def __init__(self, reply_s: float, on_lost: Callable[[], None]) -> None:
        self._reply_s = reply_s
        self._on_lost = on_lost
        self._on_push: Callable[[Sequence[Reply]], None] | None = None
        self._reader = hiredis.Reader()
        self._callbacks: deque[OnReply] = deque()
        self._transport: asyncio.Transport | None = None
        self._is_lost = False
        self._waiting_since = 0.0
        self._loop = asyncio.get_running_loop()
        self._watch: asyncio.TimerHandle | None = None

    @property
    def is_lost(self) -> bool:
        return self._is_lost

    def send(self, data: bytes, on_reply: OnReply, count: int = 1) -> None:
        """Send so many commands; each reply is handed over in its turn, LOST if it never comes."""
        if self._is_lost or self._transport is None:
            for _ in range(count):
                self._loop.call_soon(on_reply, LOST)
            return
        if not self._callbacks:
            self._waiting_since = self._loop.time()
        if count == 1:
            self._callbacks.append(on_reply)
        else:
            self._callbacks.extend([on_reply] * count)
        self._transport.write(data)

    def listen(self, on_push: Callable[[Sequence[Reply]], None]) -> None:
        """From now on nothing is a reply: whatever one read brings is handed over together."""
        assert not self._callbacks
        self._on_push = on_push

    def push(self, data: bytes) -> None:
        """Send commands whose replies come to `listen`."""
        if not self._is_lost and self._transport is not None:
            self._transport.write(data)

    async def ask(self, data: bytes) -> Reply:
        """Send one command and wait for its reply, or LOST: the watch sees to it that one comes in time."""
        future: asyncio.Future[Reply] = self._loop.create_future()
        self.send(data, lambda reply: None if future.done() else future.set_result(reply))
        return await future

    async def ask_all(self, commands: Sequence[bytes]) -> list[Reply]:
        """As `ask`, for several commands in one write."""
        future: asyncio.Future[list[Reply]] = self._loop.create_future()
        replies: list[Reply] = []

        def take(reply: Reply) -> None:
            replies.append(reply)
            if len(replies) == len(commands) and not future.done():
                future.set_result(replies)

        self.send(b"".join(commands), take, len(commands))
        return await future

    def abort(self) -> None:
        """Give the connection up, with everything that was asked and not answered."""
        if self._transport is not None:
            self._transport.abort()
        self._lose()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        sock = transport.get_extra_info("socket")
        if sock is not None and sock.family in (socket.AF_INET, socket.AF_INET6):
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._watch = self._loop.call_later(self._reply_s / WATCHES, self._check)

    def data_received(self, data: bytes) -> None:
        try:
            self._reader.feed(data)
            self._dispatch()
        except hiredis.ProtocolError:
            self.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        self._lose()

    def _dispatch(self) -> None:
        gets, callbacks = self._reader.gets, self._callbacks
        if self._on_push is not None:
            pushes = []
            while (reply := gets()) is not False:
                pushes.append(reply)
            if pushes and not self._is_lost:
                self._on_push(pushes)
            return
        self._waiting_since = self._loop.time()
        while not self._is_lost and (reply := gets()) is not False:
            callbacks.popleft()(reply)

    def _check(self) -> None:
        if self._callbacks and self._loop.time() - self._waiting_since > self._reply_s:
            self.abort()
        elif not self._is_lost:
            self._watch = self._loop.call_later(self._reply_s / WATCHES, self._check)

    def _lose(self) -> None:
        if self._is_lost:
            return
        self._is_lost = True
        if self._watch is not None:
            self._watch.cancel()
        self._on_lost()
        while self._callbacks:
            self._callbacks.popleft()(LOST)
