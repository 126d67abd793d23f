"""The feed: pub/sub messages of the subscribed sessions, and the probe that shows whether the feed still hears anything.

Owns the subscriptions on one connection, the barriers, and a message that goes through the server every few seconds and must come back.
Must not know what a payload means.

1. A barrier tells the sink that sessions may have missed something: after a lost connection, once everything is subscribed again,
   and whenever the server confirms what was not asked for, because then it took the subscription away in between.
2. Without the probe, a black hole on the feed's connection would go unnoticed: the server owes it no reply.
"""

import asyncio
import logging
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Final

from anypod.clock import Clock
from anypod.core.errors import unavailable
from anypod.core.identity import SessionKey
from anypod.redis_store.config import RedisOptions
from anypod.redis_store.keys import Keyspace
from anypod.redis_store.wire.connection import Connection, Reply, pack
from anypod.store import Sink

SUBSCRIBE_S: Final = 5.0  # a subscription not confirmed for this long is given up as `unavailable`: about one failover
HOLD_S: Final = 0.05  # from the server's word that a slot has left it to the next question: by then the new map is there
logger = logging.getLogger(__name__)


class Channel:
    """`home`: the listener that has it now."""

    __slots__ = ("home", "is_confirmed", "key", "name", "waiters")

    def __init__(self, name: bytes, key: SessionKey, home: "Listener") -> None:
        self.name = name
        self.key = key
        self.home = home
        self.is_confirmed = False
        self.waiters: list[asyncio.Future[None]] | None = None  # of a channel that has been confirmed once there is none

    def confirm(self) -> None:
        self.is_confirmed = True
        waiters, self.waiters = self.waiters or (), None
        for waiter in waiters:
            if not waiter.done():
                waiter.set_result(None)


