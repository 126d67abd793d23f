"""A session as one replica knows it, and its subscribers: each has a phase and a transition table.

Owns the replica's position in the log, the tail, what is remembered of the session beside events, the set of live subscribers, and how far
each subscriber has been served while it is not live. Must not know how a range is read, who may attach, nor any transport: the hub reads
and decides, this obeys.
"""

import asyncio
from collections.abc import Mapping, Sequence
from enum import Enum, auto
from typing import Final, Protocol

from anypod.auth import Principal
from anypod.core.cursor import After, Cursor, Facts
from anypod.core.event import history_of, position, seq_in_history
from anypod.core.identity import SessionKey
from anypod.core.merge import Frame, Lost, Merge, Step
from anypod.core.notices import DeviceNotice, StateNotice
from anypod.core.permits import Account
from anypod.hub.delivery import Batch, announcement
from anypod.hub.port import SubscriberPort
from anypod.hub.tail import Tail
from anypod.store import Missing, Page, Snapshot

NEVER: Final = float("inf")  # in clock seconds
NO_FEATURES: Final = frozenset[str]()
EARLY_FRAMES_MAX: Final = 1_000  # heard before the first range is read; beyond that they are forgotten and the log is read again


class SubscriberPhase(Enum):
    OPENING = auto()
    BEHIND = auto()
    LIVE = auto()
    GONE = auto()


SUBSCRIBER_TRANSITIONS: Final[Mapping[SubscriberPhase, Mapping[SubscriberPhase, str]]] = {
    SubscriberPhase.OPENING: {SubscriberPhase.BEHIND: "attached to its session", SubscriberPhase.GONE: "refused, or its transport lost"},
    SubscriberPhase.BEHIND: {SubscriberPhase.LIVE: "served up to the session's end", SubscriberPhase.GONE: "detached"},
    SubscriberPhase.LIVE: {SubscriberPhase.BEHIND: "paused, replayed or reset", SubscriberPhase.GONE: "detached"},
    SubscriberPhase.GONE: {},
}


class SessionPhase(Enum):
    LOADING = auto()
    CURRENT = auto()
    RESYNCING = auto()
    UNLOADED = auto()


SESSION_TRANSITIONS: Final[Mapping[SessionPhase, Mapping[SessionPhase, str]]] = {
    SessionPhase.LOADING: {SessionPhase.CURRENT: "subscribed and read", SessionPhase.UNLOADED: "missing, or the store is away"},
    SessionPhase.CURRENT: {
        SessionPhase.RESYNCING: "gap, barrier or newer head",
        SessionPhase.UNLOADED: "idle, deleted or expired",
    },
    SessionPhase.RESYNCING: {SessionPhase.CURRENT: "read up to the log's head", SessionPhase.UNLOADED: "deleted or expired"},
    SessionPhase.UNLOADED: {},
}


class Subscriber:
    """One attached transport, seen from the hub.

    A *live* subscriber has no position of its own: it stands where its session stands, and gets whatever the feed brings. It falls
    *behind* when its port takes no more, when it attaches, and when its client asks for a replay; then `seq` and `cursor` say where it is.

    `cursor`: proof of the newest event served at or below `seq`; "" when none was (then nothing needs proof).
    `came_at`: when it attached. `ends_at`: when it is sent away to attach anew. `paused_at`: when the port stopped taking more, None
    while it does. `heard_at`: when its client last sent something. `recovers_since`: when it attached with a cursor, None once it is up to
    date. All in clock seconds. `replay_ref`: what the end of its replay repeats.
    `wanted`: where its client asked to go while it was behind. `slot`: its slot in the heartbeat schedule.
    """

    __slots__ = (
        "_flow",
        "account",
        "author",
        "came_at",
        "cursor",
        "device",
        "ends_at",
        "features",
        "fold",
        "has_client_beats",
        "heard_at",
        "id",
        "is_replaying",
        "paused_at",
        "phase",
        "port",
        "principal",
        "recovers_since",
        "replay_ref",
        "seq",
        "session",
        "slot",
        "wanted",
    )

    def __init__(
        self, port: SubscriberPort, principal: Principal, subscriber_id: str, now: float, *, account: Account, flow: "FlowControl"
    ) -> None:
        self._flow = flow
        self.account = account
        self.port = port
        self.principal = principal
        self.id = subscriber_id
        self.author: str = principal.subject
        self.device: str | None = None
        self.features: frozenset[str] = NO_FEATURES
        self.session: HubSession | None = None
        self.phase = SubscriberPhase.OPENING
        self.seq = 0
        self.cursor = ""
        self.fold = False
        self.has_client_beats = False
        self.came_at = now
        self.heard_at = now
        self.ends_at = NEVER
        self.paused_at: float | None = None
        self.is_replaying = False
        self.recovers_since: float | None = None
        self.replay_ref: str | int | None = None
        self.wanted: After | None = None
        self.slot = 0

    def stand_at(self, seq: int, cursor: str) -> None:
        self.seq = seq
        if cursor:
            self.cursor = cursor

    def move(self, to: SubscriberPhase) -> None:
        assert to in SUBSCRIBER_TRANSITIONS[self.phase], f"{self.phase} to {to}"
        self.phase = to

    # Backpressure, by the port.

    def note_unsent(self, size: int, size_max: int) -> bool:
        """The port holds `size` bytes that its transport has not taken, and may hold `size_max`. False: it is paused, see `resume`."""
        return self._flow.note_unsent(self, size, size_max)

    def note_drained(self, size: int) -> None:
        """The port of a paused subscriber holds less than before, and more than a little."""
        self._flow.note_drained(self, size)

    def pause(self) -> None:
        """The port takes no more events for now."""
        self._flow.pause(self)

    def resume(self) -> None:
        """The port takes more again: what is missing is served from where it stands."""
        self._flow.resume(self)


