"""An attached client keeps its session from expiring, also while it only listens.

Owns when a session's expiry is moved: once in half of the life that it has left. Must not know classes: the store says what is left.
"""

import asyncio
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from anypod.core.errors import AnypodError
from anypod.hub.session import LocalSession

if TYPE_CHECKING:
    from anypod.hub.hub import Hub

SHARE: Final = 2  # of what is left passes before it is moved


class KeepAlive:
    def __init__(self, hub: "Hub") -> None:
        self._hub = hub

    def note(self, session: LocalSession, expires_in_ms: int) -> None:
        """The session was read. What would not live until the wheel has come round twice is kept at once."""
        session.keep_at = self._hub.clock.now() + expires_in_ms / 1000 / SHARE
        if expires_in_ms < 2 * self._hub.options.heartbeat_ms:
            self._hub.tasks.start(self._keep(session), "keep alive")

    def look(self, sessions: Sequence[LocalSession], now: float) -> None:
        """What the wheel comes by, once in a heartbeat's interval."""
        until = now + self._hub.options.heartbeat_ms / 1000
        due = [session for session in sessions if session.keep_at <= until and not session.is_empty]
        if due:
            self._hub.tasks.start(self._keep_all(due), "keep alive")

    async def _keep_all(self, sessions: Sequence[LocalSession]) -> None:
        await asyncio.gather(*map(self._keep, sessions))

    async def _keep(self, session: LocalSession) -> None:
        try:
            left_ms = await self._hub.store.keep(session.key)
            await self._hub.store.touch(session.key)  # its owner's list of sessions keeps it too
        except AnypodError:
            return  # it has gone, or the store is away: the next look asks again
        session.keep_at = self._hub.clock.now() + left_ms / 1000 / SHARE
