"""What every transport is to the session that runs it.

Owns the interface, and how a failure is told as a close. Must not know the transports.
"""

from collections.abc import Awaitable, Callable
from typing import Protocol

import aiohttp

from anypod.client.io.http import reason_of
from anypod.client.machine.commands import Fetch, Send
from anypod.client.machine.inputs import ConnectionClosed, Input
from anypod.client.types import CLOSE_LOST
from anypod.core.errors import CLOSE_OVERLOADED, AnypodError

Feed = Callable[[Input], Awaitable[None]]  # returns when more may be read


class Transport(Protocol):
    """One link. `run` opens it, feeds what arrives, and returns how it ended; cancelling `run` closes it."""

    async def run(self) -> ConnectionClosed: ...

    def obey(self, command: Send | Fetch) -> None:
        """Carry out without waiting; only ever those commands that this transport's links get."""


def closed_by(link: int, exc: AnypodError | aiohttp.ClientError | OSError) -> ConnectionClosed:
    """A failure as the machine is told of it: a refusal has a code, anything else is a lost connection."""
    if not isinstance(exc, AnypodError):
        return ConnectionClosed(link, CLOSE_LOST, reason_of(exc))
    if exc.row.is_retryable:
        return ConnectionClosed(link, CLOSE_OVERLOADED, exc.message, exc.retry_after_ms)
    return ConnectionClosed(link, exc.row.close or CLOSE_LOST, f"{exc.code}: {exc.message}")
