"""Reading a session in a test."""

import asyncio
from collections.abc import Callable

from anypod.client import Event, Item, Session

PATIENCE_S = 10.0  # a wait that takes longer has failed
POLL_S = 0.005


async def take(session: Session, count: int) -> list[Item]:
    """The next items."""
    async with asyncio.timeout(PATIENCE_S):
        return [await anext(session) for _ in range(count)]


async def take_data(session: Session, count: int) -> list[object]:
    """What the next events hold."""
    return [item.data if isinstance(item, Event) else item for item in await take(session, count)]


async def until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while not condition():  # noqa: ASYNC110 - whatever it is about, a peer or the network, does not tell
            await asyncio.sleep(POLL_S)
