"""Presence in the memory server: the member entries of one session, and the lives of replicas.

Owns their rules: it is the twin of `presence.lua`. Must not know subscribers.
"""

from collections.abc import Iterator, Sequence, Set
from dataclasses import dataclass, field, replace
from typing import Final, NamedTuple

from anypod.store import Member

MEMBERS_MAX: Final = 10_000  # entries in one session; a further one is `quota_exceeded`
PRESENCE_MS: Final = 90_000  # a session's entries are forgotten when no replica has renewed one for so long
LIFE_MS: Final = 10_000  # outlives two heartbeats of a replica that were missed


class Changed(NamedTuple):
    """What there is to tell."""

    joined: Sequence[bytes] = ()
    updated: Sequence[bytes] = ()
    left: Sequence[bytes] = ()
    is_full: bool = False


@dataclass(slots=True)
class Members:
    _entries: dict[str, tuple[str, Member]] = field(default_factory=dict)
    _until_ms: int = 0

    def copy(self) -> "Members":
        return replace(self, _entries=dict(self._entries))

    def join(self, life: str, members: Sequence[Member], now_ms: int) -> Changed:
        if now_ms >= self._until_ms:
            self._entries.clear()
        joined, updated, is_full = list[bytes](), list[bytes](), False
        for member in members:
            held = self._entries.get(member.name)
            if held is None and len(self._entries) >= MEMBERS_MAX:
                is_full = True
            elif held != (life, member):
                self._entries[member.name] = (life, member)
                (joined if held is None else updated).append(member.entry)
        self._until_ms = now_ms + PRESENCE_MS
        return Changed(joined, updated, is_full=is_full)

    def at(self, now_ms: int) -> Iterator[tuple[str, Member]]:
        return iter(self._entries.values() if now_ms < self._until_ms else ())

    def leave(self, name: str, attachment: str) -> Changed:
        held = self._entries.get(name)
        if held is None or held[1].attachment != attachment:
            return Changed()
        del self._entries[name]
        return Changed(left=[held[1].entry])

    def bury(self, life: str, names: Sequence[str]) -> None:
        for name in names:
            if (held := self._entries.get(name)) is not None and held[0] == life:
                del self._entries[name]


@dataclass(slots=True)
class LifeTable:
    """Until when each life holds."""

    _until_ms: dict[str, int] = field(default_factory=dict)

    def copy(self) -> "LifeTable":
        return replace(self, _until_ms=dict(self._until_ms))

    def extend(self, life: str, now_ms: int) -> None:
        self._until_ms = {name: until_ms for name, until_ms in self._until_ms.items() if until_ms > now_ms}
        self._until_ms[life] = now_ms + LIFE_MS

    def at(self, now_ms: int) -> Set[str]:
        return {life for life, until_ms in self._until_ms.items() if until_ms > now_ms}
