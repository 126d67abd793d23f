"""The memory server: all sessions, and what stands for a Redis server's life.

Owns the sessions, the index of each subject's, the incarnation, and the faults that a simulation asks for. Each method is
one indivisible step, as a script is in Redis. Must not know asyncio: doors (`MemoryStore`) bring what it sends to replicas.
"""

import random
from collections.abc import Iterator, Mapping, Sequence
from itertools import count
from typing import Final, Protocol

from msgspec import Raw

from anypod.clock import Clock
from anypod.core.cursor import Facts
from anypod.core.errors import AnypodError
from anypod.core.frames import PresenceFrame, encode
from anypod.core.identity import SessionKey, Subject, TenantId
from anypod.core.notices import ClosedNotice, DeletedNotice, SignalNotice, encode_notice
from anypod.memory_store.contents import ServerContents
from anypod.memory_store.log import Log, Moment
from anypod.memory_store.members import Changed
from anypod.memory_store.replicas import Replicas
from anypod.store import (
    PAGE_BYTES_MAX,
    Append,
    BackwardPage,
    Creation,
    Due,
    Erased,
    Listing,
    Lives,
    LogHead,
    Member,
    Missing,
    Page,
    Results,
    Snapshot,
    Usage,
    within,
)

TOUCH_MS: Final = 60_000  # activity is recorded to the minute
ERASURES_MAX: Final = 1_000  # records; a further one is `quota_exceeded`
TAG_MIN: Final = 1_000_000_000  # ten digits, so that every tag is as long
TAG_END: Final = 1 << 32  # a stream's second number would hold more; a cursor should stay short


class ReplicaConnection(Protocol):
    """A replica's connection, as the server sees it."""

    def offer(self, key: SessionKey, payload: bytes) -> None: ...

    def cut(self, *, is_feed_only: bool) -> None: ...

    def restore(self) -> None: ...


