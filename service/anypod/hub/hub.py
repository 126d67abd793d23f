"""A replica's map from session to subscribers.

Owns which sessions are loaded, and that each stands where the log stands: it hears the feed, finds gaps, and reads the
log when something was missed. Must not know transports, nor who may attach.

Why nothing falls between: a session is subscribed first, then its range is read, then both are merged. Whatever breaks the
feed is a *gap barrier*: the log is read again from where the session stands, and the cursor there is judged anew.
"""

import asyncio
import logging
from collections.abc import Iterable, Sequence

from anypod.clock import Clock
from anypod.core.cursor import judge_place
from anypod.core.errors import CLOSE_LEAVING, CODES, AnypodError, Code, close_reason
from anypod.core.frames import Closed, encode
from anypod.core.identity import SessionKey
from anypod.core.notices import ClosedNotice, DeletedNotice, DeviceNotice, SignalNotice, StateNotice, decode_notice, is_notice
from anypod.hub.catch_up import CatchUp
from anypod.hub.options import HubOptions
from anypod.hub.session import LocalSession
from anypod.hub.subscriber import Phase, Subscriber
from anypod.hub.tail import TailBudget
from anypod.hub.tasks import Tasks
from anypod.store import Head, Missing, Page, Store
from anypod.telemetry import Metrics

logger = logging.getLogger(__name__)

RETRY_S_MIN = 0.1  # between reads of the log while the store is away
RETRY_S_MAX = 2.0
RESYNC_EVENTS_MAX = 512  # a page of a resync: what a feed loses while it reconnects
HEADS_MAX = 200  # sessions asked about in one call


