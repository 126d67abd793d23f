"""How a transport comes to a session: who may, from where, and what it is told first.

Owns the opening of an attachment: access, creation of a missing session, the judgement of the client's cursor, and the frames
before the first event. Must not know which transport asks; after the opening `catch_up` goes on.
"""

from collections.abc import Callable
from random import Random
from typing import Literal

from anypod.auth import Principal, authorise
from anypod.core.cursor import Cursor, Reset, parse_after
from anypod.core.errors import AnypodError
from anypod.core.identity import is_name
from anypod.core.timing import CONNECTION_AGE_JITTER_PERCENT
from anypod.hub.admission import AdmissionControl
from anypod.hub.attach_frames import AttachReply, opening_frame, reset_frame, sync_done_frame
from anypod.hub.attach_request import NO_EVENTS, AttachRequest, after_of, folds, reset_for_missing
from anypod.hub.creations import SessionFactory
from anypod.hub.delivery import Batch, Batches, is_large
from anypod.hub.first_page import first_page
from anypod.hub.heartbeat_schedule import TURNS_PER_S, HeartbeatSchedule
from anypod.hub.hub import Hub
from anypod.hub.presence import PresenceTracker
from anypod.hub.recovery import end_of
from anypod.hub.session import HubSession
from anypod.hub.subscriber import Subscriber, SubscriberPhase, SubscriberPort
from anypod.store import Missing, Page, Snapshot
from anypod.telemetry import Arrival

AGE_JITTER = CONNECTION_AGE_JITTER_PERCENT / 100
ID_BYTES = 12  # of entropy: no two replicas make the same id, and nobody finds the next one by trying
HISTORY_MAX = 1_000  # durable events that an attaching client may ask for


