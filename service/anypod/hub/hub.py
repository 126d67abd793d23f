"""A replica's map from session to subscribers.

Owns which sessions are loaded, and that each stands where the log stands: it hears the feed, finds gaps, and reads the
log when something was missed. Must not know transports, nor who may attach.

Why nothing falls between: a session is subscribed first, then its range is read, then both are merged. Whatever breaks the
feed is a *gap barrier*: the log is read again from where the session stands, and the cursor there is judged anew.
"""

import asyncio
import logging
from collections.abc import Callable, Sequence
from typing import Protocol, assert_never

from anypod.clock import Clock
from anypod.core.errors import CLOSE_LEAVING, CODES, AnypodError, Code, close_reason
from anypod.core.event import is_frame_start
from anypod.core.frames import ClosedFrame, encode
from anypod.core.identity import SessionKey
from anypod.core.notices import (
    ClosedNotice,
    DeletedNotice,
    DeviceNotice,
    Notice,
    SignalNotice,
    StateNotice,
    is_notice,
    on_one_line,
    read_notice,
)
from anypod.hub.accounts import Accounts
from anypod.hub.background import Tasks
from anypod.hub.config import HubOptions
from anypod.hub.devices import Devices
from anypod.hub.keep_alive import KeepAlive
from anypod.hub.outbox_budget import OutboxBudget
from anypod.hub.session import HubSession, SessionPhase, Subscriber, SubscriberPhase
from anypod.hub.tail import TAIL_BYTES_MAX, TailBudget
from anypod.store import Missing, Page, Store
from anypod.telemetry import Metrics

logger = logging.getLogger(__name__)

LOAD_EVENTS_MAX = 512  # what the first reader of a cold session may find in its tail


class GapRepair(Protocol):
    """What the hub asks of `recovery`, which knows the hub."""

    def resync(self, session: HubSession) -> None:
        """Bring the session to the log's head, proving its history. One read at a time; asking again means one more."""

    async def close(self) -> None: ...