class Listener:
    """`on_probe` hears what comes on the probe's channel, which each new connection asks for; `on_moved`: a slot has left the server."""

    def __init__(
        self,
        keyspace: Keyspace,
        sink: Sink,
        *,
        probe: Callable[[], bytes],
        on_probe: Callable[[bytes], None],
        on_moved: Callable[[], None],
    ) -> None:
        self._keyspace = keyspace
        self._sink = sink
        self.probe: bytes | None = None
        self._next_probe = probe
        self._on_probe = on_probe
        self._on_moved = on_moved
        self._connection: Connection | None = None
        self._is_up = asyncio.Event()
        self._channels: dict[bytes, Channel] = {}
        self._due: Counter[bytes] = Counter()  # confirmations of SSUBSCRIBE that must come on this connection
        self._due_ends: Counter[bytes] = Counter()  # and of SUNSUBSCRIBE
        self._returning: set[bytes] = set()  # subscribed again, not confirmed yet: a barrier follows
        self._back: list[SessionKey] = []  # confirmed since, the barrier is raised for all at once
        self._outgoing: list[bytes] = []
        self._is_scheduled = False
        self._batch: list[tuple[SessionKey, bytes]] = []

    async def subscribe(self, key: SessionKey) -> None:
        name = self._keyspace.session(key).channel
        channel = self._channels.get(name)
        if channel is None:
            channel = self._channels[name] = Channel(name, key, self)
            self._ask(b"SSUBSCRIBE", name)
        if channel.is_confirmed:
            return
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        channel.waiters = [*(channel.waiters or ()), waiter]
        try:
            async with asyncio.timeout(SUBSCRIBE_S):
                await waiter
        except TimeoutError as exc:
            if all(other.done() for other in channel.waiters or ()):
                channel.home.drop(channel)
            raise unavailable() from exc

    def unsubscribe(self, key: SessionKey) -> None:
        channel = self._channels.get(self._keyspace.session(key).channel)
        if channel is not None:
            channel.confirm()  # a caller that still waits has been overtaken by this call
            self.drop(channel)

    def drop(self, channel: Channel) -> None:
        """Unless another has taken its place."""
        if self._channels.get(channel.name) is channel:
            del self._channels[channel.name]
            self._returning.discard(channel.name)
            self._ask(b"SUNSUBSCRIBE", channel.name)

    def give_up(self, is_stray: Callable[[SessionKey], bool]) -> list[Channel]:
        """Hand over what another server has now. This one ends the subscriptions by itself, and would refuse to be asked."""
        strays = [channel for channel in self._channels.values() if is_stray(channel.key)]
        for channel in strays:
            del self._channels[channel.name]
            self._returning.discard(channel.name)
        return strays

    def take_over(self, channel: Channel) -> None:
        """A barrier follows: between two servers anything may be missed."""
        channel.home, channel.is_confirmed = self, False
        self._channels[channel.name] = channel
        self._returning.add(channel.name)
        self._ask(b"SSUBSCRIBE", channel.name)

    async def wait_up(self, wait_s: float) -> None:
        """Raises AnypodError `unavailable` when there is no connection in time."""
        try:
            async with asyncio.timeout(wait_s):
                await self._is_up.wait()
        except TimeoutError as exc:
            raise unavailable() from exc

    def abort(self) -> None:
        """Give the connection up; another is made."""
        if self._connection is not None:
            self._connection.abort()

    async def prepare(self, connection: Connection) -> None:
        """Nothing: a subscribing connection needs no library."""

    def on_up(self, connection: Connection) -> None:
        self._connection = connection
        self._is_up.set()
        self._returning = set(self._channels)
        self._back.clear()
        connection.listen(self._on_push)
        self.probe = self._next_probe()
        for name in (self.probe, *self._channels):
            self._ask(b"SSUBSCRIBE", name)

    def on_down(self) -> None:
        self._connection = None
        self._is_up.clear()
        self._due.clear()
        self._due_ends.clear()
        self._outgoing.clear()
        for channel in self._channels.values():
            channel.is_confirmed = False

    def _ask(self, command: bytes, name: bytes) -> None:
        """Send soon, together with what else this tick brings. Without a connection the next one subscribes to all that is wanted."""
        if self._connection is None:
            return
        (self._due if command == b"SSUBSCRIBE" else self._due_ends)[name] += 1
        self._outgoing.append(pack(command, name))
        if not self._is_scheduled:
            self._is_scheduled = True
            asyncio.get_running_loop().call_soon(self._send)

    def _send(self) -> None:
        self._is_scheduled = False
        if self._connection is not None and self._outgoing:
            self._connection.push(b"".join(self._outgoing))
            self._outgoing.clear()

    def _on_push(self, pushes: Sequence[Reply]) -> None:
        """What one read brought."""
        channels, batch = self._channels, self._batch
        for push in pushes:
            if not isinstance(push, list):
                logger.warning("redis feed: refused: %s", str(push).split(" ", 1)[0])
                self.abort()
                break
            kind, name, content = push
            assert isinstance(name, bytes)
            if kind == b"smessage":
                channel = channels.get(name)
                if channel is not None and isinstance(content, bytes):
                    batch.append((channel.key, content))
                elif name == self.probe and isinstance(content, bytes):
                    self._on_probe(content)
            elif kind == b"ssubscribe":
                self._on_confirmed(name)
            elif kind == b"sunsubscribe":
                self._on_ended(name)
        self._deliver()

    def _on_confirmed(self, name: bytes) -> None:
        if self._due[name] > 0:
            self._due[name] -= 1
        else:
            self._returning.add(name)  # not asked for: the server had taken it away
        channel = self._channels.get(name)
        if self._due[name] > 0:
            return
        del self._due[name]
        if channel is not None:
            channel.confirm()
            if name in self._returning:
                self._back.append(channel.key)
        self._returning.discard(name)

    def _on_ended(self, name: bytes) -> None:
        if self._due_ends[name] > 0:
            self._due_ends[name] -= 1
        elif name in self._channels:
            self._channels[name].is_confirmed = False  # the slot has moved: ask again, and tell when it holds
            self._returning.add(name)
            asyncio.get_running_loop().call_later(HOLD_S, self._ask_again, self._channels[name])
            self._on_moved()
        if not self._due_ends[name]:
            del self._due_ends[name]

    def _ask_again(self, channel: Channel) -> None:
        """Unless another server has it by now. If this one still refuses, the next connection finds out where the slot is."""
        if self._channels.get(channel.name) is channel and not channel.is_confirmed:
            self._ask(b"SSUBSCRIBE", channel.name)

    def _deliver(self) -> None:
        """To the sink: what came, and once everything that was interrupted is back, that it was."""
        if self._batch:
            batch, self._batch = self._batch, []
            self._sink.on_batch(batch)
        if self._back and not self._returning:
            back, self._back = self._back, []
            self._sink.on_barrier(back)


class Probe:
    """`send` publishes on the probe's channel and says whether it could; `give_up` makes the feed connect anew."""

    def __init__(self, options: RedisOptions, clock: Clock, *, send: Callable[[bytes], bool], give_up: Callable[[], None]) -> None:
        self._options = options
        self._clock = clock
        self._send = send
        self._give_up = give_up
        self._number = 0
        self._heard = asyncio.Event()

    def on_probe(self, payload: bytes) -> None:
        if payload == b"%d" % self._number:  # an earlier one that comes late proves nothing
            self._heard.set()

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            await self._clock.sleep(self._options.probe_s)
            self._number += 1
            self._heard.clear()
            if not self._send(b"%d" % self._number):
                continue  # the server is away, which appends notice
            try:
                async with asyncio.timeout(self._options.probe_limit_s):
                    await self._heard.wait()
            except TimeoutError:
                logger.warning("redis feed: a probe was not heard; connecting anew")
                self._give_up()