class Hub:
    def __init__(self, store: Store, clock: Clock, metrics: Metrics, options: HubOptions) -> None:
        self.store = store
        self.clock = clock
        self.metrics = metrics
        self.options = options
        self.tails = TailBudget(options.tail_bytes_max)
        self.tasks = Tasks(metrics)
        self.catch_up = CatchUp(self)
        self.sessions: dict[SessionKey, LocalSession] = {}
        self.stalled: set[Subscriber] = set()  # whose ports take no more: the wheel looks after them
        metrics.watch("sessions", lambda: len(self.sessions))
        metrics.watch("tail_bytes", lambda: self.tails.bytes)

    async def start(self) -> None:
        await self.store.open(self)

    async def close(self) -> None:
        await self.tasks.close()
        await self.catch_up.close()
        await self.store.close()

    # The feed (store.Sink).

    def on_batch(self, batch: Sequence[tuple[SessionKey, bytes]]) -> None:
        touched: dict[LocalSession, None] = {}
        for key, payload in batch:
            session = self.sessions.get(key)
            if session is None:
                continue  # unloaded while this was under way
            if is_notice(payload):
                self._on_notice(session, payload)
            elif session.offer(payload):
                touched[session] = None
            else:
                self.metrics.gaps += 1
                touched[session] = None
                self.resync(session)
        for session in touched:
            self._flush(session)

    def on_barrier(self, keys: Sequence[SessionKey]) -> None:
        self.metrics.barriers += 1
        for key in keys:
            if session := self.sessions.get(key):
                self.resync(session)

    def _flush(self, session: LocalSession) -> None:
        delivered = session.flush()
        self.metrics.events_delivered += delivered
        self.tails.note(session.tail)

    def _on_notice(self, session: LocalSession, payload: bytes) -> None:
        match decode_notice(payload):
            case SignalNotice() as signal:
                self._pass_on(session, signal)
            case StateNotice() as state:
                session.note_state(state, self.clock.wall_ms())
            case ClosedNotice():
                self.resync(session)  # the events before it may still be on their way
            case DeletedNotice():
                self.drop(session, "no_such_session", "the session was deleted")
            case DeviceNotice() as notice:
                self._replace_device(session, notice)

    def _pass_on(self, session: LocalSession, signal: SignalNotice) -> None:
        frame = bytes(signal.frame)
        for subscriber in tuple(session.members):
            wants = "presence" in subscriber.features if signal.is_presence else signal.to in (None, subscriber.device, subscriber.author)
            if wants and subscriber.id != signal.origin and subscriber.paused_at is None:
                subscriber.port.send(frame)

    def _replace_device(self, session: LocalSession, notice: DeviceNotice) -> None:
        holder = session.devices.get((notice.author, notice.device))
        if holder is not None and holder.id != notice.attachment:
            self.dismiss(holder, AnypodError("replaced"))

    # Loading.

    async def load(self, key: SessionKey, after: int | None) -> LocalSession | Missing:
        """The session, standing where the log stands. `after`: the place that the first one to ask resumes from."""
        session = self.sessions.get(key)
        if session is None:
            session = self.sessions[key] = LocalSession(key)
            session.loading = asyncio.get_running_loop().create_future()
            self.tasks.start(self._load(session, after), "load")
        if session.loading is not None:
            missing = await asyncio.shield(session.loading)
            if missing is not None:
                return missing
        return session

    async def _load(self, session: LocalSession, after: int | None) -> None:
        loading = session.loading
        assert loading is not None
        try:
            # Before the read: an event between read and subscription would be lost.
            await self.store.subscribe(session.key)
            page = await self.store.read(session.key, after, limit=RESYNC_EVENTS_MAX)
        except BaseException as error:
            self._forget(session)
            if not isinstance(error, AnypodError):
                loading.cancel()
                raise
            loading.set_exception(error)
            loading.exception()  # whoever waits gets it; when nobody does any more it is of no interest
            return
        session.loading = None
        if isinstance(page, Missing):
            self._forget(session)
            loading.set_result(page)
            return
        self._settle(session, page, page.snapshot.facts.head.seq if after is None else after)
        loading.set_result(None)

    def _settle(self, session: LocalSession, page: Page, after: int) -> None:
        self.tails.drop(session.tail)
        early = session.settle(page, after)
        self.tails.note(session.tail)
        session.idle_since = self.clock.now()
        refused = [frame for frame in early if not session.offer(frame)]
        self._flush(session)
        if refused or session.resync_again:
            self.resync(session)

    def _forget(self, session: LocalSession) -> None:
        self.tails.drop(session.tail)
        if self.sessions.get(session.key) is session:
            del self.sessions[session.key]
            self.store.unsubscribe(session.key)

    def unload(self, session: LocalSession) -> None:
        """Nobody is attached: give its memory back."""
        assert not session.members
        self._forget(session)

    # Reading again what was missed.

    def resync(self, session: LocalSession) -> None:
        """Bring the session to the log's head, proving its history. One read at a time; asking again means one more."""
        session.resync_again = True
        if not session.is_resyncing and session.is_ready:
            session.is_resyncing = True
            self.tasks.start(self._resync(session), "resync")

    async def _resync(self, session: LocalSession) -> None:
        pause_s = RETRY_S_MIN
        try:
            while session.resync_again and self.sessions.get(session.key) is session:
                session.resync_again = False
                try:
                    session.resync_again = not await self._read_missed(session) or session.resync_again
                    pause_s = RETRY_S_MIN
                except AnypodError as error:
                    if not error.row.is_retryable:
                        raise
                    session.resync_again = True
                    await self.clock.sleep(pause_s)
                    pause_s = min(2 * pause_s, RETRY_S_MAX)
        finally:
            session.is_resyncing = False
            self._wake(session)

    async def _read_missed(self, session: LocalSession) -> bool:
        """One page; True when the session stands at the head that the page saw."""
        after, cursor = session.seq, session.cursor
        page = await self.store.read(session.key, after, limit=RESYNC_EVENTS_MAX)
        if isinstance(page, Missing):
            self._vanished(session, page)
            return True
        if judge_place(cursor, after, page.snapshot.facts) is not None or not session.cover(page):
            await self._start_over(session)
            return True
        self._flush(session)
        if page.snapshot.is_closed and not page.has_more:
            self._closed(session)
        return not page.has_more

    async def _start_over(self, session: LocalSession) -> None:
        """The log is another one than the session stood in: everybody attached is behind, and judged by their own cursor."""
        for subscriber in tuple(session.live):
            session.leave(subscriber)
        page = await self.store.read(session.key, None, limit=0)
        if isinstance(page, Missing):
            self._vanished(session, page)
            return
        self._settle(session, page, page.snapshot.facts.head.seq)
        session.resync_again = True  # what the feed brought between this read and here was not taken

    def _wake(self, session: LocalSession) -> None:
        for subscriber in tuple(session.members):
            if subscriber.phase is Phase.BEHIND:
                self.catch_up.go_on(subscriber)

    async def check_heads(self, sessions: Iterable[LocalSession]) -> None:
        """A quiet feed is no proof of a quiet log: ask the log."""
        asked = list(sessions)
        for start in range(0, len(asked), HEADS_MAX):
            chunk = asked[start : start + HEADS_MAX]
            stood = [session.seq for session in chunk]
            heads = await self.store.heads([session.key for session in chunk])
            for session, seq, head in zip(chunk, stood, heads, strict=True):
                if session.is_ready and _is_elsewhere(session, seq, head):
                    self.resync(session)

    # Endings.

    def _vanished(self, session: LocalSession, missing: Missing) -> None:
        if missing.was_deleted:
            self.drop(session, "no_such_session", "the session was deleted")
        else:
            # They come back at once, and are told then what their cursor is worth.
            self._dismiss_all(session, CLOSE_LEAVING, "the session has expired; attach again")

    def _closed(self, session: LocalSession) -> None:
        assert session.snapshot is not None
        frame = encode(Closed(cursor=str(session.facts.head)))
        for subscriber in tuple(session.live):
            subscriber.port.send(frame)
            subscriber.port.close(1000, "the session is closed")

    def drop(self, session: LocalSession, code: Code, reason: str) -> None:
        """The session is gone for everybody."""
        self._dismiss_all(session, CODES[code].close or CLOSE_LEAVING, reason)

    def _dismiss_all(self, session: LocalSession, close: int, reason: str) -> None:
        for subscriber in tuple(session.members):
            subscriber.port.close(close, reason)
            self.detach(subscriber)
        self._forget(session)

    def dismiss(self, subscriber: Subscriber, error: AnypodError) -> None:
        """End one attachment, or what was to become one."""
        self.metrics.errors[error.code] += 1
        if subscriber.phase is Phase.OPENING:
            subscriber.port.refuse(error)
        else:
            subscriber.port.close(error.row.close or CLOSE_LEAVING, close_reason(error))
        self.detach(subscriber)

    def detach(self, subscriber: Subscriber) -> None:
        """Forget a subscriber whose transport is gone or going. Twice is the same as once."""
        self.stalled.discard(subscriber)
        session = subscriber.session
        if session is None or subscriber.phase is Phase.GONE:
            subscriber.phase = Phase.GONE
            return
        session.live.pop(subscriber, None)
        session.members.discard(subscriber)
        if subscriber.device and session.devices.get((subscriber.author, subscriber.device)) is subscriber:
            del session.devices[subscriber.author, subscriber.device]
        subscriber.phase = Phase.GONE
        if not session.members:
            session.idle_since = self.clock.now()

    def is_lingering_over(self, session: LocalSession, now: float) -> bool:
        is_idle = not session.members and not session.pins and session.is_ready and not session.is_resyncing
        return is_idle and session.idle_since is not None and now - session.idle_since > self.options.linger_s


def _is_elsewhere(session: LocalSession, seq: int, head: Head | None) -> bool:
    if head is None or session.snapshot is None:
        return True
    if head.version > session.snapshot.version:
        return True
    return head.cursor != session.cursor and session.seq == seq  # it has not moved since, and still differs