class FlowControl(Protocol):
    """What follows from a port's backpressure: see `recovery`."""

    def note_unsent(self, subscriber: Subscriber, size: int, size_max: int) -> bool: ...

    def note_drained(self, subscriber: Subscriber, size: int) -> None: ...

    def pause(self, subscriber: Subscriber) -> None: ...

    def resume(self, subscriber: Subscriber) -> None: ...


class DeviceClaim:
    """What attachments of one device of one author compete for; here, the one of this replica that holds it.

    `name`: the store's for it. `since`: when its holder came, in clock seconds. `number`: of the claim, 0 until the store has told it.
    `rival`: the newest other claim that was heard of before that.
    """

    __slots__ = ("holder", "is_claiming", "key", "name", "number", "rival", "session", "since")

    def __init__(self, session: "HubSession", author: str, device: str) -> None:
        self.session = session
        self.key = (author, device)
        self.name = f"{device}/{author}"
        self.holder: Subscriber | None = None
        self.since = 0.0
        self.number = 0
        self.rival: DeviceNotice | None = None
        self.is_claiming = False

    def hold(self, subscriber: Subscriber) -> Subscriber | None:
        """The holder before, if there was one."""
        former, self.holder, self.since = self.holder, subscriber, subscriber.came_at
        self.number, self.rival = 0, None
        return former


