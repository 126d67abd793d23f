"""All that the memory server holds, and that a failover may take back.

Owns the sessions by key, the tombstones of deleted ones, the index of each subject's, the calendar of housekeeping, and notes.
Must not know the clock: it is told the time, and forgets what has expired by then.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from anypod.core.errors import AnypodError
from anypod.core.identity import SessionKey, Subject, TenantId, partition
from anypod.memory_store.log import Log
from anypod.memory_store.members import LifeTable
from anypod.store import SUBJECT_DELETIONS_MAX, TENANT_DELETIONS_MAX, Due

TOMBSTONE_MS: Final = 86_400_000  # a day: how long the last owner is told that a session was deleted
SWEEP_MIN: Final = 1_000  # sessions and tombstones; swept when their number has doubled since the last sweep
TURN_MS: Final = 120_000  # what was taken off the calendar and not tidied comes up again after this
NOTES_MAX: Final = 100_000  # at some 400 bytes; a further one is `storage_full`

Owner = tuple[TenantId, Subject]


class Note(NamedTuple):
    """Holds until then."""

    text: bytes
    until_ms: int


class Tombstone(NamedTuple):
    """A tombstone: the last owner of a deleted session, to whom the deletion is reported until then."""

    owner: Subject
    until_ms: int


@dataclass(slots=True)
class ServerContents:
    """`index`: the sessions of each subject with the time of their last recorded activity. `deletions`: of `day`, by tenant and subject."""

    logs: dict[SessionKey, Log] = field(default_factory=dict)
    tombstones: dict[SessionKey, Tombstone] = field(default_factory=dict)
    index: dict[Owner, dict[SessionKey, int]] = field(default_factory=dict)
    notes: dict[str, Note] = field(default_factory=dict)
    calendar: dict[SessionKey, int] = field(default_factory=dict)
    swept_to: int = SWEEP_MIN
    deletions: Counter[TenantId | Owner] = field(default_factory=Counter)
    day: int = 0
    lives: LifeTable = field(default_factory=LifeTable)
    erasures: dict[str, bytes] = field(default_factory=dict)

    def copy(self) -> "ServerContents":
        logs = {key: log.copy() for key, log in self.logs.items()}
        index = {owner: dict(active) for owner, active in self.index.items()}
        return ServerContents(
            logs,
            dict(self.tombstones),
            index,
            dict(self.notes),
            dict(self.calendar),
            self.swept_to,
            Counter(self.deletions),
            self.day,
            self.lives.copy(),
            dict(self.erasures),
        )

    def find(self, key: SessionKey, now_ms: int) -> Log | None:
        log = self.logs.get(key)
        return log if log is not None and log.expires_at_ms > now_ms else None

    def tombstone(self, key: SessionKey, now_ms: int) -> Tombstone | None:
        tombstone = self.tombstones.get(key)
        return tombstone if tombstone is not None and tombstone.until_ms > now_ms else None

    def active(self, owner: Owner, now_ms: int) -> dict[SessionKey, int]:
        """A subject's sessions, without those that have expired."""
        active = self.index.get(owner, {})
        return {key: at_ms for key, at_ms in active.items() if self.find(key, now_ms) is not None}

    def add(self, key: SessionKey, log: Log, now_ms: int) -> None:
        self._sweep(now_ms)
        self.logs[key] = log
        self.tombstones.pop(key, None)
        self.touch(key, log.owner, now_ms)

    def touch(self, key: SessionKey, owner: Subject, now_ms: int) -> None:
        self.index.setdefault((key.tenant, owner), {})[key] = now_ms

    def remove(self, key: SessionKey, now_ms: int) -> None:
        log = self.logs.pop(key)
        self._sweep(now_ms)
        if self._is_remembered((key.tenant, log.owner), now_ms):
            self.tombstones[key] = Tombstone(log.owner, now_ms + TOMBSTONE_MS)
        self.index.get((key.tenant, log.owner), {}).pop(key, None)

    def erase(self, key: SessionKey) -> None:
        """Without a tombstone, and with the one there was."""
        log = self.logs.pop(key, None)
        tombstone = self.tombstones.pop(key, None)
        if log is not None:
            self.index.get((key.tenant, log.owner), {}).pop(key, None)
        for owner in {item.owner for item in (log, tombstone) if item is not None}:
            if not self.index.get((key.tenant, owner)):
                self.index.pop((key.tenant, owner), None)

    def _is_remembered(self, owner: Owner, now_ms: int) -> bool:
        """Whether one more deletion of this day may leave a tombstone."""
        if self.day != now_ms // TOMBSTONE_MS:
            self.day = now_ms // TOMBSTONE_MS
            self.deletions.clear()
        if self.deletions[owner[0]] >= TENANT_DELETIONS_MAX or self.deletions[owner] >= SUBJECT_DELETIONS_MAX:
            return False
        self.deletions.update((owner[0], owner))
        return True

    def bytes_of(self, owner: Owner, now_ms: int) -> int:
        return sum(self.logs[key].streams.size for key in self.active(owner, now_ms))

    def put_on_calendar(self, key: SessionKey, due_ms: int | None, turn: str = "") -> None:
        """After a `turn`: next at `due_ms`, unless it was put on the calendar in the meantime. Without: unless it comes up earlier."""
        if turn:
            if str(self.calendar.get(key)) != turn:
                return
            del self.calendar[key]
        if due_ms is not None:
            self.calendar[key] = min(due_ms, self.calendar.get(key, due_ms))

    def take_due(self, number: int, now_ms: int, limit: int) -> Sequence[Due]:
        found = sorted((at_ms, key) for key, at_ms in self.calendar.items() if at_ms <= now_ms and partition(key) == number)[:limit]
        self.calendar.update({key: now_ms + TURN_MS for _, key in found})
        return [Due(key, str(now_ms + TURN_MS)) for _, key in found]

    def swap_note(self, name: str, text: bytes | None, *, ttl_ms: int, now_ms: int) -> bytes | None:
        """Raises AnypodError `storage_full`."""
        if text is not None:
            self._make_room(now_ms)
        held = self.notes.pop(name, None)
        if text is not None:
            self.notes[name] = Note(text, now_ms + ttl_ms)
        return held.text if held is not None and held.until_ms > now_ms else None

    def _make_room(self, now_ms: int) -> None:
        """The oldest come first: one that holds for longer keeps those behind it, which is why there is a bound too."""
        while self.notes and next(iter(self.notes.values())).until_ms <= now_ms:
            del self.notes[next(iter(self.notes))]
        if len(self.notes) >= NOTES_MAX:
            raise AnypodError("storage_full")

    def _sweep(self, now_ms: int) -> None:
        """What has expired and is never read again would stay for ever."""
        if len(self.logs) + len(self.tombstones) < self.swept_to:
            return
        self.logs = {key: log for key, log in self.logs.items() if log.expires_at_ms > now_ms}
        self.tombstones = {key: item for key, item in self.tombstones.items() if item.until_ms > now_ms}
        kept = {owner: self.active(owner, now_ms) for owner in self.index}
        self.index = {owner: active for owner, active in kept.items() if active}
        self.calendar = {key: at_ms for key, at_ms in self.calendar.items() if key in self.logs}
        self.swept_to = max(SWEEP_MIN, 2 * (len(self.logs) + len(self.tombstones)))