class Attachments:
    def __init__(self, hub: Hub, presence: PresenceTracker, rng: Random) -> None:
        self._hub = hub
        self._presence = presence
        self._rng = rng
        self._batches = Batches()
        self.creations = SessionFactory(hub, rng)
        self.waiting = AdmissionControl(hub.options.arrivals, hub.clock, rng, metrics=hub.metrics, tasks=hub.tasks)
        self.everybody = HeartbeatSchedule(max(1, round(hub.options.heartbeat_ms / 1000 * TURNS_PER_S)))
        self.opening: dict[Subscriber, float] = {}  # since when (clock seconds), oldest first: the wheel ends those who never open
        hub.metrics.watch("connections", lambda: len(self.everybody))

    def welcome(self, principal: Principal) -> None:
        """May one more connection of this principal's come in? Asked before anything is made for it. Raises AnypodError `overloaded`."""
        account = self._hub.accounts.of(principal)
        self._hub.accounts.check_room(account)
        self.waiting.check(account)

    def subscriber(self, port: SubscriberPort, principal: Principal) -> Subscriber:
        account = self._hub.accounts.of(principal)
        made = Subscriber(port, principal, self.new_id(), self._hub.clock.now(), account)
        self._hub.accounts.enter(account)
        if (age_s := self._hub.options.max_connection_age_s) > 0:
            made.ends_at = made.heard_at + age_s * (1 + self._rng.uniform(-AGE_JITTER, AGE_JITTER))
        self.everybody.add(made)
        self.opening[made] = made.heard_at
        return made

    def new_id(self) -> str:
        """Not to be foreseen: who took the id of an event before the replica uses it would keep that event out of the log."""
        return self._rng.randbytes(ID_BYTES).hex()

    def detach(self, subscriber: Subscriber) -> None:
        """The transport is gone."""
        if subscriber in self.everybody:
            self._hub.accounts.leave(subscriber.account)
        self.everybody.discard(subscriber)
        self.opening.pop(subscriber, None)
        self._presence.leave(subscriber)
        self._hub.detach(subscriber)

    def attach(self, subscriber: Subscriber, ask: AttachRequest, opened: Callable[[], None]) -> None:
        """Open when there is a permit, for who was welcome: at once where the tail serves it, otherwise in a task.

        `opened` is called when the client may do more than wait.
        """
        try:
            self._arrive(subscriber, ask)
            wait_s = self.waiting.wait_s(arrival := _arrival(ask))
        except AnypodError as error:
            self._hub.dismiss(subscriber, error)
        else:
            if wait_s > 0:
                self.waiting.later(arrival, wait_s, lambda: self._attach(subscriber, ask, opened))
            else:
                self._attach(subscriber, ask, opened)

    def _attach(self, subscriber: Subscriber, ask: AttachRequest, opened: Callable[[], None]) -> None:
        if subscriber.phase is SubscriberPhase.GONE:
            return  # it did not wait
        try:
            is_open = self._open_from_tail(subscriber, ask)
        except AnypodError as error:
            self._hub.dismiss(subscriber, error)
            return
        if is_open:
            opened()
        else:
            self._hub.tasks.start(self._open_or_close(subscriber, ask, opened), "attach")

    async def _open_or_close(self, subscriber: Subscriber, ask: AttachRequest, opened: Callable[[], None]) -> None:
        try:
            await self._open(subscriber, ask)
        except AnypodError as error:
            self._hub.dismiss(subscriber, error)
        else:
            opened()

    async def open(self, subscriber: Subscriber, ask: AttachRequest) -> None:
        """As `attach`, returning when the first frames have been handed to the port. Raises AnypodError."""
        self._arrive(subscriber, ask)
        await self.waiting.enter(_arrival(ask))
        await self._open(subscriber, ask)

    async def go_on(self, subscriber: Subscriber, ask: AttachRequest) -> None:
        """As `open`, for who was here a moment ago: the next of a row of polls is no arrival."""
        self._check(subscriber.principal, ask)
        await self._open(subscriber, ask)

    async def _open(self, subscriber: Subscriber, ask: AttachRequest) -> None:
        if (wait_s := self._hub.accounts.read_wait_s(subscriber.account)) > 0:
            await self._hub.clock.sleep(wait_s)
        if NO_EVENTS in ask.features:
            await self._open_deaf(subscriber, ask)
            return
        after = after_of(ask)
        place = after.seq if isinstance(after, Cursor) else 0 if after == "start" else None
        session = await self._hub.load(ask.key, place)
        if isinstance(session, Missing) and (ask.resume or ask.after is not None):
            await self._hub.store.confirm()
            session = await self._hub.load(ask.key, place)
        lost: Reset | None = None
        was_created = isinstance(session, Missing)
        if isinstance(session, Missing):
            lost = reset_for_missing(ask, session, subscriber.principal.subject)
            await self.creations.create_missing(subscriber, ask, lost)
            session = await self._hub.load(ask.key, 0)
            if isinstance(session, Missing):
                raise AnypodError("unavailable", retry_after_ms=100)
        session.pins += 1
        try:
            self._admit(subscriber, ask, session.snapshot)
            if was_created:
                await self._open_created(subscriber, ask, session, lost)
            elif not self._open_from_tail(subscriber, ask):
                await self._open_from_log(subscriber, ask, session)
        finally:
            session.pins -= 1

    def _arrive(self, subscriber: Subscriber, ask: AttachRequest) -> None:
        self._check(subscriber.principal, ask)
        if ask.after is not None:
            subscriber.recovers_since = self._hub.clock.now()

    def _check(self, principal: Principal, ask: AttachRequest) -> None:
        authorise(principal, ask.key.session, "read")
        if ask.device is not None and not is_name(ask.device):
            raise AnypodError("malformed", "device must be 1 to 64 of A-Z a-z 0-9 _ . : -")
        if ask.history is not None and not 0 <= ask.history <= HISTORY_MAX:
            raise AnypodError("malformed", f"history must be 0 to {HISTORY_MAX}")

    def _admit(self, subscriber: Subscriber, ask: AttachRequest, snapshot: Snapshot | None) -> None:
        """By its owner; by its name it was admitted when it arrived. A page may tell of another owner than the replica knows.

        Raises AnypodError. Who comes back is told of a foreign session what it would be told of a missing one.
        """
        assert snapshot is not None
        if subscriber.principal.owner_required is None:
            return  # its name has decided
        try:
            authorise(subscriber.principal, ask.key.session, "read", owner=snapshot.owner)
        except AnypodError:
            self.creations.tell_lost(subscriber, reset_for_missing(ask, Missing(), subscriber.principal.subject))
            raise

    # Opening.

    def _open_from_tail(self, subscriber: Subscriber, ask: AttachRequest) -> bool:
        """One write holds it all, unless that is much: the opening frame, what was missed, and the end of the replay."""
        session = self._hub.sessions.get(ask.key)
        if session is None or not session.is_ready or session.is_closed:
            return False
        if ask.after is None or ask.history is not None or NO_EVENTS in ask.features:
            return False
        if self._hub.accounts.read_wait_s(subscriber.account) > 0:
            return False
        after = parse_after(ask.after)
        if after == "tail":
            seq, cursor = session.seq, session.cursor
        elif isinstance(after, Cursor) and (ask.after == session.cursor or session.tail.proves(after.seq, ask.after)):
            seq, cursor = after.seq, ask.after
        else:
            return False
        self._admit(subscriber, ask, session.snapshot)
        self._seat(subscriber, session, ask)
        self._hub.tails.note(session.tail)
        self._hub.metrics.attaches["restored"] += 1
        batch = self._batch_from_tail(session, seq, cursor, ask)
        if batch is None:
            subscriber.stand_at(seq, cursor)
            opening = AttachReply(len(session.missed(seq)), seq, resumed_at=cursor, ref=ask.ref)
            subscriber.port.deliver(Batch([self._opening(session, opening)]))
            self._hub.catch_up.go_on(subscriber)
        else:
            self._hub.metrics.tail_hits += 1
            self._hub.accounts.read(subscriber.account, batch.size)
            subscriber.stand_at(session.seq, session.cursor)
            session.enter(subscriber)
            subscriber.port.deliver(batch)
            self._hub.catch_up.note_recovery(subscriber)
        self._after_opening(subscriber, ask)
        return True

    def _batch_from_tail(self, session: HubSession, seq: int, cursor: str, ask: AttachRequest) -> Batch | None:
        """Made once for all who resume from the same place, unless it repeats a `ref` or tells what changes with time.

        None: it would be too large to be handed over at once.
        """
        assert session.snapshot is not None
        is_common = ask.ref is None and session.live_state(self._hub.clock.wall_ms()) == b"{}"
        made_of = (session.key, cursor, session.cursor, session.snapshot.version, session.facts.folded)
        if is_common and (kept := self._batches.get(made_of)) is not None:
            return kept
        missed = session.missed(seq)
        if is_large(missed):
            return None
        opening = self._opening(session, AttachReply(len(missed), seq, resumed_at=cursor, ref=ask.ref))
        batch = Batch([opening, *missed, sync_done_frame(session)])
        return self._batches.keep(made_of, batch) if is_common else batch

    async def _open_created(self, subscriber: Subscriber, ask: AttachRequest, session: HubSession, lost: Reset | None) -> None:
        """A client that comes back to nothing is told so before it is told of the new session."""
        page, seq, _ = await first_page(self._hub, ask, "tail" if ask.after == "tail" else "start")
        if subscriber.phase is SubscriberPhase.GONE:
            return
        self._admit(subscriber, ask, page.snapshot)
        self._seat(subscriber, session, ask)
        if lost is not None:
            self._hub.metrics.resets[lost.reason] += 1
            subscriber.port.send(reset_frame(session, lost.reason, page.snapshot.facts, "", self._hub.clock.wall_ms()))
        self._begin(subscriber, ask, page, seq, kind="created", cursor="")

    async def _open_from_log(self, subscriber: Subscriber, ask: AttachRequest, session: HubSession) -> None:
        after = after_of(ask)
        page, seq, verdict = await first_page(self._hub, ask, after)
        if subscriber.phase is SubscriberPhase.GONE:
            return
        self._admit(subscriber, ask, page.snapshot)
        self._seat(subscriber, session, ask)
        if isinstance(verdict, Reset):
            subscriber.is_replaying = True  # until it stands somewhere, a resync that ends must not serve it
            try:
                await self._hub.catch_up.reset(subscriber, verdict, page)
            finally:
                subscriber.is_replaying = False
            missed = max(0, page.snapshot.facts.head.seq - subscriber.seq)
            self._hub.metrics.attaches["reset"] += 1
            subscriber.port.send(self._opening(session, AttachReply(missed, subscriber.seq, ref=ask.ref)))
            self._hub.catch_up.go_on(subscriber)
            self._after_opening(subscriber, ask)
        else:
            self._begin(subscriber, ask, page, seq, kind="restored", cursor=str(after) if isinstance(after, Cursor) else "")

    async def _open_deaf(self, subscriber: Subscriber, ask: AttachRequest) -> None:
        """Who wants no events needs no feed: the session is looked at once, and kept by nobody but this subscriber."""
        page = await self._hub.store.read(ask.key, None, limit=0)
        was_created = isinstance(page, Missing)
        if isinstance(page, Missing):
            await self.creations.create_missing(subscriber, ask, None)
            page = await self._hub.store.read(ask.key, None, limit=0)
            if isinstance(page, Missing):
                raise AnypodError("unavailable", retry_after_ms=100)
        session = HubSession(ask.key)
        session.settle(page, page.snapshot.facts.head.seq)
        self._admit(subscriber, ask, page.snapshot)
        self._seat(subscriber, session, ask._replace(device=None))
        subscriber.stand_at(session.seq, session.cursor)
        session.enter(subscriber)
        self._hub.metrics.attaches["created" if was_created else "restored"] += 1
        opening = self._opening(session, AttachReply(0, session.seq, ref=ask.ref, was_created=was_created))
        subscriber.port.deliver(Batch([opening, sync_done_frame(session)]))

    def _begin(
        self, subscriber: Subscriber, ask: AttachRequest, page: Page, seq: int, *, kind: Literal["created", "restored"], cursor: str
    ) -> None:
        """The opening frame and the first page, in one delivery if it is a small one; whatever is missing then, the catch-up serves.

        `cursor`: the client's at `seq`, which the page proves; "" where it has none.
        """
        session = subscriber.session
        assert session is not None
        session.learn(page.snapshot)
        facts = page.snapshot.facts
        missed = facts.head.seq - seq if page.has_more else len(page.frames)
        self._hub.metrics.attaches[kind] += 1
        self._hub.metrics.tail_misses += 1
        subscriber.fold = folds(ask)
        opening = AttachReply(
            missed, seq, resumed_at=ask.after, ref=ask.ref, was_created=kind == "created", head=str(facts.head), folded=facts.folded
        )
        if is_large(page.frames):
            subscriber.stand_at(seq, cursor)
            subscriber.port.deliver(Batch([self._opening(session, opening)]))
            if self._hub.catch_up.hand_over(subscriber, page.frames):
                subscriber.stand_at(max(seq, page.through), end_of(page))
        else:
            self._hub.accounts.read(subscriber.account, sum(map(len, page.frames)))
            subscriber.stand_at(max(seq, page.through), end_of(page))
            subscriber.port.deliver(Batch([self._opening(session, opening), *page.frames]))
            self._hub.metrics.events_delivered += len(page.frames)
        self._hub.catch_up.go_on(subscriber)
        self._after_opening(subscriber, ask)

    def _opening(self, session: HubSession, opening: AttachReply) -> bytes:
        return opening_frame(session, opening, self._hub.options, self._hub.clock.wall_ms())

    def _seat(self, subscriber: Subscriber, session: HubSession, ask: AttachRequest) -> None:
        self.opening.pop(subscriber, None)
        if ask.features:
            subscriber.features = frozenset(ask.features)
        session.seat(subscriber)
        if ask.device is not None:
            self._hub.devices.take(session, subscriber, ask.device)

    def _after_opening(self, subscriber: Subscriber, ask: AttachRequest) -> None:
        if "presence" in subscriber.features:
            self._presence.join(subscriber)


def _arrival(ask: AttachRequest) -> Arrival:
    return "fresh" if ask.after is None and not ask.resume else "resume"