class Hub:
    def __init__(self, store: Store, clock: Clock, metrics: Metrics, options: HubOptions) -> None:
        self.store = store
        self.clock = clock
        self.metrics = metrics
        self.options = options
        self.accounts = Accounts(options.allowances, clock, options.arrivals)
        self.tails = TailBudget(options.tail_bytes_max)
        self.outboxes = OutboxBudget(options.outbox_total_bytes_max)
        self.tasks = Tasks(metrics)
        self.repair: GapRepair  # set by the session layer, before `start`
        # Called for presence: set by its tracker.
        self.on_presence: Callable[[HubSession, SignalNotice], None] = lambda session, notice: None
        self.on_interrupted: Callable[[HubSession], None] = lambda session: None
        self.devices = Devices(store, clock, metrics, self.tasks, dismiss=self.dismiss, ghost_ms=options.silence_ms)
        self.keep_alive = KeepAlive(store, clock, self.tasks, options.heartbeat_ms)
        self.sessions: dict[SessionKey, HubSession] = {}
        self.is_leaving = False  # the replica drains
        self.has_surplus = False  # it sends some of them away
        self.stalled: dict[Subscriber, None] = {}  # whose ports take no more: the housekeeping looks after them
        metrics.watch("stalled", lambda: len(self.stalled))
        metrics.watch("sessions", lambda: len(self.sessions))
        metrics.watch("outbox_bytes", lambda: self.outboxes.bytes)
        metrics.watch("tail_bytes", lambda: self.tails.bytes)

    @property
    def ends_connections(self) -> bool:
        """Each answer is the last on its connection: a client that came again over one that was kept would find no other replica."""
        return self.is_leaving or self.has_surplus

    async def start(self) -> None:
        await self.store.open(self)

    async def close(self) -> None:
        await self.tasks.close()
        await self.repair.close()
        await self.store.close()

    # The feed (store.Sink).

    def on_batch(self, batch: Sequence[tuple[SessionKey, bytes]]) -> None:
        touched: dict[HubSession, None] = {}
        for key, payload in batch:
            session = self.sessions.get(key)
            if session is None:
                continue  # unloaded while this was under way
            if is_notice(payload):
                notice = read_notice(payload)
                if isinstance(notice, str):
                    self.metrics.payloads_skipped[notice] += 1
                else:
                    self._on_notice(session, notice)
                continue
            try:
                is_whole = session.offer(payload)
            except (ValueError, IndexError):  # its bytes have no seq, cursor or length where an event has them
                self.metrics.payloads_skipped["event"] += 1
                if not is_frame_start(payload):
                    continue
                is_whole = False  # it was to be an event: the log knows which
            touched[session] = None
            if not is_whole:
                self.metrics.gaps += 1
                self.resync(session)
        for session in touched:
            self.flush(session)

    def on_barrier(self, keys: Sequence[SessionKey]) -> None:
        self.metrics.barriers += 1
        for key in keys:
            if session := self.sessions.get(key):
                self.resync(session)
                self.on_interrupted(session)

    def flush(self, session: HubSession) -> None:
        delivered = session.flush(self.clock.wall_ms())
        self.metrics.events_delivered += delivered
        self.tails.note(session.tail)

    def _on_notice(self, session: HubSession, notice: Notice) -> None:
        match notice:
            case SignalNotice(is_presence=True) as told:
                self.on_presence(session, told)
            case SignalNotice() as signal:
                self._pass_on(session, signal)
            case StateNotice() as state:
                session.note_state(state, self.clock.wall_ms())
            case ClosedNotice():
                self.resync(session)  # the events before it may still be on their way
            case DeletedNotice():
                self.drop(session, "no_such_session", "the session was deleted")
            case DeviceNotice() as claim:
                self.devices.heard(session, claim)
            case _:
                assert_never(notice)

    def _pass_on(self, session: HubSession, signal: SignalNotice) -> None:
        frame = on_one_line(bytes(signal.frame))
        for subscriber in session.members:
            if signal.is_for(subscriber.author, subscriber.device) and subscriber.id != signal.origin and subscriber.paused_at is None:
                subscriber.port.send(frame)

    # Loading.

    async def load(self, key: SessionKey, after: int | None) -> HubSession | Missing:
        """The session, standing where the log stands. `after`: the place that the first one to ask resumes from."""
        session = self.sessions.get(key)
        if session is None:
            session = self.sessions[key] = HubSession(key)
            session.loading = asyncio.get_running_loop().create_future()
            self.tasks.start(self._load(session, after), "load")
        if session.loading is not None:
            missing = await asyncio.shield(session.loading)
            if missing is not None:
                return missing
        return session

    async def _load(self, session: HubSession, after: int | None) -> None:
        loading = session.loading
        assert loading is not None
        try:
            # Before the read: an event between read and subscription would be lost.
            await self.store.subscribe(session.key)
            page = await self.store.read(session.key, after, limit=LOAD_EVENTS_MAX, bytes_max=TAIL_BYTES_MAX)
        except BaseException as error:
            self._forget(session)
            if not isinstance(error, AnypodError):
                loading.cancel()
                raise
            loading.set_exception(error)
            loading.exception()  # callers that wait get it; without any it is of no interest
            return
        session.loading = None
        if isinstance(page, Missing):
            self._forget(session)
            loading.set_result(page)
            return
        if session.phase is SessionPhase.UNLOADED:  # the notice of its end was quicker than the reply
            loading.set_exception(AnypodError("unavailable", "the session has just ended; attach again", retry_after_ms=100))
            loading.exception()
            return
        self.settle(session, page, page.snapshot.facts.head.seq if after is None else after)
        loading.set_result(None)

    def settle(self, session: HubSession, page: Page, after: int) -> None:
        self.tails.drop(session.tail)
        early = session.settle(page, after)
        self.tails.note(session.tail)
        session.idle_since = self.clock.now()
        self.keep_alive.note(session, page.snapshot.expires_in_ms)
        refused = [frame for frame in early if not session.offer(frame)]
        self.flush(session)
        if refused or session.resync_again:
            self.resync(session)

    def _forget(self, session: HubSession) -> None:
        self.tails.drop(session.tail)
        if self.sessions.get(session.key) is session:
            del self.sessions[session.key]
            self.store.unsubscribe(session.key)
            session.move(SessionPhase.UNLOADED)

    def unload(self, session: HubSession) -> None:
        """It has no subscribers: give its memory back."""
        assert session.is_empty
        self._forget(session)

    def resync(self, session: HubSession) -> None:
        """See `GapRepair.resync`."""
        self.repair.resync(session)

    # Endings.

    def vanished(self, session: HubSession, missing: Missing) -> None:
        if missing.was_deleted:
            self.drop(session, "no_such_session", "the session was deleted")
        else:
            # They come back at once, and are told then what their cursor is worth.
            self._dismiss_all(session, CLOSE_LEAVING, "the session has expired; attach again")

    def closed(self, session: HubSession) -> None:
        assert session.snapshot is not None
        frame = encode(ClosedFrame(cursor=str(session.facts.head)))
        for subscriber in tuple(session.live):
            subscriber.port.send(frame)
            subscriber.port.close(1000, "the session is closed")

    def drop(self, session: HubSession, code: Code, reason: str) -> None:
        """The session is gone for all its subscribers."""
        self._dismiss_all(session, CODES[code].close or CLOSE_LEAVING, reason)

    def _dismiss_all(self, session: HubSession, close: int, reason: str) -> None:
        for subscriber in session.members:
            subscriber.port.close(close, reason)
            self.detach(subscriber)
        self._forget(session)

    def dismiss(self, subscriber: Subscriber, error: AnypodError) -> None:
        """End one attachment, or what was to become one."""
        self.metrics.errors[error.code] += 1
        if subscriber.phase is SubscriberPhase.OPENING:
            subscriber.port.refuse(error)
        else:
            subscriber.port.close(error.row.close or CLOSE_LEAVING, close_reason(error))
        self.detach(subscriber)

    def cut(self, subscriber: Subscriber) -> None:
        """Too slow a consumer: its connection is given up, with what was still to be sent over it."""
        self.metrics.slow_consumers_closed += 1
        self.metrics.errors["slow_consumer"] += 1
        self.detach(subscriber)  # first: nothing that its port is given counts any more
        subscriber.port.close(CODES["slow_consumer"].close or CLOSE_LEAVING, "resume from the cursor")
        subscriber.port.abort()

    def detach(self, subscriber: Subscriber) -> None:
        """Forget a subscriber whose transport is gone or going. Twice is the same as once."""
        self.stalled.pop(subscriber, None)
        self.outboxes.drop(subscriber)
        session = subscriber.session
        if session is None or subscriber.phase is SubscriberPhase.GONE:
            if subscriber.phase is SubscriberPhase.OPENING:
                subscriber.move(SubscriberPhase.GONE)
            return
        session.remove(subscriber)
        subscriber.move(SubscriberPhase.GONE)
        if session.is_empty:
            session.idle_since = self.clock.now()

    def is_lingering_over(self, session: HubSession, now: float) -> bool:
        is_idle = session.is_empty and not session.pins and session.phase is SessionPhase.CURRENT
        return is_idle and session.idle_since is not None and now - session.idle_since > self.options.linger_s
