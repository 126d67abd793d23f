"""One connection through the proxy: two sockets, and what passes between them.

Owns what can be done to a single connection. Must not know which ones are chosen, nor why; of the protocols above it only the words
by which it is recognised who dials Redis, and what for.
"""

import asyncio
import random
import re
import socket
import struct
from contextlib import suppress
from typing import Final, Protocol, cast

from tests.chaos.network_conditions import HELD, Direction, NetworkConditions

FEED_WORD: Final = b"SSUBSCRIBE"
USER_WORDS: Final = re.compile(rb"AUTH\r\n\$\d+\r\n([\w-]+)\r\n")  # each of our replicas is a user of its own
PEER_WORDS: Final = {b"REPLCONF": "replication", b"sentinel-": "sentinel"}  # both say so before anything that matters
FIRST_CHUNKS: Final = 4  # within which whoever dials has said who it is
BUFFER_BYTES_MAX: Final = 256 * 1024  # held for a slow side; beyond it the fast side is not read
RESET_AT_CLOSE: Final = struct.pack("ii", 1, 0)  # SO_LINGER: what is unsent is dropped, and the peer gets a reset


class Owner(Protocol):
    """Who is told what becomes of a link."""

    def opened(self, link: "Link") -> None: ...

    def closed(self, link: "Link") -> None: ...

    def change(self, link: "Link") -> None:
        """It may be under another weather now."""

    def asked(self, link: "Link", data: bytes) -> None: ...

    def takes_reply(self, link: "Link") -> bool:
        """Is the answer that has come to be lost?"""


class Side(asyncio.Protocol):
    """One socket of a link."""

    transport: asyncio.Transport

    def __init__(self, link: "Link", *, is_server: bool) -> None:
        self._link = link
        self._is_server = is_server
        self.is_gone = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)
        self.transport.set_write_buffer_limits(high=BUFFER_BYTES_MAX)
        self._link.made(self, is_server=self._is_server)

    def data_received(self, data: bytes) -> None:
        (self._link.answered if self._is_server else self._link.asked)(data)

    def connection_lost(self, exc: Exception | None) -> None:
        self.is_gone = True
        self._link.lost(is_server=self._is_server, is_reset=exc is not None)

    def pause_writing(self) -> None:
        self._link.clog(is_server=self._is_server, is_full=True)

    def resume_writing(self) -> None:
        self._link.clog(is_server=self._is_server, is_full=False)

    def write(self, data: bytes) -> None:
        if not self.is_gone:
            self.transport.write(data)

    def close(self, *, is_reset: bool) -> None:
        if self.is_gone:
            return
        if not is_reset:
            self.transport.close()
            return
        sock = self.transport.get_extra_info("socket")
        with suppress(OSError):  # the peer was faster
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET_AT_CLOSE)
        self.transport.abort()


class Link:
    """One connection through the proxy. `is_feed`: it carries a subscription of Redis. `caller`: who dials Redis, once it has said so."""

    def __init__(self, owner: Owner, rng: random.Random) -> None:
        self.client = Side(self, is_server=False)
        self.server = Side(self, is_server=True)
        self.is_feed = False
        self.caller = ""
        self._chunks = 0
        self.is_joined = False
        self._is_torn = False
        self._is_orphan = False
        self._owner = owner
        self._early = bytearray()
        self._full = {False: False, True: False}  # by `is_server`: is the way to that side clogged?
        self._held = {False: False, True: False}  # by `is_server`: does the weather stop reading that side?
        self._up = Direction(self.server.write, lambda is_paused: self._stop(is_server=False, is_held=is_paused), rng)
        self._down = Direction(self.client.write, lambda is_paused: self._stop(is_server=True, is_held=is_paused), rng)

    def come(self, up: NetworkConditions, down: NetworkConditions) -> None:
        if self.is_joined and not self._is_orphan:
            self._up.come(up)
            self._down.come(down)

    # What is done to it.
    def cut(self) -> None:
        """Both sides are reset, and what is on the way is lost."""
        for direction in (self._up, self._down):
            direction.forget()
        self.client.close(is_reset=True)
        if self.is_joined:
            self.server.close(is_reset=True)

    def tear(self) -> None:
        """The next answer breaks off in its middle."""
        self._is_torn = True

    def orphan(self) -> None:
        """The client is gone and the server is not told: it writes to nobody."""
        self._is_orphan = True
        self._up.come(HELD)
        self._down.come(HELD)
        self.client.close(is_reset=True)

    # What its sides tell.
    def made(self, side: Side, *, is_server: bool) -> None:
        if not is_server:
            self._owner.opened(self)
            side.transport.pause_reading()
        elif self.client.is_gone:
            side.transport.abort()
        else:
            self.is_joined = True
            self._owner.change(self)
            self._read(is_server=False)
            early, self._early = bytes(self._early), bytearray()
            if early:
                self.asked(early)

    def asked(self, data: bytes) -> None:
        if not self.is_joined:
            self._early += data  # read before it could be stopped
            return
        self._recognise(data)
        self._up.take(data)
        self._owner.asked(self, data)

    def _recognise(self, data: bytes) -> None:
        is_feed = self.is_feed or FEED_WORD in data
        caller = self.caller
        if not caller and self._chunks < FIRST_CHUNKS:
            self._chunks += 1
            caller = caller_of(data)
        if (is_feed, caller) != (self.is_feed, self.caller):
            self.is_feed, self.caller = is_feed, caller
            self._owner.change(self)

    def answered(self, data: bytes) -> None:
        if self._owner.takes_reply(self):
            self.cut()
        elif self._is_torn:
            self.client.write(data[: len(data) // 2])
            self.cut()
        else:
            self._down.take(data)

    def lost(self, *, is_server: bool, is_reset: bool) -> None:
        other = self.client if is_server else self.server
        if not self.is_joined or (self._is_orphan and not is_server):
            pass
        elif not other.is_gone:
            (self._down if is_server else self._up).end(lambda: other.close(is_reset=is_reset))
        if self.client.is_gone and (self.server.is_gone or not self.is_joined):
            self._owner.closed(self)

    def clog(self, *, is_server: bool, is_full: bool) -> None:
        """`is_server`: the side that cannot be written to; the other one is not read then."""
        self._full[is_server] = is_full
        self._read(is_server=not is_server)

    def _stop(self, *, is_server: bool, is_held: bool) -> None:
        if self._held[is_server] is not is_held:
            self._held[is_server] = is_held
            self._read(is_server=is_server)

    def _read(self, *, is_server: bool) -> None:
        side = self.server if is_server else self.client
        if side.is_gone or not self.is_joined:
            return
        if self._held[is_server] or self._full[not is_server]:
            side.transport.pause_reading()
        else:
            side.transport.resume_reading()


def caller_of(data: bytes) -> str:
    """Empty: this does not tell."""
    if match := USER_WORDS.search(data):
        return match[1].decode()
    return next((name for word, name in PEER_WORDS.items() if word in data), "")


async def joined(link: Link, port: int, connect_s_max: float) -> bool:
    """Connect the far side of a link. False: nobody accepts there."""
    loop = asyncio.get_running_loop()
    try:
        async with asyncio.timeout(connect_s_max):
            await loop.create_connection(lambda: link.server, "127.0.0.1", port)
    except (OSError, TimeoutError):
        return False
    return True
