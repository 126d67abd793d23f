"""Attaching: authorise, admit, load, judge, open. The whole algorithm, for every transport.

Owns the opening of an attachment: access, admission, creation of a missing session, the judgement of the client's cursor, and the frames
before the first event. Must not know which transport asks; after the opening `recovery` goes on.

1. `check_room`, before anything is made for the client: caps on connections, and the rate of its subject and tenant.
2. `attach`: authorised by name, let in by `admission`, at once or in a moment.
3. Where the session is loaded and its tail proves the cursor, one write opens the attachment and brings what was missed.
4. Otherwise the session is loaded or created, a page is read from where the client asks, and its cursor is judged by that page.
5. The owner, which only the log knows, is compared before anything of the session is sent.
"""

from collections.abc import Awaitable, Callable, Iterator
from random import Random
from typing import Final, Literal

from anypod.auth import Principal, authorise, is_authorised
from anypod.core.cursor import After, Cursor, Reset, Resume, judge, parse_after
from anypod.core.errors import AnypodError
from anypod.core.event import position
from anypod.core.identity import SessionKey, is_name
from anypod.core.timing import CONNECTION_AGE_JITTER_PERCENT
from anypod.hub.admission import AdmissionControl
from anypod.hub.attach_frames import AttachReply, attach_reply_frame, reset_frame, reset_frame_without_log, sync_done_frame
from anypod.hub.attach_request import NO_EVENTS, NO_STATE, AttachRequest, InitialState, after_of, folds, reset_for_missing
from anypod.hub.delivery import Batch, Batches, is_large
from anypod.hub.heartbeat_schedule import TURNS_PER_S, HeartbeatSchedule
from anypod.hub.hub import Hub
from anypod.hub.port import SubscriberPort
from anypod.hub.presence import PresenceTracker
from anypod.hub.recovery import Recovery, end_of
from anypod.hub.session import HubSession, SessionPhase, Subscriber, SubscriberPhase
from anypod.store import Creation, Missing, Page, Snapshot, Store
from anypod.telemetry import Arrival

AGE_JITTER: Final = CONNECTION_AGE_JITTER_PERCENT / 100
ID_BYTES: Final = 12  # of entropy: no two replicas make the same id, and no client finds the next one by trying
IDS_DRAWN: Final = 128  # at once
HISTORY_MAX: Final = 1_000  # durable events that an attaching client may ask for
EPOCH_CHARS: Final = 10  # 51 random bits: two lives of one session id never share an epoch
_EPOCH_ALPHABET: Final = "abcdefghijklmnopqrstuvwxyz0123456789"


