"""Bring one subscriber from where it stands to where its session stands.

Owns the way from *behind* to *live*: from the tail when it reaches back that far, otherwise page by page from the log, each
page judged against the subscriber's own cursor. A replay is handed over in pieces, for as long as the port takes them: what it does
not take is dropped, and read again from the last event that it took. Must not know transports, nor what opens an attachment.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, assert_never

from anypod.auth import authorise
from anypod.core import frames
from anypod.core.cursor import After, Cursor, Facts, Reset, judge_place
from anypod.core.errors import AnypodError
from anypod.core.event import position
from anypod.hub.attach_frames import reset_frame, sync_done_frame
from anypod.hub.delivery import PIECE_BYTES_MAX, Batch, Pieces, announcement, is_large
from anypod.hub.replay import Replays
from anypod.hub.session import HubSession, common_cursor
from anypod.hub.subscriber import Subscriber, SubscriberPhase
from anypod.store import PAGE_BYTES_MAX, Missing, Page

if TYPE_CHECKING:
    from anypod.hub.hub import Hub

RETRY_S = 0.5  # between reads while the store is away; the subscriber stays attached


class Recovery:
    def __init__(self, hub: "Hub") -> None:
        self._hub = hub
        self.replays = Replays(hub.store, hub.metrics)
        self._pieces = Pieces()

    async def close(self) -> None:
        await self.replays.close()

    def hold(self, subscriber: Subscriber, size: int, size_max: int) -> bool:
        """The port holds `size` bytes that its transport has not taken. False: it is fed no more until that has taken them.

        It may hold `size_max`, and what is left of the budget of all. Where the budget is spent all the same, whoever holds most is cut:
        what a transport was handed cannot be taken back, and its client resumes from its cursor.
        """
        outboxes = self._hub.outboxes
        if subscriber.phase is SubscriberPhase.GONE:
            return True
        outboxes.note(subscriber, size)
        has_room = size <= min(size_max, outboxes.room)
        if not has_room:
            self.fall_behind(subscriber)
        while (largest := outboxes.overdrawn_by()) is not None:
            self._hub.cut(largest)
        return has_room

    def drained(self, subscriber: Subscriber, size: int) -> None:
        """The port holds less than before, and more than a little."""
        if subscriber.phase is not SubscriberPhase.GONE:
            self._hub.outboxes.note(subscriber, size)

    def fall_behind(self, subscriber: Subscriber) -> None:
        """The port takes no more for now."""
        if subscriber.paused_at is None:
            subscriber.paused_at = self._hub.clock.now()
            self._hub.stalled[subscriber] = None
            self._hub.metrics.outbox_overflows += 1
        if subscriber.session is not None:
            subscriber.session.leave(subscriber)

    def writable(self, subscriber: Subscriber) -> None:
        """The port takes more again."""
        subscriber.paused_at = None
        self._hub.stalled.pop(subscriber, None)
        self._hub.outboxes.drop(subscriber)
        self.go_on(subscriber)

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
            # prove well, and nobody would tell the client. What follows a cursor of its own is under way already.
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
        if session is None or not session.is_ready or not is_reached(session, subscriber):
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
        page = await self.replays.read(session.key, after, fold=subscriber.fold, bytes_max=bytes_max)
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
            shared = await self.replays.read(session.key, verdict.common, limit=1)
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
        self._hub.metrics.resets[verdict.reason] += 1
        subscriber.port.send(reset_frame(session, verdict.reason, facts, common, self._hub.clock.wall_ms()))


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
