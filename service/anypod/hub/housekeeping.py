"""Housekeeping: one timer loop for everything that is due periodically on a replica.

Owns the ticks: heartbeats to every subscriber, silent clients and slow readers ended, quiet sessions compared with the log, credentials
that expire, idle sessions unloaded, sessions kept that have listeners, and the round over the store's calendar of sessions that are due to
be tidied. An idle connection has no timer, task or queue of its own.
"""

import asyncio
import logging
from collections.abc import Callable, Sequence
from itertools import count
from typing import Final

from anypod.core import frames
from anypod.core.errors import CLOSE_LEAVING, AnypodError
from anypod.core.identity import PARTITIONS
from anypod.hub.attach import Attachments
from anypod.hub.background import Tasks
from anypod.hub.drain import Goaway
from anypod.hub.heartbeat_schedule import TURNS_PER_S
from anypod.hub.hub import Hub
from anypod.hub.presence import PresenceTracker
from anypod.hub.recovery import Recovery
from anypod.hub.session import HubSession, SessionPhase, Subscriber, SubscriberPhase
from anypod.store import Due, Store

PARTITIONS_PER_S: Final = 8  # asked about: all of them in 32 s, by every replica, so that none needs another
DUE_MAX: Final = 64  # sessions of one partition and visit; the others' turn comes with the next
ROUNDS_MAX: Final = 64  # over one session: 65,536 ids
logger = logging.getLogger(__name__)
TICK_S: Final = 1 / TURNS_PER_S
EXPIRY_NOTICE_MS: Final = 30_000  # how long before its end a client is told that its credential expires
ABORT_AFTER_S: Final = 2.0  # between the close of a stalled reader and its abort


class Maintenance:
    """The round over the partitions of the store's calendar; the store decides what is done to a session. A visit that takes longer than a
    second is not joined by another."""

    def __init__(self, store: Store, tasks: Tasks) -> None:
        self._store = store
        self._tasks = tasks
        self._numbers = count()
        self._is_visiting = False

    def every_second(self) -> None:
        if self._store.is_available and not self._is_visiting:
            self._is_visiting = True
            self._tasks.start(self._visit([next(self._numbers) % PARTITIONS for _ in range(PARTITIONS_PER_S)]), "maintenance")

    async def _visit(self, numbers: list[int]) -> None:
        try:
            await asyncio.gather(*map(self._visit_partition, numbers))
        finally:
            self._is_visiting = False

    async def _visit_partition(self, number: int) -> None:
        try:
            for item in await self._store.due(number, limit=DUE_MAX):
                await self._tidy(item)
        except AnypodError:
            return  # what was taken comes up again

    async def _tidy(self, item: Due) -> None:
        for _ in range(ROUNDS_MAX):
            if await self._store.tidy(item.key, item.turn) != 0:
                return