class Attachments:
    """`schedule`: every subscriber of the replica, by the slot of its heartbeat. `opening`: those that have not opened, and since when
    (clock seconds), oldest first: `housekeeping` ends what never opens."""

    def __init__(self, hub: Hub, recovery: Recovery, presence: PresenceTracker, rng: Random) -> None:
        self._hub = hub
        self._recovery = recovery
        self._presence = presence
        self._rng = rng
        self._ids = ids(rng)
        self._batches = Batches()
        self.factory = SessionFactory(hub, rng)
        self.admission = AdmissionControl(hub.options.arrivals, hub.clock, rng, metrics=hub.metrics, tasks=hub.tasks)
        self.schedule = HeartbeatSchedule(max(1, round(hub.options.heartbeat_ms / 1000 * TURNS_PER_S)))
        self.opening: dict[Subscriber, float] = {}
        hub.metrics.watch("connections", lambda: len(self.schedule))

    # Connections.

    def check_room(self, principal: Principal) -> None:
        """Whether one more connection of this principal may attach, before anything is made for it. Raises AnypodError `overloaded`."""
        account = self._hub.accounts.of(principal)
        self._hub.accounts.check_room(account)
        self.admission.check(account)

    def subscriber(self, port: SubscriberPort, principal: Principal) -> Subscriber:
        account = self._hub.accounts.of(principal)
        made = Subscriber(port, principal, self.new_id(), self._hub.clock.now(), account=account, flow=self._recovery)
        self._hub.accounts.enter(account)
        if (age_s := self._hub.options.max_connection_age_s) > 0:
            made.ends_at = made.heard_at + age_s * (1 + self._rng.uniform(-AGE_JITTER, AGE_JITTER))
        self.schedule.add(made)
        self.opening[made] = made.heard_at
        return made

    def new_id(self) -> str:
        """Unpredictable: a client that took the id of an event before the replica uses it would keep that event out of the log."""
        return next(self._ids)

    def detach(self, subscriber: Subscriber) -> None:
        """The transport is gone."""
        if subscriber in self.schedule:
            self._hub.accounts.leave(subscriber.account)
        self.schedule.discard(subscriber)
        self.opening.pop(subscriber, None)
        self._presence.leave(subscriber)
        self._hub.detach(subscriber)

    # Authorise and admit.

    def attach(self, subscriber: Subscriber, request: AttachRequest, opened: Callable[[], None]) -> None:
        """Open once there is a permit: at once where the tail serves it, otherwise in a task.

        `opened` is called when the client may do more than wait. A refusal goes to the port.
        """
        try:
            self._arrive(subscriber, request)
            wait_s = self.admission.wait_s(arrival := _arrival(request))
        except AnypodError as error:
            self._hub.dismiss(subscriber, error)
        else:
            if wait_s > 0:
                self.admission.later(arrival, wait_s, lambda: self._attach(subscriber, request, opened))
            else:
                self._attach(subscriber, request, opened)

    def _attach(self, subscriber: Subscriber, request: AttachRequest, opened: Callable[[], None]) -> None:
        if subscriber.phase is SubscriberPhase.GONE:
            return  # it did not wait
        try:
            is_open = self._open_from_tail(subscriber, request)
        except AnypodError as error:
            self._hub.dismiss(subscriber, error)
            return
        if is_open:
            opened()
        else:
            self._hub.tasks.start(self._open_or_close(subscriber, request, opened), "attach")

    async def _open_or_close(self, subscriber: Subscriber, request: AttachRequest, opened: Callable[[], None]) -> None:
        try:
            await self._open(subscriber, request)
        except AnypodError as error:
            self._hub.dismiss(subscriber, error)
        else:
            opened()

    async def open(self, subscriber: Subscriber, request: AttachRequest) -> None:
        """As `attach`, returning when the first frames have been handed to the port. Raises AnypodError."""
        self._arrive(subscriber, request)
        await self.admission.enter(_arrival(request))
        await self._open(subscriber, request)

    async def open_again(self, subscriber: Subscriber, request: AttachRequest) -> None:
        """As `open`, for the next of a row of polls, which is no arrival. Raises AnypodError."""
        self._check(subscriber.principal, request)
        await self._open(subscriber, request)

    def _arrive(self, subscriber: Subscriber, request: AttachRequest) -> None:
        self._check(subscriber.principal, request)
        if request.after is not None:
            subscriber.recovers_since = self._hub.clock.now()

    def _check(self, principal: Principal, request: AttachRequest) -> None:
        authorise(principal, request.key.session, "read")
        if request.device is not None and not is_name(request.device):
            raise AnypodError("malformed", "device must be 1 to 64 of A-Z a-z 0-9 _ . : -")
        if request.history is not None and not 0 <= request.history <= HISTORY_MAX:
            raise AnypodError("malformed", f"history must be 0 to {HISTORY_MAX}")

    def _check_owner(self, subscriber: Subscriber, request: AttachRequest, snapshot: Snapshot | None) -> None:
        """The name was authorised on arrival. A page may name another owner than the replica knows.

        Raises AnypodError. A returning client is told of another subject's session what it would be told of a missing one.
        """
        assert snapshot is not None
        if subscriber.principal.owner_required is None:
            return  # the name has decided
        try:
            authorise(subscriber.principal, request.key.session, "read", owner=snapshot.owner)
        except AnypodError:
            self._send_reset_without_log(subscriber, reset_for_missing(request, Missing(), subscriber.principal.subject))
            raise

    # Load.

    async def _open(self, subscriber: Subscriber, request: AttachRequest) -> None:
        if (wait_s := self._hub.accounts.read_wait_s(subscriber.account)) > 0:
            await self._hub.clock.sleep(wait_s)
        if NO_EVENTS in request.features:
            await self._open_publish_only(subscriber, request)
            return
        after = after_of(request)
        seq = after.seq if isinstance(after, Cursor) else 0 if after == "start" else None
        session = await self._hub.load(request.key, seq)
        if isinstance(session, Missing) and (request.resume or request.after is not None):
            await self._hub.store.verify_primary()
            session = await self._hub.load(request.key, seq)
        lost: Reset | None = None
        was_created = isinstance(session, Missing)
        if isinstance(session, Missing):
            lost = reset_for_missing(request, session, subscriber.principal.subject)
            await self._create_missing(subscriber, request, lost)
            session = await self._hub.load(request.key, 0)
            if isinstance(session, Missing):
                raise _just_ended()
        if subscriber.phase is SubscriberPhase.GONE:
            return  # its transport was lost meanwhile: seated now, it would be a ghost that no transport ever detaches
        session.pins += 1
        try:
            self._check_owner(subscriber, request, session.snapshot)
            if was_created:
                await self._open_created(subscriber, request, session, lost)
            elif not self._open_from_tail(subscriber, request):
                await self._open_from_log(subscriber, request, session)
        finally:
            session.pins -= 1

    async def _create_missing(self, subscriber: Subscriber, request: AttachRequest, lost: Reset | None) -> None:
        """Raises AnypodError, `no_such_session` for a principal that may not create it."""
        principal = subscriber.principal
        if not (request.may_create and is_authorised(principal, request.key.session, "publish")):
            self._send_reset_without_log(subscriber, lost)
            raise AnypodError("no_such_session")
        await self.factory.create_if_missing(principal, request.key, InitialState(class_name=request.class_name))

    def _send_reset_without_log(self, subscriber: Subscriber, lost: Reset | None) -> None:
        if lost is not None:
            subscriber.port.send(reset_frame_without_log(self._hub, lost.reason))

    # Judge.

    async def _first_page(self, request: AttachRequest, after: After) -> tuple[Page, int, Resume | Reset]:
        """The page from where the client asks, the seq after which it begins, and the verdict on its cursor. Raises AnypodError."""
        seq = after.seq if isinstance(after, Cursor) else 0 if after == "start" else None
        if after == "start" and request.history is not None:
            seq = await _seq_before_latest(self._hub.store, request.key, request.history)

        async def read() -> Page:
            page = await self._recovery.reads.read(request.key, seq, fold=folds(request))
            if isinstance(page, Missing):
                raise _just_ended()
            return page

        page, verdict = await verified_read(self._hub.store, after, read)
        facts = page.snapshot.facts
        if seq is None:
            return page, facts.head.seq, verdict
        return page, max(seq, facts.oldest - 1) if after == "start" else seq, verdict

    # Open.

    def _open_from_tail(self, subscriber: Subscriber, request: AttachRequest) -> bool:
        """One write holds it all, unless that is much: the reply, what was missed, and the end of the replay. False: the tail cannot."""
        session = self._hub.sessions.get(request.key)
        if session is None or session.phase is SessionPhase.LOADING or session.is_closed:
            return False
        if request.after is None or request.history is not None or NO_EVENTS in request.features:
            return False
        if self._hub.accounts.read_wait_s(subscriber.account) > 0:
            return False
        after = parse_after(request.after)
        if after == "tail":
            seq, cursor = session.seq, session.cursor
        elif isinstance(after, Cursor) and (request.after == session.cursor or session.tail.proves(after.seq, request.after)):
            seq, cursor = after.seq, request.after
        else:
            return False
        self._check_owner(subscriber, request, session.snapshot)
        self._seat(subscriber, session, request)
        self._hub.tails.note(session.tail)
        self._hub.metrics.attaches["restored"] += 1
        batch = self._batch_from_tail(session, seq, cursor, request)
        if batch is None:
            subscriber.stand_at(seq, cursor)
            self._send_reply(subscriber, session, AttachReply(len(session.missed(seq)), seq, resumed_at=cursor, ref=request.ref))
            self._recovery.go_on(subscriber)
        else:
            self._hub.metrics.tail_hits += 1
            self._hub.accounts.read(subscriber.account, batch.size)
            subscriber.stand_at(session.seq, session.cursor)
            session.enter(subscriber)
            subscriber.port.deliver(batch)
            self._recovery.note_recovery(subscriber)
        self._after_opening(subscriber, request)
        return True

    def _batch_from_tail(self, session: HubSession, seq: int, cursor: str, request: AttachRequest) -> Batch | None:
        """Made once for all clients that resume from the same position, unless it repeats a `ref` or contains what changes with time.

        None: it would be too large to be handed over at once.
        """
        assert session.snapshot is not None
        is_common = request.ref is None and session.live_state(self._hub.clock.wall_ms()) == b"{}"
        made_of = (session.key, cursor, session.cursor, session.snapshot.version, session.facts.folded)
        if is_common and (kept := self._batches.get(made_of)) is not None:
            return kept
        missed = session.missed(seq)
        if is_large(missed):
            return None
        reply = attach_reply_frame(self._hub, session, AttachReply(len(missed), seq, resumed_at=cursor, ref=request.ref))
        batch = Batch([reply, *missed, sync_done_frame(session)])
        return self._batches.keep(made_of, batch) if is_common else batch

    async def _open_created(self, subscriber: Subscriber, request: AttachRequest, session: HubSession, lost: Reset | None) -> None:
        """A client that returns to nothing is told so before it is told of the new session."""
        page, seq, _ = await self._first_page(request, "tail" if request.after == "tail" else "start")
        if subscriber.phase is SubscriberPhase.GONE:
            return
        self._check_owner(subscriber, request, page.snapshot)
        self._seat(subscriber, session, request)
        if lost is not None:
            subscriber.port.send(reset_frame(self._hub, lost.reason, page.snapshot, page.snapshot.facts))
        self._begin(subscriber, request, page, seq, kind="created", cursor="")

    async def _open_from_log(self, subscriber: Subscriber, request: AttachRequest, session: HubSession) -> None:
        after = after_of(request)
        page, seq, verdict = await self._first_page(request, after)
        if subscriber.phase is SubscriberPhase.GONE:
            return
        self._check_owner(subscriber, request, page.snapshot)
        self._seat(subscriber, session, request)
        if isinstance(verdict, Reset):
            subscriber.is_replaying = True  # until it has a position, a resync that ends must not serve it
            try:
                await self._recovery.reset(subscriber, verdict, page)
            finally:
                subscriber.is_replaying = False
            missed = max(0, page.snapshot.facts.head.seq - subscriber.seq)
            self._hub.metrics.attaches["reset"] += 1
            subscriber.port.send(attach_reply_frame(self._hub, session, AttachReply(missed, subscriber.seq, ref=request.ref)))
            self._recovery.go_on(subscriber)
            self._after_opening(subscriber, request)
        else:
            self._begin(subscriber, request, page, seq, kind="restored", cursor=str(after) if isinstance(after, Cursor) else "")

    async def _open_publish_only(self, subscriber: Subscriber, request: AttachRequest) -> None:
        """A client that wants no events needs no feed: the session is read once, and held by this subscriber alone."""
        page = await self._hub.store.read(request.key, None, limit=0)
        was_created = isinstance(page, Missing)
        if isinstance(page, Missing):
            await self._create_missing(subscriber, request, None)
            page = await self._hub.store.read(request.key, None, limit=0)
            if isinstance(page, Missing):
                raise _just_ended()
        if subscriber.phase is SubscriberPhase.GONE:
            return
        session = HubSession(request.key)
        session.settle(page, page.snapshot.facts.head.seq)
        self._check_owner(subscriber, request, page.snapshot)
        self._seat(subscriber, session, request._replace(device=None))
        subscriber.stand_at(session.seq, session.cursor)
        session.enter(subscriber)
        self._hub.metrics.attaches["created" if was_created else "restored"] += 1
        reply = attach_reply_frame(self._hub, session, AttachReply(0, session.seq, ref=request.ref, was_created=was_created))
        subscriber.port.deliver(Batch([reply, sync_done_frame(session)]))

    def _begin(
        self, subscriber: Subscriber, request: AttachRequest, page: Page, seq: int, *, kind: Literal["created", "restored"], cursor: str
    ) -> None:
        """The reply and the first page, in one delivery if it is a small one; `recovery` serves what is missing then.

        `cursor`: the client's at `seq`, which the page proves; "" where it has none.
        """
        session = subscriber.session
        assert session is not None
        session.learn(page.snapshot)
        facts = page.snapshot.facts
        missed = facts.head.seq - seq if page.has_more else len(page.frames)
        self._hub.metrics.attaches[kind] += 1
        self._hub.metrics.tail_misses += 1
        subscriber.fold = folds(request)
        was_created, head = kind == "created", str(facts.head)
        reply = AttachReply(missed, seq, resumed_at=request.after, ref=request.ref, was_created=was_created, head=head, folded=facts.folded)
        if is_large(page.frames):
            subscriber.stand_at(seq, cursor)
            self._send_reply(subscriber, session, reply)
            if self._recovery.hand_over(subscriber, page.frames):
                subscriber.stand_at(max(seq, page.through), end_of(page))
        else:
            self._hub.accounts.read(subscriber.account, sum(map(len, page.frames)))
            subscriber.stand_at(max(seq, page.through), end_of(page))
            subscriber.port.deliver(Batch([attach_reply_frame(self._hub, session, reply), *page.frames]))
            self._hub.metrics.events_delivered += len(page.frames)
        self._recovery.go_on(subscriber)
        self._after_opening(subscriber, request)

    def _send_reply(self, subscriber: Subscriber, session: HubSession, reply: AttachReply) -> None:
        """Before events that follow in deliveries of their own."""
        subscriber.port.deliver(Batch([attach_reply_frame(self._hub, session, reply)]))

    def _seat(self, subscriber: Subscriber, session: HubSession, request: AttachRequest) -> None:
        self.opening.pop(subscriber, None)
        if request.features:
            subscriber.features = frozenset(request.features)
        session.seat(subscriber)
        if request.device is not None:
            self._hub.devices.take(session, subscriber, request.device)

    def _after_opening(self, subscriber: Subscriber, request: AttachRequest) -> None:
        if "presence" in subscriber.features:
            self._presence.join(subscriber)


