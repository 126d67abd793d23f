"""Discovery: a client that asks Sentinels or cluster nodes where the servers are.

Owns the connection that is kept for the questions, how long is waited for the answers of several, and a singleflight with a freshness
window: concurrent callers share one refresh. Must not know what an answer means.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from typing import Final, TypeVar

from anypod.clock import Clock
from anypod.core.errors import AnypodError
from anypod.redis_store.config import RedisOptions
from anypod.redis_store.url import ServerAddress
from anypod.redis_store.wire.connection import Connection, Reply
from anypod.redis_store.wire.errors import checked
from anypod.redis_store.wire.handshake import dial

ANSWER_S: Final = 1.0  # an informant that takes longer is not heard in this round
Answer = TypeVar("Answer")
logger = logging.getLogger(__name__)


class DiscoveryClient:
    def __init__(self, address: ServerAddress, options: RedisOptions) -> None:
        self.endpoint: Final = address.endpoint
        self._address = address
        self._options = options
        self._connection: Connection | None = None

    async def ask(self, *commands: bytes) -> list[Reply]:
        """Raises OSError, TimeoutError or AnypodError."""
        if self._connection is None or self._connection.is_lost:
            self._connection = await dial(self._address, self._options, _ignore_loss)
        return [checked(reply) for reply in await self._connection.ask_all(commands)]

    def close(self) -> None:
        if self._connection is not None:
            self._connection.abort()


async def answers(questions: Sequence[Coroutine[None, None, Answer]], *, enough: int, grace_s: float = 0.0) -> list[Answer]:
    """Those that come in time. Once there are enough, the others have no more than `grace_s`."""
    loop = asyncio.get_running_loop()
    found = list[Answer]()
    asked = [asyncio.create_task(question) for question in questions]
    waiting, ends_at = set(asked), loop.time() + ANSWER_S
    try:
        while waiting and (left_s := ends_at - loop.time()) > 0:
            done, waiting = await asyncio.wait(waiting, timeout=left_s, return_when=asyncio.FIRST_COMPLETED)
            lacked = len(found) < enough
            found += [answer for task in asked if task in done for answer in _heard(task)]
            if lacked and len(found) >= enough:
                ends_at = min(ends_at, loop.time() + grace_s)
    finally:
        for task in asked:
            task.cancel()
        await asyncio.gather(*asked, return_exceptions=True)
    return found


def _heard(task: asyncio.Task[Answer]) -> tuple[Answer] | tuple[()]:
    """Whatever a stranger at an informant's address says, the others are heard."""
    error = task.exception()
    if error is None:
        return (task.result(),)
    if not isinstance(error, OSError | AnypodError):
        logger.warning("redis: what a server says of the others is not understood: %s", type(error).__name__)
    return ()


def _ignore_loss() -> None:
    """The next question makes another connection."""


class Singleflight:
    """`put` asks and keeps the answer, which serves all callers for `fresh_s`."""

    def __init__(self, put: Callable[[], Awaitable[None]], clock: Clock, fresh_s: float) -> None:
        self._put = put
        self._clock = clock
        self._fresh_s = fresh_s
        self._asking = asyncio.Lock()
        self._put_at = self._answered_at = float("-inf")

    async def recent(self) -> None:
        """Returns when there is an answer of the last moments."""
        async with self._asking:
            if self._clock.now() >= self._answered_at + self._fresh_s:
                await self._ask()

    async def renewed(self) -> None:
        """Returns when there is an answer to a question that was put after this call."""
        called_at = self._clock.now()
        async with self._asking:
            if self._put_at < called_at:
                await self._ask()

    async def _ask(self) -> None:
        put_at = self._clock.now()
        await self._put()
        self._put_at, self._answered_at = put_at, self._clock.now()
