"""The replicas beside this one, as they tell each other through the store.

Owns this replica's entry, its renewal, and what was last heard of the others. Must not know what follows from their numbers.
"""

from collections.abc import Callable, Sequence
from random import Random
from typing import Final

import msgspec
from msgspec import Struct

from anypod.core.notices import UNREADABLE
from anypod.hub.attach import Attachments
from anypod.hub.hub import Hub

ANNOUNCE_S: Final = 3.0  # between two announcements: each costs the store one call, whose answer grows with the replicas
ENTRY_TTL_MS: Final = 10_000  # outlives two that were missed; then the replica is held for dead


class ReplicaMember(Struct, frozen=True, kw_only=True):
    """One replica. `since_ms`: when it began, in epoch time; `draining`: it sends its clients away, and gets no new ones."""

    replica: str
    version: str
    connections: int
    sessions: int
    draining: bool
    since_ms: int


class Membership:
    """`is_leaving`: whether this replica refuses traffic."""

    def __init__(self, hub: Hub, attachments: Attachments, rng: Random, *, version: str, is_leaving: Callable[[], bool]) -> None:
        self._hub = hub
        self._attachments = attachments
        self._version = version
        self._is_leaving = is_leaving
        self._life = f"{rng.getrandbits(64):016x}"  # a name may come again at once, with the entry of its former life still there
        self._since_ms = hub.clock.wall_ms()
        self._count = 0
        hub.metrics.watch("replicas", lambda: self._count)

    async def announce(self) -> Sequence[ReplicaMember]:
        """Say what this replica holds, and hear it of all, this one too. Raises AnypodError."""
        return await self._tell(msgspec.json.encode(self._own()))

    async def leave(self) -> None:
        """Be forgotten at once rather than when the entry is over. Raises AnypodError."""
        await self._tell(b"")

    async def _tell(self, entry: bytes) -> Sequence[ReplicaMember]:
        heard = await self._hub.store.announce(self._life, entry, ttl_ms=ENTRY_TTL_MS)
        members = sorted(filter(None, map(self._read, heard)), key=lambda member: (member.replica, member.since_ms))
        self._count = len(members)
        return members

    def _read(self, entry: bytes) -> ReplicaMember | None:
        """None: another version, or another program, wrote what this one cannot read."""
        try:
            return msgspec.json.decode(entry, type=ReplicaMember)
        except UNREADABLE:
            self._hub.metrics.payloads_skipped["replica"] += 1
            return None

    def _own(self) -> ReplicaMember:
        return ReplicaMember(
            replica=self._hub.options.replica,
            version=self._version,
            connections=len(self._attachments.schedule),
            sessions=len(self._hub.sessions),
            draining=self._is_leaving(),
            since_ms=self._since_ms,
        )