class SessionFactory:
    """Makes sessions: their class, their epoch, and the quota that they count against."""

    def __init__(self, hub: Hub, rng: Random) -> None:
        self._hub = hub
        self._rng = rng

    async def create(self, principal: Principal, key: SessionKey, state: InitialState = NO_STATE) -> tuple[Page, bool]:
        """A new session of the principal's, or its own of that name (False). Raises AnypodError."""
        options = self._hub.options
        class_name = state.class_name or options.class_default
        if class_name not in options.classes:
            raise AnypodError("malformed", f"class must be one of {', '.join(sorted(options.classes))}")
        creation = Creation(
            key=key,
            owner=principal.subject,
            session_class=options.classes[class_name],
            epoch="".join(self._rng.choices(_EPOCH_ALPHABET, k=EPOCH_CHARS)),
            sessions_max=options.sessions_per_subject_max,
            state=state.state,
            live=state.live,
            metadata=state.metadata,
        )
        return await self._hub.store.create(creation)

    async def create_if_missing(self, principal: Principal, key: SessionKey, state: InitialState = NO_STATE) -> None:
        """As `create`. Where another subject was quicker, the owner decides whether the caller reaches that session. Raises AnypodError."""
        try:
            await self.create(principal, key, state)
        except AnypodError as error:
            if error.code != "no_such_session":
                raise


