"""Recovery: everything that reads the log after a gap, for one subscriber or for a whole session.

Owns the way of a subscriber from *behind* to *live*, the backpressure that puts it behind, the resync of a session after a gap, a
barrier or a quiet while, and reads that are shared by concurrent callers. Must not know transports, nor what opens an attachment.

1. A subscriber is served from the tail when that reaches back far enough, otherwise page by page from the log, each page judged against the
   subscriber's own cursor.
2. A replay is handed over in pieces, for as long as the port takes them: what it does not take is dropped, and read again from the last
   event that it took.
3. Where a resync finds that the log is another one than the session stood in, every subscriber is behind, and judged by its own cursor.
"""

import asyncio
from collections.abc import Callable, Iterable, Sequence
from typing import Final, assert_never

from anypod.auth import authorise, is_authorised
from anypod.core import frames
from anypod.core.cursor import After, Cursor, Facts, Reset, judge_place
from anypod.core.errors import AnypodError
from anypod.core.event import position
from anypod.core.identity import SessionKey
from anypod.hub.attach_frames import reset_frame, sync_done_frame
from anypod.hub.delivery import PIECE_BYTES_MAX, Batch, Pieces, announcement, is_large
from anypod.hub.hub import Hub
from anypod.hub.session import HubSession, SessionPhase, Subscriber, SubscriberPhase, common_cursor
from anypod.hub.tail import TAIL_BYTES_MAX
from anypod.store import PAGE_BYTES_MAX, LogHead, Missing, Page, Store
from anypod.telemetry import Metrics

PAGE_EVENTS_MAX = 256  # of usual events 50 KiB; of large ones a page ends by its bytes (store.PAGE_BYTES_MAX)
READS_MAX = 64  # reads under way at once; others wait their turn, so that a storm holds 64 pages at most

_Range = tuple[SessionKey, int | None, bool, int, int]


class SharedReads:
    """Singleflight of reads: concurrent callers of the same range share one."""

    def __init__(self, store: Store, metrics: Metrics) -> None:
        self._store = store
        self._metrics = metrics
        self._permits = asyncio.Semaphore(READS_MAX)
        self._under_way: dict[_Range, asyncio.Task[Page | Missing]] = {}

    async def read(
        self, key: SessionKey, after: int | None, *, fold: bool = False, limit: int = PAGE_EVENTS_MAX, bytes_max: int = PAGE_BYTES_MAX
    ) -> Page | Missing:
        """As `Store.read`. A caller that is cancelled leaves the read to the others."""
        wanted = (key, after, fold, limit, bytes_max)
        task = self._under_way.get(wanted)
        if task is None:
            task = asyncio.get_running_loop().create_task(self._read(wanted), name="replay")
            self._under_way[wanted] = task
            task.add_done_callback(lambda ended: self._ended(wanted, ended))
        return await asyncio.shield(task)

    async def _read(self, wanted: _Range) -> Page | Missing:
        key, after, fold, limit, bytes_max = wanted
        async with self._permits:
            page = await self._store.read(key, after, limit=limit, fold=fold, bytes_max=bytes_max)
        self._metrics.replays += 1
        if isinstance(page, Page):
            self._metrics.replay_events += len(page.frames)
        return page

    def _ended(self, wanted: _Range, task: asyncio.Task[Page | Missing]) -> None:
        self._under_way.pop(wanted, None)
        if not task.cancelled():
            task.exception()  # callers that still wait get it; without any it is of no interest

    async def close(self) -> None:
        for task in tuple(self._under_way.values()):
            task.cancel()
        await asyncio.gather(*self._under_way.values(), return_exceptions=True)


RETRY_S = 0.5  # between reads while the store is away; the subscriber stays attached


