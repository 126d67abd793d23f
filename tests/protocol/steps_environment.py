"""Steps beside the attachments: requests, time, replicas and their store.

Owns their meaning. Must not know transports.
"""

import asyncio
import signal
import time
from typing import Any

from tests.protocol.acting import POLL_S, Acting, Args
from tests.protocol.asking import ask
from tests.protocol.cases import Step
from tests.protocol.environment import Stage


class Surroundings(Acting):
    def __init__(self, stage: Stage) -> None:
        super().__init__(stage)
        self._started: asyncio.Task[Any] | None = None
        self._began = time.time()
        self._aof_bytes = 0
        self._noted = 0.0

    async def request(self, step: Step, args: Args) -> Any:
        return await ask(self.stage.place(step.who, args), args)

    async def request_until(self, step: Step, args: Args) -> Any:
        return await self.until(step, lambda: ask(self.stage.place(step.who, args), args))

    async def starts(self, step: Step, args: Args) -> None:
        """A request that is answered later."""
        self._started = asyncio.create_task(ask(self.stage.place(step.who, args), args))

    async def finishes(self, step: Step, args: Args) -> Any:
        assert self._started is not None
        return await self._started

    async def pages_through(self, step: Step, args: Args) -> list[str]:
        """The names of all sessions of a list that is asked for in pages of one, sorted."""
        place, names, query = self.stage.place(step.who, args), list[str](), {"limit": "1"}
        while True:
            page = (await ask(place, {"path": "/v1/sessions", "query": query}))["body"]
            names += [row["session_id"] for row in page["sessions"]]
            if "next" not in page:
                return sorted(names)
            query["cursor"] = page["next"]

    async def metric_reaches(self, step: Step, args: Args) -> Any:
        return await self.until(step, lambda: self._metric(step, args))

    async def metric_is_noted(self, step: Step, args: Args) -> None:
        self._noted = await self._metric(step, args)

    async def metric_has_grown(self, step: Step, args: Args) -> Any:
        """By how much, since it was noted."""

        async def look() -> float:
            return await self._metric(step, args) - self._noted

        return await self.until(step, look)

    async def _metric(self, step: Step, args: Args) -> float:
        text = (await ask(self.stage.place(step.who, args), {"path": "/metrics"}))["body"]
        return float(next(line.split()[1] for line in text.splitlines() if line.startswith(f"{args['name']} ")))

    async def outlives(self, step: Step, args: Args) -> None:
        """Wait until what was made for so many seconds at the beginning of the case has run out; without them, a few milliseconds."""
        until = self._began + args["seconds"] if "seconds" in args else time.time() + 0.005
        while time.time() <= until:  # noqa: ASYNC110 - nobody tells when time has passed
            await asyncio.sleep(POLL_S)

    async def replica_leaves(self, step: Step, args: Args) -> None:
        self.stage.cluster.replicas[args["at"]].send(signal.SIGTERM)

    async def replica_is_killed(self, step: Step, args: Args) -> None:
        await asyncio.to_thread(self.stage.cluster.replicas[args["at"]].kill)

    async def replica_exits(self, step: Step, args: Args) -> int:
        return await asyncio.to_thread(self.stage.cluster.replicas[args["at"]].wait)

    async def store_dies(self, step: Step, args: Args) -> None:
        assert self.stage.cluster.redis is not None
        self.stage.cluster.redis.kill()

    async def store_returns(self, step: Step, args: Args) -> None:
        assert self.stage.cluster.redis is not None
        await asyncio.to_thread(self.stage.cluster.redis.start)

    async def store_is_noted(self, step: Step, args: Args) -> None:
        """What it has written so far is what will be left."""
        assert self.stage.cluster.redis is not None
        self._aof_bytes = self.stage.cluster.redis.aof.stat().st_size

    async def store_loses_its_tail(self, step: Step, args: Args) -> None:
        """A power loss: the end of the append-only file was not on the disk yet."""
        redis = self.stage.cluster.redis
        assert redis is not None
        redis.kill()
        with redis.aof.open("r+b") as file:
            file.truncate(self._aof_bytes)
        await asyncio.to_thread(redis.start)