async def verified_read(store: Store, after: After, read: Callable[[], Awaitable[Page]]) -> tuple[Page, Resume | Reset]:
    """The page that `read` gives, and the verdict on the client's cursor by that page.

    For a moment of a failover the old primary may still answer, whose log lacks what the new one has. So a cursor that the page cannot
    honour is judged again by a read behind a barrier.
    """
    page = await read()
    verdict = judge(after, page.snapshot.facts)
    if isinstance(verdict, Reset) and isinstance(after, Cursor):
        await store.verify_primary()
        page = await read()
        verdict = judge(after, page.snapshot.facts)
    return page, verdict


async def _seq_before_latest(store: Store, key: SessionKey, count: int) -> int | None:
    """The seq after which the latest `count` durable events begin; None: the head. Read page by page, of which none is kept."""
    first: int | None = None
    while count > 0:
        page = await store.history(key, first, limit=count)
        if page.frames:
            first = position(page.frames[0]).seq
        count = count - len(page.frames) if page.has_more else 0
    return None if first is None else first - 1


def _just_ended() -> AnypodError:
    return AnypodError("unavailable", "the session has just ended; attach again", retry_after_ms=100)


def _arrival(request: AttachRequest) -> Arrival:
    return "fresh" if request.after is None and not request.resume else "resume"


def ids(rng: Random) -> Iterator[str]:
    """Random ids, drawn in blocks: a system's source of randomness costs as much for a hundred as for one."""
    while True:
        block = rng.randbytes(ID_BYTES * IDS_DRAWN).hex()
        yield from (block[at : at + 2 * ID_BYTES] for at in range(0, len(block), 2 * ID_BYTES))
