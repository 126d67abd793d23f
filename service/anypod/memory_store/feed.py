"""What one replica hears of the memory server.

Owns the subscriptions and the one queue between server and sink: whatever reaches a sink does so in the order in which the
server sent it, in a later turn of the event loop. Must not know what a payload means.
"""

import asyncio
from typing import Literal

from anypod.core.identity import SessionKey
from anypod.store import Sink


class Feed:
    def __init__(self, sink: Sink) -> None:
        self._sink = sink
        self._is_subscribed: dict[SessionKey, bool] = {}  # False: asked for, not in force yet
        self._queue: list[tuple[SessionKey, bytes]] = []
        self._is_scheduled = False
        self._phase: Literal["live", "cut", "returning"] = "live"

    def ask(self, key: SessionKey) -> None:
        """A subscription is on its way to the server."""
        self._is_subscribed.setdefault(key, False)

    def subscribe(self, key: SessionKey) -> None:
        """It has arrived, unless it was taken back meanwhile."""
        if key in self._is_subscribed:
            self._is_subscribed[key] = True

    def unsubscribe(self, key: SessionKey) -> None:
        self._is_subscribed.pop(key, None)

    def offer(self, key: SessionKey, payload: bytes) -> None:
        """From the server: deliver soon, unless there is no subscription or the connection is down."""
        if self._phase == "live" and self._is_subscribed.get(key):
            self._queue.append((key, payload))
            self._schedule()

    def cut(self) -> None:
        """The connection is lost, with all that was on it."""
        self._queue.clear()
        self._phase = "cut"

    def restore(self) -> None:
        """The connection is back: soon everything is subscribed again, and the sink hears that it may have missed something."""
        if self._phase == "cut":
            self._phase = "returning"
            self._schedule()

    def close(self) -> None:
        self._is_subscribed.clear()
        self.cut()

    def _schedule(self) -> None:
        if not self._is_scheduled:
            self._is_scheduled = True
            asyncio.get_running_loop().call_soon(self._deliver)

    def _deliver(self) -> None:
        self._is_scheduled = False
        if self._phase == "returning":
            self._phase = "live"  # before the sink hears of it: whatever it reads from now on, later events follow
            self._sink.on_barrier(list(self._is_subscribed))
            return
        queue, self._queue = self._queue, []
        if batch := [item for item in queue if item[0] in self._is_subscribed]:
            self._sink.on_batch(batch)
