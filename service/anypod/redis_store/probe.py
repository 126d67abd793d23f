"""Does the feed still hear anything?

Owns the message that goes through the server every few seconds and must come back on the feed. Must not know sessions.
A black hole on the feed's connection shows in no other way: nobody owes it a reply.
"""

import asyncio
import logging
from collections.abc import Callable

from anypod.clock import Clock
from anypod.redis_store.config import RedisOptions

logger = logging.getLogger(__name__)


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
                continue  # the server is away, which whoever appends notices
            try:
                async with asyncio.timeout(self._options.probe_limit_s):
                    await self._heard.wait()
            except TimeoutError:
                logger.warning("redis feed: a probe was not heard; connecting anew")
                self._give_up()