class Housekeeping:
    """`chores`: what else is due every second; each is given the time, in clock seconds."""

    def __init__(self, hub: Hub, recovery: Recovery, attachments: Attachments, presence: PresenceTracker, *, goaway: Goaway) -> None:
        self._hub = hub
        self._recovery = recovery
        self._goaway = goaway
        self.chores: list[Callable[[float], None]] = []
        self._attachments = attachments
        self._presence = presence
        self._maintenance = Maintenance(hub.store, hub.tasks)
        self._sessions: list[HubSession] = []
        self._slice = 0
        self._slices = attachments.schedule.slots
        self._next_second = 0.0
        self._aborts: dict[Subscriber, float] = {}

    async def run(self) -> None:
        """Runs until it is cancelled. A tick that fails is logged, and the next one follows."""
        clock = self._hub.clock
        due = clock.now() + TICK_S
        while True:
            await clock.sleep(max(0.0, due - clock.now()))
            self._attachments.admission.note_lag(clock.now() - due)
            late = int((clock.now() - due) / TICK_S)
            for _ in range(min(late + 1, self._slices)):  # a loop that was busy does not make the intervals longer
                self._tick_safely()
            due += (late + 1) * TICK_S

    def _tick_safely(self) -> None:
        try:
            self.tick()
        except Exception:
            self._hub.metrics.errors["internal"] += 1
            logger.exception("a tick of the housekeeping failed")

    def tick(self) -> None:
        now = self._hub.clock.now()
        if self._slice == 0:
            self._sessions = list(self._hub.sessions.values())
        start, end = self._slice, self._slice + 1
        self._beat(self._attachments.schedule.turn(), now)
        self._look(self._sessions[_at(self._sessions, start, self._slices) : _at(self._sessions, end, self._slices)], now)
        self._slice = end % self._slices
        if now >= self._next_second:
            self._next_second = now + 1.0
            self._every_second(now)

    def _beat(self, subscribers: Sequence[Subscriber], now: float) -> None:
        """One frame per session and slice, shared by its subscribers."""
        wall_ms = self._hub.clock.wall_ms()
        silence_s = self._hub.options.silence_ms / 1000
        notice_until_s = (wall_ms + EXPIRY_NOTICE_MS + self._hub.options.heartbeat_ms) / 1000
        made: dict[HubSession, bytes] = {}
        for subscriber in subscribers:
            session = subscriber.session
            if session is None or subscriber.phase is SubscriberPhase.GONE:
                continue
            if subscriber.has_client_beats and now - subscriber.heard_at > silence_s:
                self._hub.dismiss(subscriber, AnypodError("heartbeat_missed", "nothing was heard for too long"))
                continue
            if now > subscriber.ends_at:
                self._end(subscriber)
                continue
            if subscriber.principal.expires_at <= notice_until_s and self._is_credential_over(subscriber, wall_ms):
                continue
            if subscriber.paused_at is not None:
                continue
            frame = made.get(session)
            if frame is None:
                frame = made[session] = frames.encode(frames.HeartbeatFrame(cursor=session.cursor, ts=wall_ms))
            subscriber.port.send(frame)

    def _end(self, subscriber: Subscriber) -> None:
        """A stream has an age of its own, and its end tells the client when to come again."""
        subscriber.ends_at = float("inf")  # told once, however long its client takes to go
        if subscriber.has_client_beats:
            self._goaway.send(subscriber, "aged")
        else:
            subscriber.port.close(CLOSE_LEAVING, "max_stream_s")

    def _is_credential_over(self, subscriber: Subscriber, wall_ms: int) -> bool:
        """Whose credential ends before the next heartbeat and the notice is told so."""
        left_ms = int(subscriber.principal.expires_at * 1000) - wall_ms
        if left_ms <= 0:
            self._hub.dismiss(subscriber, AnypodError("not_authenticated", "the credential has expired"))
            return True
        subscriber.port.send(frames.encode(frames.AuthExpiringFrame(in_ms=left_ms)))
        return False

    def _look(self, sessions: list[HubSession], now: float) -> None:
        quiet: list[HubSession] = []
        for session in sessions:
            if self._hub.is_lingering_over(session, now):
                self._hub.unload(session)
            elif session.phase is SessionPhase.CURRENT:
                quiet.append(session)
        if quiet and self._hub.store.is_available:
            self._hub.keep_alive.look(quiet, now)
            self._hub.tasks.start(self._check_heads(quiet), "heads")

    async def _check_heads(self, sessions: list[HubSession]) -> None:
        try:
            await self._recovery.check_heads(sessions)
        except AnypodError:
            return  # the store is away: its return is a barrier for all of them

    def _every_second(self, now: float) -> None:
        self._end_unopened(now)
        limit = self._hub.options.unwritable_s_max
        for subscriber in tuple(self._hub.stalled):
            if subscriber.paused_at is not None and now - subscriber.paused_at > limit:
                self._hub.metrics.slow_consumers_closed += 1
                self._hub.dismiss(subscriber, AnypodError("slow_consumer", "resume from the cursor"))
                self._aborts[subscriber] = now + ABORT_AFTER_S
        for subscriber in [one for one, at in self._aborts.items() if at <= now]:
            del self._aborts[subscriber]
            subscriber.port.abort()
        self._maintenance.every_second()
        self._hub.devices.retry()
        self._presence.every_second(now)
        for chore in self.chores:
            chore(now)

    def _end_unopened(self, now: float) -> None:
        while self._attachments.opening:
            subscriber, since = next(iter(self._attachments.opening.items()))
            if now - since <= self._hub.options.init_s_max:
                return
            del self._attachments.opening[subscriber]
            self._hub.dismiss(subscriber, AnypodError("malformed", f"no session.init within {self._hub.options.init_s_max:g} s"))


def _at(items: list[HubSession], index: int, slices: int) -> int:
    return len(items) * index // slices