class MemoryServer:
    def __init__(self, clock: Clock, rng: random.Random) -> None:
        self.clock = clock
        self._rng = rng
        self._contents = ServerContents()
        self._replicas = Replicas()
        self._connections: list[ReplicaConnection] = []
        self._incarnation = self._next_incarnation()
        self.is_running = True
        self.nonces: Final = count(1)  # of patches, whichever door they come by

    # Replicas.
    def attach(self, connection: ReplicaConnection) -> None:
        self._connections.append(connection)

    def detach(self, connection: ReplicaConnection) -> None:
        self._connections.remove(connection)

    def publish(self, key: SessionKey, payload: bytes) -> None:
        for connection in self._connections:
            connection.offer(key, payload)

    # Faults, for the simulation.
    def stop(self) -> None:
        """Every connection is lost, and with it whatever was on its way."""
        self.is_running = False
        for connection in self._connections:
            connection.cut(is_feed_only=False)

    def start(self) -> None:
        self.is_running = True
        for connection in self._connections:
            connection.restore()

    def restart(self) -> None:
        """Stopped and started again with nothing lost, as another incarnation."""
        self.stop()
        self._incarnation = self._next_incarnation()
        self.start()

    def snapshot(self) -> ServerContents:
        """What a replica of the server holds that lags behind from now on."""
        return self._contents.copy()

    def fail_over(self, to: ServerContents) -> None:
        """An asynchronous failover: everything since that snapshot is lost."""
        self._contents = to.copy()
        self.restart()

    def cut_feeds(self) -> None:
        """Only the feed's connections are lost and made again."""
        for connection in self._connections:
            connection.cut(is_feed_only=True)
            if self.is_running:
                connection.restore()

    # The log.
    def append(self, request: Append) -> Results:
        now_ms = self.clock.wall_ms()
        log = self._log(request.key, request.owner)
        appended = log.append(request, Moment(now_ms, self._incarnation, self._tags()))
        for payload in appended.feed:
            self.publish(request.key, payload)
        return appended.results

    def read(
        self, key: SessionKey, after: int | None, *, limit: int, fold: bool = False, bytes_max: int = PAGE_BYTES_MAX
    ) -> Page | Missing:
        log = self._find(key)
        if log is None:
            tombstone = self._contents.tombstone(key, self.clock.wall_ms())
            return Missing() if tombstone is None else Missing(was_deleted=True, owner=tombstone.owner)
        return self._page(log, after, limit, is_folded=fold, bytes_max=bytes_max)

    def history(self, key: SessionKey, before: int | None, *, limit: int, bytes_max: int = PAGE_BYTES_MAX) -> BackwardPage:
        log = self._log(key, None)
        entries = log.streams.before(log.head.seq + 1 if before is None else before, limit + 1)
        latest = [entry.frame for entry in reversed(entries[max(0, len(entries) - limit) :])]
        frames = latest[: within(latest, bytes_max)][::-1]
        return BackwardPage(frames, len(entries) > len(frames))

    def heads(self, keys: Sequence[SessionKey]) -> Mapping[SessionKey, LogHead | None]:
        found = {key: self._find(key) for key in keys}
        return {key: None if log is None else LogHead(str(log.head), log.version, log.claims.newest) for key, log in found.items()}

    # Sessions.
    def create(self, creation: Creation) -> tuple[Page, bool]:
        now_ms = self.clock.wall_ms()
        log = self._find(creation.key)
        if log is not None:
            if log.owner != creation.owner:
                raise AnypodError("no_such_session")
            return self._page(log, None, 0), False
        active = self._contents.active((creation.key.tenant, creation.owner), now_ms)
        if len(active) >= creation.sessions_max:
            raise AnypodError("quota_exceeded", "the subject has as many sessions as it may")
        log = Log.begin(creation, now_ms, self._incarnation)
        self._contents.add(creation.key, log, now_ms)
        return self._page(log, None, 0), True

    def end(self, key: SessionKey, owner: Subject | None) -> str:
        log = self._log(key, owner)
        if not log.is_closed:
            log.is_closed = True
            self.publish(key, encode_notice(ClosedNotice(str(log.head))))
        return str(log.head)

    def delete(self, key: SessionKey, owner: Subject | None) -> None:
        self._log(key, owner)
        self._contents.remove(key, self.clock.wall_ms())
        self.publish(key, encode_notice(DeletedNotice()))

    def sessions(self, tenant: TenantId, owner: Subject, *, before_ms: int | None, limit: int) -> Sequence[Listing]:
        active = self._contents.active((tenant, owner), self.clock.wall_ms())
        latest = sorted(active.items(), key=lambda item: (item[1], item[0].session), reverse=True)
        return [Listing(key, at_ms) for key, at_ms in latest if before_ms is None or at_ms < before_ms][:limit]

    def touch(self, key: SessionKey) -> Usage | None:
        now_ms = self.clock.wall_ms()
        log = self._find(key)
        if log is None:
            return None
        touched_ms = self._contents.active((key.tenant, log.owner), now_ms).get(key, 0)
        if now_ms - touched_ms >= TOUCH_MS:
            self._contents.touch(key, log.owner, now_ms)
        return self.usage(key.tenant, log.owner)

    def usage(self, tenant: TenantId, owner: Subject) -> Usage:
        now_ms = self.clock.wall_ms()
        theirs = [self._contents.bytes_of(one, now_ms) for one in self._contents.index if one[0] == tenant]
        return Usage(owner, self._contents.bytes_of((tenant, owner), now_ms), sum(theirs))

    # Erasure.
    def erase(self, tenant: TenantId, owner: Subject | None, cursor: str, *, limit: int) -> Erased:
        contents = self._contents
        named = sorted(key.session for key in {**contents.logs, **contents.tombstones} if key.tenant == tenant and key.session > cursor)
        sessions = records = 0
        for name in named[:limit]:
            key = SessionKey(tenant, name)
            log, tombstone = contents.find(key, self.clock.wall_ms()), contents.tombstones.get(key)
            if owner is not None and owner != (log.owner if log is not None else tombstone.owner if tombstone is not None else None):
                continue
            contents.erase(key)
            records += 1
            if log is not None:
                sessions += 1
                self.publish(key, encode_notice(DeletedNotice()))
        return Erased(named[limit - 1] if len(named) > limit else "", sessions, records)

    def erasures(self) -> Mapping[str, bytes]:
        return dict(self._contents.erasures)

    def swap_erasure(self, name: str, before: bytes | None, after: bytes | None, *, ttl_ms: int) -> bool:
        """Those of a server that lives in memory need no end but that of their week, which their reader sees to."""
        records = self._contents.erasures
        if records.get(name) != before:
            return False
        if before is None and len(records) >= ERASURES_MAX:
            raise AnypodError("quota_exceeded", "there are as many erasures under way as there may be")
        if after is None:
            records.pop(name, None)
        else:
            records[name] = after
        return True

    def keep(self, key: SessionKey) -> int:
        return self._log(key, None).keep(self.clock.wall_ms())

    def raise_fence(self, key: SessionKey, turn: str) -> int:
        return self._log(key, None).raise_fence(turn, self.clock.wall_ms())

    # Housekeeping.
    def tidy(self, key: SessionKey, turn: str = "") -> int | None:
        now_ms, log = self.clock.wall_ms(), self._find(key)
        due_ms = None if log is None else log.tidy(now_ms)
        self._contents.put_on_calendar(key, due_ms, turn)
        return None if due_ms is None else due_ms - now_ms

    def schedule(self, key: SessionKey, in_ms: int) -> None:
        self._contents.put_on_calendar(key, self.clock.wall_ms() + in_ms)

    def due(self, number: int, limit: int) -> Sequence[Due]:
        return self._contents.take_due(number, self.clock.wall_ms(), limit)

    # Devices.
    def claim(self, key: SessionKey, place: str) -> int:
        return self._log(key, None).claims.claim(place, self.clock.wall_ms())

    def claims(self, places: Sequence[tuple[SessionKey, str]]) -> Sequence[int]:
        now_ms = self.clock.wall_ms()
        found = [(self._find(key), place) for key, place in places]
        return [0 if log is None else log.claims.of(place, now_ms) for log, place in found]

    def withdraw(self, key: SessionKey, place: str, number: int) -> None:
        if (log := self._find(key)) is not None:
            log.claims.withdraw(place, number)

    # Presence.
    def join(self, key: SessionKey, life: str, members: Sequence[Member]) -> None:
        now_ms = self.clock.wall_ms()
        changed = self._log(key, None).members.join(life, members, now_ms)
        self._contents.lives.extend(life, now_ms)
        self._tell_presence(key, life, members[0].attachment if len(members) == 1 else None, changed)
        if changed.is_full:
            raise AnypodError("quota_exceeded", "the session has too many members present")

    def present(self, key: SessionKey) -> Sequence[tuple[str, Member]]:
        now_ms = self.clock.wall_ms()
        lives = self._contents.lives.at(now_ms)
        return [(life, member) for life, member in self._log(key, None).members.at(now_ms) if life in lives]

    def leave(self, key: SessionKey, life: str, name: str, attachment: str) -> None:
        if (log := self._find(key)) is not None:
            self._tell_presence(key, life, attachment, log.members.leave(name, attachment))

    def bury(self, key: SessionKey, life: str, names: Sequence[str]) -> None:
        log = self._find(key)
        if log is not None and life not in self._contents.lives.at(self.clock.wall_ms()):
            log.members.bury(life, names)

    def keep_life(self, life: str, partitions: Sequence[int]) -> Mapping[int, Lives]:
        now_ms = self.clock.wall_ms()
        was_alive = life in self._contents.lives.at(now_ms)
        self._contents.lives.extend(life, now_ms)
        return dict.fromkeys(partitions, Lives(was_alive, frozenset(self._contents.lives.at(now_ms))))

    def _tell_presence(self, key: SessionKey, life: str, origin: str | None, changed: Changed) -> None:
        if changed.joined or changed.updated or changed.left:
            parts = [list(map(Raw, part)) for part in (changed.joined, changed.updated, changed.left)]
            frame = PresenceFrame(joined=parts[0], updated=parts[1], left=parts[2])
            notice = SignalNotice(frame=Raw(encode(frame)), is_presence=True, origin=origin, life=life)
            self.publish(key, encode_notice(notice))

    def announce(self, life: str, entry: bytes, *, ttl_ms: int) -> Sequence[bytes]:
        return self._replicas.announce(life, entry, ttl_ms=ttl_ms, now_ms=self.clock.wall_ms())

    def swap_note(self, name: str, note: bytes | None, *, ttl_ms: int) -> bytes | None:
        return self._contents.swap_note(name, note, ttl_ms=ttl_ms, now_ms=self.clock.wall_ms())

    def _find(self, key: SessionKey) -> Log | None:
        return self._contents.find(key, self.clock.wall_ms())

    def _log(self, key: SessionKey, owner: Subject | None) -> Log:
        log = self._find(key)
        if log is None or owner not in (None, log.owner):
            raise AnypodError("no_such_session")
        return log

    def _page(self, log: Log, after: int | None, limit: int, *, is_folded: bool = False, bytes_max: int = PAGE_BYTES_MAX) -> Page:
        now_ms, head = self.clock.wall_ms(), log.head.seq
        position = head if after is None else min(after, head)
        deltas_from, folded = log.streams.visible_deltas(is_folded=is_folded, head=head)
        entries = log.streams.between(position, deltas_from, limit + 1)
        live, live_until_ms = log.live_at(now_ms)
        snapshot = Snapshot(
            facts=Facts(
                head=log.head,
                oldest=log.streams.oldest,
                folded=folded,
                terms=log.terms_at(self._incarnation),
                tag_at=log.tag_at(head if after is None else after),
            ),
            owner=log.owner,
            class_name=log.session_class.name,
            state=log.state,
            live=live,
            live_until_ms=live_until_ms,
            metadata=log.metadata,
            version=log.version,
            is_closed=log.is_closed,
            expires_at_ms=log.expires_at_ms,
            expires_in_ms=log.expires_at_ms - now_ms,
        )
        shown = entries[: within((entry.frame for entry in entries[:limit]), bytes_max)]
        cut_at = shown[-1].seq if shown else position
        return Page(snapshot, [entry.frame for entry in shown], cut_at if len(entries) > len(shown) else head)

    def _tags(self) -> Iterator[int]:
        while True:
            yield self._rng.randrange(TAG_MIN, TAG_END)

    def _next_incarnation(self) -> str:
        return f"{self._rng.getrandbits(24):06x}"
