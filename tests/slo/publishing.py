"""One session with a reader and a publisher: how long an event takes from the one to the other.

Owns both connections and the waits. Must not know what else happens to the replica.
"""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from typing import Final

from tests.fast_transport.raw import INIT, RawClient, said, upgrade
from tests.support.replica_process import credential
from websockets.frames import Opcode

from anypod.clock import SystemClock
from anypod.core.statistics import percentile

EVERY_S: Final = 0.02
CLOCK: Final = SystemClock()


class Neighbour:
    """`every_s`: between two events. `waits_s`: from the publish of an event until the reader has it."""

    def __init__(self, every_s: float) -> None:
        self.waits_s: list[float] = []
        self._every_s = every_s

    def p99_s(self) -> float:
        """Since the last look."""
        waits, self.waits_s = self.waits_s, []
        return percentile(waits, 99)

    async def _publish(self, client: RawClient) -> None:
        number = 0
        while True:
            number += 1
            client.send(said(type="publish", id=f"n-{number}", kind="message", data=CLOCK.now()))
            await asyncio.sleep(self._every_s)

    async def _read(self, client: RawClient) -> None:
        while (frame := await client.frame()) is not None:
            assert frame.opcode is not Opcode.CLOSE, "the neighbour was cut"
            told = json.loads(bytes(frame.data))
            if told["type"] == "event":
                self.waits_s.append(CLOCK.now() - told["data"])


@contextlib.asynccontextmanager
async def neighbour(port: int, every_s: float = EVERY_S) -> AsyncIterator[Neighbour]:
    """Publishes and reads for as long as the block runs."""
    async with await RawClient.connect(port) as client:
        client.send(upgrade(credential("acme", "neighbour"), "/v1/sessions/calm/ws"))
        await client.head()
        client.send(INIT)
        made = Neighbour(every_s)
        async with asyncio.TaskGroup() as tasks:
            running = [tasks.create_task(made._publish(client)), tasks.create_task(made._read(client))]
            try:
                yield made
            finally:
                for task in running:
                    task.cancel()