class Recovery:
    def __init__(self, hub: Hub) -> None:
        self._hub = hub
        self.reads = SharedReads(hub.store, hub.metrics)
        self._pieces = Pieces()
        self._resyncs = Resync(hub, wake=self.go_on)

    async def close(self) -> None:
        await self.reads.close()

    # A whole session (`hub.GapRepair`).

    def resync(self, session: HubSession) -> None:
        self._resyncs.ask(session)

    async def check_heads(self, sessions: Iterable[HubSession]) -> None:
        """A quiet feed is no proof of a quiet log: ask the log. Raises AnypodError."""
        await self._resyncs.check_heads(sessions)

    # Backpressure (`session.FlowControl`).

    def note_unsent(self, subscriber: Subscriber, size: int, size_max: int) -> bool:
        """See `Subscriber.note_unsent`. A port may hold `size_max`, and what is left of the budget of all.

        Where the budget is spent all the same, the subscriber that holds most is cut: what a transport was handed cannot be taken back, and
        its client resumes from its cursor.
        """
        outboxes = self._hub.outboxes
        if subscriber.phase is SubscriberPhase.GONE:
            return True
        outboxes.note(subscriber, size)
        has_room = size <= min(size_max, outboxes.room)
        if not has_room:
            self.pause(subscriber)
        while (largest := outboxes.overdrawn_by()) is not None:
            self._hub.cut(largest)
        return has_room

    def note_drained(self, subscriber: Subscriber, size: int) -> None:
        if subscriber.phase is not SubscriberPhase.GONE:
            self._hub.outboxes.note(subscriber, size)

    def pause(self, subscriber: Subscriber) -> None:
        if subscriber.paused_at is None:
            subscriber.paused_at = self._hub.clock.now()
            self._hub.stalled[subscriber] = None
            self._hub.metrics.outbox_overflows += 1
        if subscriber.session is not None:
            subscriber.session.leave(subscriber)

    def resume(self, subscriber: Subscriber) -> None:
        subscriber.paused_at = None
        self._hub.stalled.pop(subscriber, None)
        self._hub.outboxes.drop(subscriber)
        self.go_on(subscriber)

    # One subscriber.

    def go_on(self, subscriber: Subscriber) -> None:
        """Serve what is missing: at once from the tail, otherwise by a task that reads the log."""
        if subscriber.phase is not SubscriberPhase.BEHIND or subscriber.paused_at is not None or subscriber.is_replaying:
            return
        if self._pace_s(subscriber) > 0 or not self._join(subscriber):
            subscriber.is_replaying = True
            self._hub.tasks.start(self._replay(subscriber), "catch-up")

    def _pace_s(self, subscriber: Subscriber) -> float:
        """How long a reader that lacks something waits for it: it is paced, not refused, because its cursor says where it is."""
        session = subscriber.session
        is_up_to_date = session is None or subscriber.seq >= session.seq
        return 0.0 if is_up_to_date else self._hub.accounts.read_wait_s(subscriber.account)

    def replay_from(self, subscriber: Subscriber, after: After) -> None:
        """Go back to a place that the client names, and serve everything since."""
        session = subscriber.session
        if session is None or subscriber.phase is SubscriberPhase.GONE:
            return
        if subscriber.phase is SubscriberPhase.BEHIND and subscriber.cursor:
            # What was sent before must be judged before it is forgotten: were it of a lost history, a place before it would
            # prove well, and the client would not be told. What follows a cursor of its own is under way already.
            if not isinstance(after, Cursor):
                subscriber.wanted = after
            self.go_on(subscriber)
            return
        session.leave(subscriber)
        self._move(subscriber, session, after)
        self.go_on(subscriber)

    def _move(self, subscriber: Subscriber, session: HubSession, after: After) -> None:
        subscriber.wanted = None
        subscriber.fold = False
        match after:
            case "start":
                subscriber.seq, subscriber.cursor = session.facts.oldest - 1, ""
            case "tail":
                subscriber.stand_at(session.seq, session.cursor)
            case "unknown":
                self._start_over(subscriber, session, Reset("unknown"), session.facts)
            case Cursor():
                subscriber.stand_at(after.seq, str(after))
            case _:
                assert_never(after)

    def _join(self, subscriber: Subscriber) -> bool:
        """Serve the rest from the tail and go live, if the tail proves the subscriber's place; a port that gets full goes on later."""
        session = subscriber.session
        if session is None or session.phase is SessionPhase.LOADING or not is_reached(session, subscriber):
            return False
        if subscriber.wanted is not None:
            self._move(subscriber, session, subscriber.wanted)
            return self._join(subscriber)
        self._hub.metrics.tail_hits += 1
        missed = session.missed(subscriber.seq)
        self._announce(session, subscriber, session.seq - subscriber.seq - len(missed), session.facts)
        if is_large(missed):
            if not self.hand_over(subscriber, missed):
                return True
            missed = ()
        self._hub.accounts.read(subscriber.account, sum(map(len, missed)))
        subscriber.stand_at(session.seq, session.cursor)
        session.enter(subscriber)
        self._end_replay(session, subscriber, missed)
        return True

    def hand_over(self, subscriber: Subscriber, events: Sequence[bytes]) -> bool:
        """Events after the subscriber's place, piece by piece; it stands at the last one that its port took. False: that took no more."""
        assert subscriber.session is not None
        for piece in self._pieces.of(subscriber.session.key, events):
            if subscriber.phase is not SubscriberPhase.BEHIND or subscriber.paused_at is not None:
                return False
            subscriber.stand_at(*position(piece.frames[-1]))
            subscriber.port.deliver(piece)
            self._hub.accounts.read(subscriber.account, piece.size)
            self._hub.metrics.events_delivered += len(piece.frames)
        return subscriber.phase is SubscriberPhase.BEHIND and subscriber.paused_at is None

    def _announce(self, session: HubSession, subscriber: Subscriber, lacking: int, facts: Facts) -> None:
        if lacking:
            subscriber.port.send(announcement(session.cursor, facts.folded, self._hub.clock.wall_ms()))

    def _end_replay(self, session: HubSession, subscriber: Subscriber, missed: Sequence[bytes]) -> None:
        ending = [*missed, sync_done_frame(session, subscriber.replay_ref)]
        subscriber.replay_ref = None
        subscriber.port.deliver(Batch(ending))
        self._hub.metrics.events_delivered += len(missed)
        self.note_recovery(subscriber)
        if session.is_closed:
            subscriber.port.send(frames.encode(frames.ClosedFrame(cursor=session.cursor)))
            subscriber.port.close(1000, "the session is closed")

    def note_recovery(self, subscriber: Subscriber) -> None:
        """It has had its `sync.done`."""
        if subscriber.recovers_since is not None:
            self._hub.metrics.recovery_seconds.observe(self._hub.clock.now() - subscriber.recovers_since)
            subscriber.recovers_since = None

    async def _replay(self, subscriber: Subscriber) -> None:
        try:
            while True:
                if (wait_s := self._pace_s(subscriber)) > 0:
                    await self._hub.clock.sleep(wait_s)
                    continue
                if subscriber.phase is not SubscriberPhase.BEHIND or subscriber.paused_at is not None or self._join(subscriber):
                    return
                if not await self._go_a_page(subscriber):
                    return
        finally:
            subscriber.is_replaying = False

    async def _go_a_page(self, subscriber: Subscriber) -> bool:
        """False: it is over, or the hub will wake the subscriber."""
        try:
            return await self._serve_page(subscriber)
        except AnypodError as error:
            if not error.row.is_retryable:
                self._hub.dismiss(subscriber, error)
                return False
            await self._hub.clock.sleep(RETRY_S)
            return True

    async def _serve_page(self, subscriber: Subscriber) -> bool:
        """False: there is nothing more to do before the hub itself has read the log."""
        session, after, cursor = subscriber.session, subscriber.seq, subscriber.cursor
        assert session is not None
        bytes_max = PAGE_BYTES_MAX if self._hub.outboxes.room >= PAGE_BYTES_MAX else PIECE_BYTES_MAX
        page = await self.reads.read(session.key, after, fold=subscriber.fold, bytes_max=bytes_max)
        if subscriber.phase is not SubscriberPhase.BEHIND or subscriber.seq != after:
            return True  # it left, or was sent elsewhere while we read
        if isinstance(page, Missing):
            self._hub.resync(session)
            return False
        authorise(subscriber.principal, session.key.session, "read", owner=page.snapshot.owner)  # it may be another's by now
        verdict = judge_place(cursor, after, page.snapshot.facts)
        if verdict is not None:
            await self.reset(subscriber, verdict, page)
            return True
        if subscriber.wanted is not None:
            self._move(subscriber, session, subscriber.wanted)
            return True
        self._announce(session, subscriber, page.through - after - len(page.frames), page.snapshot.facts)
        if self.hand_over(subscriber, page.frames):
            subscriber.stand_at(max(after, page.through), end_of(page))
            if not page.has_more and not is_reached(session, subscriber):
                self._hub.resync(session)  # the log has what the feed has not brought: it is late or broken
                return False
        return True

    async def reset(self, subscriber: Subscriber, verdict: Reset, page: Page) -> None:
        """Tell the client what its history is worth, and go on from the last place it shares with the log, or from the oldest."""
        session = subscriber.session
        assert session is not None
        facts = page.snapshot.facts
        common = ""
        if verdict.common is not None:
            shared = await self.reads.read(session.key, verdict.common, limit=1)
            if isinstance(shared, Page):
                facts = shared.snapshot.facts
                common = common_cursor(facts, verdict.common)
        if common:
            assert verdict.common is not None
            self._tell_reset(subscriber, session, verdict, facts, common)
            subscriber.stand_at(verdict.common, common)
        else:
            self._start_over(subscriber, session, verdict, facts)

    def _start_over(self, subscriber: Subscriber, session: HubSession, verdict: Reset, facts: Facts) -> None:
        self._tell_reset(subscriber, session, verdict, facts, "")
        subscriber.fold = True
        subscriber.seq, subscriber.cursor = facts.oldest - 1, ""

    def _tell_reset(self, subscriber: Subscriber, session: HubSession, verdict: Reset, facts: Facts, common: str) -> None:
        assert session.snapshot is not None
        subscriber.port.send(reset_frame(self._hub, verdict.reason, session.snapshot, facts, common))