class HubSession:
    """`cursor` is the log's own at `seq`, or at the newest event below it."""

    __slots__ = (
        "_cursor",
        "_early",
        "_flushed",
        "_history",
        "_merge",
        "_pending",
        "_pending_seqs",
        "behind",
        "claims_checked",
        "devices",
        "idle_since",
        "keep_at",
        "key",
        "live",
        "loading",
        "phase",
        "pins",
        "resync_again",
        "snapshot",
        "tail",
    )

    def __init__(self, key: SessionKey) -> None:
        self.key = key
        self.phase = SessionPhase.LOADING
        self.snapshot: Snapshot | None = None
        self.tail = Tail(0, "")
        self.live: dict[Subscriber, None] = {}
        self.behind: dict[Subscriber, None] | None = None  # attached and not live: nearly always none
        self.devices: dict[tuple[str, str], DeviceClaim] | None = None  # by author and device
        self.claims_checked = 0  # the newest claim in the session when the places here were last compared with the store's
        self.loading: asyncio.Future[Missing | None] | None = None
        self.resync_again = False
        self.pins = 0  # attachments under way: they keep the session loaded
        self.idle_since: float | None = None
        self.keep_at = NEVER  # when its expiry is to be moved
        self._merge = Merge(0)
        self._flushed = 0  # the seq up to which the live subscribers were served
        self._cursor: str | None = ""  # None: that of the newest frame
        self._history = b""  # of the cursor, once something is compared with it
        # A session that is merely loaded hears nothing: these are made when it does.
        self._early: list[bytes] | None = None
        self._pending: list[bytes] | None = None
        self._pending_seqs: list[int] | None = None

    def move(self, to: SessionPhase) -> None:
        assert to in SESSION_TRANSITIONS[self.phase], f"{self.phase} to {to}"
        self.phase = to

    @property
    def seq(self) -> int:
        return self._merge.seq

    @property
    def cursor(self) -> str:
        if self._cursor is None:
            self._cursor = position(self._pending[-1]).cursor if self._pending else self.tail.newest_cursor
        return self._cursor

    @property
    def facts(self) -> Facts:
        assert self.snapshot is not None
        return self.snapshot.facts

    def is_of_history(self, cursor: Cursor) -> bool:
        """Of the life and the term that the session's events have there: the feed brings none of another before a read has proven it."""
        return cursor.epoch == self.facts.head.epoch and cursor.term == self.facts.term_of(cursor.seq).name

    @property
    def is_closed(self) -> bool:
        return self.snapshot is not None and self.snapshot.is_closed

    # Becoming ready, and starting over.

    def settle(self, page: Page, after: int) -> list[bytes]:
        """Stand where a range that was read after `after` ends; what the feed brought meanwhile is to be offered again."""
        facts = page.snapshot.facts
        self.snapshot = page.snapshot
        head = str(facts.head)
        if after == facts.head.seq or page.has_more or not facts.oldest - 1 <= after < facts.head.seq:
            self.tail = Tail(facts.head.seq, head)
        else:
            self.tail = Tail(after, own_cursor(facts, after), page.frames)
        self._stand_at(head)
        self._merge = Merge(facts.head.seq)
        self._flushed = facts.head.seq
        self._pending = self._pending_seqs = None
        if self.phase is SessionPhase.LOADING:
            self.move(SessionPhase.CURRENT)
        early, self._early = self._early or [], None
        return early

    def _stand_at(self, cursor: str) -> None:
        self._cursor = cursor
        self._history = b""

    # What the feed and the log bring.

    def offer(self, frame: bytes) -> bool:
        """Take a frame of the feed. False: it shows that something was missed, and the log must be read after `seq`.

        Raises ValueError or IndexError when it is no frame of an event.
        """
        if self.phase is SessionPhase.LOADING:
            position(frame)  # now: later it could not be skipped alone
            if self._early is None:
                self._early = []
            if len(self._early) < EARLY_FRAMES_MAX:
                self._early.append(frame)
            else:
                self.resync_again = True
            return True
        if not self._history:
            self._history = history_of(self.cursor)
        seq = seq_in_history(frame, self._history)
        if seq is None:
            return False  # another life or term of the log: only a proven read may go on from here
        if self._merge.advance(seq):
            self._await_flush(seq, frame)
            self._cursor = None
            return True
        step = self._merge.offer((Frame(seq, frame),))
        self._take(step)
        return step.read_after is None

    def cover(self, page: Page) -> bool:
        """Take a range that was read after `seq` and whose history was proven. False: it had an illegal hole."""
        frames = [Frame(position(frame).seq, frame) for frame in page.frames]
        facts = page.snapshot.facts
        # What came early may be of a history that was lost before this page was read.
        history = history_of(str(facts.head))
        self._merge.retain(lambda frame: seq_in_history(frame.payload, history) is not None)
        step = self._merge.cover(frames, through=page.through, folded=max(facts.folded, facts.oldest - 1))
        if isinstance(step, Lost):
            return False
        self._take(step)
        if self.seq == facts.head.seq:
            self._stand_at(str(facts.head))
        self.learn(page.snapshot)
        return True

    def _take(self, step: Step) -> None:
        for frame in step.deliver:
            self._await_flush(frame.seq, frame.payload)
        if step.deliver:
            self._stand_at(position(step.deliver[-1].payload).cursor)

    def _await_flush(self, seq: int, frame: bytes) -> None:
        if self._pending is None or self._pending_seqs is None:
            self._pending, self._pending_seqs = [frame], [seq]
        else:
            self._pending.append(frame)
            self._pending_seqs.append(seq)

    def flush(self, wall_ms: int) -> int:
        """Fan out what has come to the live subscribers, in one batch; returns the number of deliveries."""
        frames, seqs = self._pending, self._pending_seqs
        if frames is None or seqs is None:
            return 0
        span, self._flushed = self.seq - self._flushed, self.seq
        self._pending = self._pending_seqs = None
        self.tail.extend(seqs, frames)
        batch = Batch(frames if span == len(frames) else [announcement(self.cursor, self.facts.folded, wall_ms), *frames])
        live = list(self.live)  # a port that fills up leaves while we deliver
        for subscriber in live:
            subscriber.port.deliver(batch)
        return len(live) * len(frames)

    def learn(self, snapshot: Snapshot) -> None:
        """Remember what a read said beside events, unless it is older than what we know."""
        if self.snapshot is None or snapshot.version >= self.snapshot.version or snapshot.facts.head.epoch != self.facts.head.epoch:
            self.snapshot = snapshot

    def note_state(self, notice: StateNotice, wall_ms: int) -> None:
        """A state change, from the notice of the replica that made it."""
        if self.snapshot is None or notice.version <= self.snapshot.version:
            return
        self.snapshot = _with_state(self.snapshot, notice, wall_ms)

    def live_state(self, wall_ms: int) -> bytes:
        assert self.snapshot is not None
        return self.snapshot.live_at(wall_ms)

    # Subscribers.

    @property
    def members(self) -> list[Subscriber]:
        return [*self.live, *(self.behind or ())]

    @property
    def is_empty(self) -> bool:
        return not self.live and not self.behind

    def seat(self, subscriber: Subscriber) -> None:
        """Attached, and behind until it enters."""
        subscriber.session = self
        subscriber.move(SubscriberPhase.BEHIND)
        self.idle_since = None
        self._stay_behind(subscriber)

    def enter(self, subscriber: Subscriber) -> None:
        """From here on the subscriber gets what the feed brings."""
        assert subscriber.seq == self.seq
        subscriber.move(SubscriberPhase.LIVE)
        self._not_behind(subscriber)
        self.live[subscriber] = None

    def leave(self, subscriber: Subscriber) -> None:
        """Behind from now on: its place is where the session stood when it left."""
        if subscriber.phase is SubscriberPhase.LIVE:
            self.live.pop(subscriber, None)
            self._stay_behind(subscriber)
            subscriber.move(SubscriberPhase.BEHIND)
            subscriber.stand_at(self.seq, self.cursor)

    def remove(self, subscriber: Subscriber) -> None:
        """It is attached no more."""
        self.live.pop(subscriber, None)
        self._not_behind(subscriber)
        if self.devices is not None and subscriber.device is not None:
            place = self.devices.get((subscriber.author, subscriber.device))
            if place is not None and place.holder is subscriber:
                place.holder = None
                self.forget_if_empty(place)

    def holds(self, subscriber: Subscriber) -> bool:
        """Its device's place, if it names one."""
        if subscriber.device is None:
            return True
        place = (self.devices or {}).get((subscriber.author, subscriber.device))
        return place is not None and place.holder is subscriber

    def forget_if_empty(self, place: "DeviceClaim") -> None:
        """A claim is kept while a subscriber holds it, or a call about it is under way."""
        is_here = self.devices is not None and self.devices.get(place.key) is place
        if self.devices is not None and is_here and place.holder is None and not place.is_claiming:
            del self.devices[place.key]
            self.devices = self.devices or None

    def _stay_behind(self, subscriber: Subscriber) -> None:
        self.behind = self.behind or {}
        self.behind[subscriber] = None

    def _not_behind(self, subscriber: Subscriber) -> None:
        if self.behind is not None:
            self.behind.pop(subscriber, None)
            self.behind = self.behind or None

    def missed(self, seq: int) -> Sequence[bytes]:
        return self.tail.after(seq)


def own_cursor(facts: Facts, seq: int) -> str:
    """The log's cursor at `seq`, which the facts were asked about; "" when its event is folded."""
    if seq == facts.head.seq:
        return str(facts.head)
    if facts.tag_at is None and seq > 0:
        return ""
    return f"{facts.head.epoch}-{facts.term_of(seq).name}-{seq}-{facts.tag_at or 0}"


def common_cursor(facts: Facts, seq: int) -> str:
    """A cursor for a place that a lost history shares with the log. Where its event is folded the tag is 0: nothing is there to compare."""
    return own_cursor(facts, seq) or f"{facts.head.epoch}-{facts.term_of(seq).name}-{seq}-0"


def _with_state(known: Snapshot, notice: StateNotice, wall_ms: int) -> Snapshot:
    return Snapshot(
        facts=known.facts,
        owner=known.owner,
        class_name=known.class_name,
        state=bytes(notice.state),
        live=bytes(notice.live),
        live_until_ms=wall_ms + notice.live_ms,
        metadata=known.metadata,
        version=notice.version,
        is_closed=known.is_closed,
        expires_at_ms=known.expires_at_ms,
        expires_in_ms=known.expires_in_ms,
    )
