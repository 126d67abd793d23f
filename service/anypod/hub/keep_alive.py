"""An attached client keeps its session from expiring, also while it only listens.

Owns when a session's expiry is moved: once in half of the life that it has left. Must not know classes: the store says what is left.
"""

import asyncio
from collections.abc import Sequence
from typing import Final

from anypod.clock import Clock
from anypod.core.errors import AnypodError
from anypod.hub.background import Tasks
from anypod.hub.session import HubSession
from anypod.store import Store

SHARE: Final = 2  # of what is left passes before it is moved


class KeepAlive:
    def __init__(self, store: Store, clock: Clock, tasks: Tasks, heartbeat_ms: int) -> None:
        self._store = store
        self._clock = clock
        self._tasks = tasks
        self._heartbeat_ms = heartbeat_ms

    def note(self, session: HubSession, expires_in_ms: int) -> None:
        """The session was read. What would not live for two intervals is kept at once."""
        session.keep_at = self._clock.now() + expires_in_ms / 1000 / SHARE
        if expires_in_ms < 2 * self._heartbeat_ms:
            self._tasks.start(self._keep(session), "keep alive")

    def look(self, sessions: Sequence[HubSession], now: float) -> None:
        """Called by the housekeeping, once in a heartbeat's interval."""
        until = now + self._heartbeat_ms / 1000
        due = [session for session in sessions if session.keep_at <= until and not session.is_empty]
        if due:
            self._tasks.start(self._keep_all(due), "keep alive")

    async def _keep_all(self, sessions: Sequence[HubSession]) -> None:
        await asyncio.gather(*map(self._keep, sessions))

    async def _keep(self, session: HubSession) -> None:
        try:
            left_ms = await self._store.keep(session.key)
            await self._store.touch(session.key)  # its owner's list of sessions keeps it too
        except AnypodError:
            return  # it has gone, or the store is away: the next look asks again
        session.keep_at = self._clock.now() + left_ms / 1000 / SHARE