def is_reached(session: HubSession, subscriber: Subscriber) -> bool:
    """Does the tail begin at or before the subscriber's place, and prove it?"""
    tail = session.tail
    if not tail.floor <= subscriber.seq <= session.seq:
        return False
    if not subscriber.cursor:
        return not subscriber.fold or subscriber.seq == session.seq
    if subscriber.seq == session.seq:
        return subscriber.cursor == session.cursor
    return tail.proves(subscriber.seq, subscriber.cursor)


def end_of(page: Page) -> str:
    """The cursor where a page ends; "" when it ends among folded deltas or is empty."""
    if not page.has_more:
        return str(page.snapshot.facts.head)
    return position(page.frames[-1]).cursor if page.frames else ""


RETRY_S_MIN: Final = 0.1  # between reads of the log while the store is away
RETRY_S_MAX: Final = 2.0
RESYNC_EVENTS_MAX: Final = 512  # a page of a resync: what a feed loses while it reconnects
HEADS_MAX: Final = 200  # sessions asked about in one call


class Resync:
    """Brings sessions back to where their logs stand; repeats a read while the store is away."""

    def __init__(self, hub: Hub, *, wake: Callable[[Subscriber], None]) -> None:
        self._hub = hub
        self._wake_subscriber = wake

    def ask(self, session: HubSession) -> None:
        session.resync_again = True
        if session.phase is SessionPhase.CURRENT:
            session.move(SessionPhase.RESYNCING)
            self._hub.tasks.start(self._resync(session), "resync")

    async def _resync(self, session: HubSession) -> None:
        pause_s = RETRY_S_MIN
        try:
            while session.resync_again and self._hub.sessions.get(session.key) is session:
                if await self._read_page(session):
                    pause_s = RETRY_S_MIN
                else:
                    await self._hub.clock.sleep(pause_s)
                    pause_s = min(2 * pause_s, RETRY_S_MAX)
        finally:
            if session.phase is SessionPhase.RESYNCING:
                session.move(SessionPhase.CURRENT)
            self._wake(session)

    async def _read_page(self, session: HubSession) -> bool:
        """False: the store is away."""
        session.resync_again = False
        try:
            is_at_head = await self._read_missed(session)
        except AnypodError as error:
            if not error.row.is_retryable:
                raise
            session.resync_again = True
            return False
        session.resync_again = session.resync_again or not is_at_head
        return True

    async def _read_missed(self, session: HubSession) -> bool:
        """One page; True when the session stands at the head that the page saw."""
        after, cursor = session.seq, session.cursor
        page = await self._hub.store.read(session.key, after, limit=RESYNC_EVENTS_MAX, bytes_max=TAIL_BYTES_MAX)
        if isinstance(page, Missing):
            self._hub.vanished(session, page)
            return True
        if judge_place(cursor, after, page.snapshot.facts) is not None or not session.cover(page):
            await self._start_over(session)
            return True
        self._hub.flush(session)
        if page.snapshot.is_closed and not page.has_more:
            self._hub.closed(session)
        return not page.has_more

    async def _start_over(self, session: HubSession) -> None:
        """The log is another one than the session stood in: every subscriber is behind, and judged by its own cursor."""
        for subscriber in tuple(session.live):
            session.leave(subscriber)
        page = await self._hub.store.read(session.key, None, limit=0)
        if isinstance(page, Missing):
            self._hub.vanished(session, page)
            return
        self._send_away(session, page)
        self._hub.settle(session, page, page.snapshot.facts.head.seq)
        session.resync_again = True  # what the feed brought between this read and here was not taken

    def _send_away(self, session: HubSession, page: Page) -> None:
        """The log may belong to another owner by now: subscribers that it is out of reach for are sent nothing of it."""
        for subscriber in session.members:
            if not is_authorised(subscriber.principal, session.key.session, "read", owner=page.snapshot.owner):
                self._hub.dismiss(subscriber, AnypodError("no_such_session"))

    def _wake(self, session: HubSession) -> None:
        for subscriber in session.members:
            if subscriber.phase is SubscriberPhase.BEHIND:
                self._wake_subscriber(subscriber)

    async def check_heads(self, sessions: Iterable[HubSession]) -> None:
        """A quiet feed is no proof of a quiet log: ask the log."""
        asked = list(sessions)
        for start in range(0, len(asked), HEADS_MAX):
            chunk = asked[start : start + HEADS_MAX]
            stood = [session.seq for session in chunk]
            heads = await self._hub.store.heads([session.key for session in chunk])
            claims = [(session, head.claim) for session in chunk if session.devices and (head := heads.get(session.key)) is not None]
            claimed = [(session, claim) for session, claim in claims if claim != session.claims_checked]
            for session, seq in zip(chunk, stood, strict=True):
                if session.phase is not SessionPhase.LOADING and session.key in heads and _is_elsewhere(session, seq, heads[session.key]):
                    self.ask(session)
            if claimed:
                await self._hub.devices.check(claimed)


def _is_elsewhere(session: HubSession, seq: int, head: LogHead | None) -> bool:
    if head is None or session.snapshot is None:
        return True
    if head.version > session.snapshot.version:
        return True
    return head.cursor != session.cursor and session.seq == seq  # it has not moved since, and still differs
