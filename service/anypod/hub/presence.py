"""Presence: the members attached to a session, over all replicas, for the clients that ask for it.

Owns the entries of this replica's subscribers in the store, their renewal, and what its subscribers are sent of all entries. Only a client
with the feature `presence` is listed and sent the list: a session with a thousand silent readers would otherwise send a million frames
when they attach.

1. The store publishes what changes, with the change itself: what a feed heard since a list was read makes the list complete.
2. A list is read from the store once for each session and replica, and again after an interruption of the feed.
3. What a subscriber was sent is always what stands in `Attendance`: each change is sent as the difference, so that a notice that was lost
   or arrived twice leaves nothing wrong.
4. Entries name the life of the replica that keeps them. Each replica sends a sign of life every few seconds, once for each partition;
   of a life that has ended each replica forgets the entries by itself and tells its own subscribers.
5. A device has one entry, of its newest attachment; any other attachment has one of its own.
"""

from collections.abc import Container, Iterable, Mapping, Sequence
from hashlib import blake2b
from typing import Final, NamedTuple

from msgspec import Raw

from anypod.core import frames
from anypod.core.errors import AnypodError
from anypod.core.identity import SessionKey, partition
from anypod.core.json_value import checked
from anypod.core.notices import SignalNotice, presence_of, read_member
from anypod.hub.hub import Hub
from anypod.hub.session import HubSession, Subscriber
from anypod.store import Member

LIFE_S: Final = 3.0  # between two signs of life
HELD_S: Final = 10.0  # for which the store holds a life after a sign of it, so a dead replica's entries go within 13 s and some
RENEW_S: Final = 30.0  # between two renewals of an entry: the store forgets a session's after 90 s without a renewal
RENEWED_SHARE: Final = 0.8  # of that time over which the calls of a renewal are spread
MEMBERS_A_CALL: Final = 100  # some 100 µs of the store's time
GONE_MAX: Final = 10_000  # removals that the store has not taken; one that is forgotten is found when the session's list is read again
READ_RETRY_S: Final = 1.0
PRESENCE_BYTES_MAX: Final = 1_024  # of what one device tells of itself


class Attendee(NamedTuple):
    """A member, and the life of the replica that keeps it."""

    life: str
    member: Member


class Attendance:
    """`watching`: subscribers that know the entries as they are. `lagging`: what those knew last that have taken nothing since."""

    __slots__ = ("entries", "is_read", "is_reading", "lagging", "touched", "waiting", "watching")

    def __init__(self) -> None:
        self.entries: dict[str, Attendee] = {}
        self.is_read = False  # from the store, since the feed was last interrupted
        self.is_reading = False
        self.touched: set[str] | None = None  # what has changed while it is being read
        self.waiting: dict[Subscriber, None] = {}  # for the first list
        self.watching: dict[Subscriber, None] = {}
        self.lagging: dict[Subscriber, Mapping[str, Attendee]] = {}

    def begin_watching(self) -> None:
        """Waiting subscribers are sent all entries, and every change from here on."""
        if self.waiting:
            frame = frames.encode(frames.PresenceFrame(joined=[Raw(one.member.entry) for one in self.entries.values()]))
            for subscriber in self.waiting:
                self.watching[subscriber] = None
                subscriber.port.send(frame)
            self.waiting.clear()

    @property
    def is_unwatched(self) -> bool:
        return not self.watching and not self.lagging and not self.waiting

    def pass_on(self, frame: bytes, origin: str | None) -> None:
        for subscriber in self.watching:
            if subscriber.id != origin and subscriber.paused_at is None:
                subscriber.port.send(frame)

    def unwatch(self, subscriber: Subscriber) -> None:
        self.waiting.pop(subscriber, None)
        self.watching.pop(subscriber, None)
        self.lagging.pop(subscriber, None)

    def change(self, changed: Mapping[str, Attendee | None], origin: str | None = None) -> None:
        """None: it has left. `origin`: the attachment that it tells of, which is not told."""
        if self.touched is not None:
            self.touched.update(changed)
        before = {name: self.entries.get(name) for name in changed}
        frame = _difference(before, changed)
        if frame is not None:
            for subscriber in [one for one in self.watching if one.paused_at is not None]:
                del self.watching[subscriber]
                self.lagging[subscriber] = dict(self.entries)
        for name, attendee in changed.items():
            if attendee is None:
                self.entries.pop(name, None)
            else:
                self.entries[name] = attendee
        if frame is not None:
            for subscriber in self.watching:
                if subscriber.id != origin:
                    subscriber.port.send(frame)

    def catch_up(self) -> None:
        """Subscribers that are no longer paused are sent what has changed meanwhile."""
        for subscriber in [one for one in self.lagging if one.paused_at is None]:
            known = self.lagging.pop(subscriber)
            self.watching[subscriber] = None
            if (frame := _difference(known, {**dict.fromkeys(known), **self.entries})) is not None:
                subscriber.port.send(frame)

    def of_lives(self, dead: Iterable[str]) -> dict[str, list[str]]:
        """Ids by life."""
        found: dict[str, list[str]] = {life: [] for life in dead}
        for name, attendee in self.entries.items():
            if attendee.life in found:
                found[attendee.life].append(name)
        return {life: names for life, names in found.items() if names}

    @property
    def lives(self) -> set[str]:
        return {attendee.life for attendee in self.entries.values()}


def _difference(before: Mapping[str, Attendee | None], after: Mapping[str, Attendee | None]) -> bytes | None:
    joined, left, updated = list[Raw](), list[Raw](), list[Raw]()
    for name, new in after.items():
        old = before.get(name)
        if new is None:
            left += [Raw(old.member.entry)] if old is not None else []
        elif old is None:
            joined.append(Raw(new.member.entry))
        elif old.member.entry != new.member.entry:
            updated.append(Raw(new.member.entry))
    return frames.encode(frames.PresenceFrame(joined=joined, left=left, updated=updated)) if joined or left or updated else None


class PresenceTracker:
    """`_mine`: entries that this replica keeps; `_gone`: attachments of entries that it no longer keeps, and the store may still have."""

    def __init__(self, hub: Hub) -> None:
        self._hub = hub
        self._lives = 0
        self.life = self._new_life()
        self._held: dict[int, float] = {}  # partitions in which the store may know this life, and when the last sign of it was sent
        self._mine: dict[SessionKey, dict[str, Member]] = {}
        self._gone: dict[tuple[SessionKey, str], str] = {}
        self._recording: set[tuple[SessionKey, str]] = set()  # whose newest entry is on its way to the store
        self._unrecorded: dict[tuple[SessionKey, str], None] = {}  # the store was away
        self._attended: dict[HubSession, Attendance] = {}
        self._is_renewing = False
        self._is_living = False
        self._next_renewal = hub.clock.now() + RENEW_S
        self._renewal_s = RENEW_S * RENEWED_SHARE  # over which the calls of the one under way are spread
        self._next_life = 0.0
        hub.on_presence, hub.on_interrupted = self.heard, self.interrupted
        hub.metrics.watch("presence_members", lambda: sum(map(len, self._mine.values())))

    def _new_life(self) -> str:
        born = f"{self._hub.options.replica}/{self._hub.clock.wall_ms()}/{self._hub.clock.now()}/{self._lives}"
        return blake2b(born.encode(), digest_size=8).hexdigest()

    # This replica's subscribers.

    def join(self, subscriber: Subscriber) -> None:
        session = subscriber.session
        assert session is not None
        attendance = self._attended.setdefault(session, Attendance())
        self._put(subscriber, session, attendance, b"null")
        attendance.waiting[subscriber] = None
        self._read_soon(session, attendance)

    def update(self, subscriber: Subscriber, told: bytes) -> None:
        """What the device tells others of itself; it asks for presence where nothing did. Raises AnypodError."""
        if len(told) > PRESENCE_BYTES_MAX:
            raise AnypodError("too_large", f"presence data is at most {PRESENCE_BYTES_MAX} bytes")
        told = checked(told)
        session = subscriber.session
        assert session is not None
        if "presence" not in subscriber.features:
            subscriber.features = subscriber.features | {"presence"}
            self.join(subscriber)
        self._put(subscriber, session, self._attended[session], told)

    def leave(self, subscriber: Subscriber) -> None:
        session = subscriber.session
        if session is None or (attendance := self._attended.get(session)) is None:
            return
        attendance.unwatch(subscriber)
        name, mine = _name(subscriber), self._mine.get(session.key, {})
        if (member := mine.get(name)) is not None and member.attachment == subscriber.id:
            del mine[name]
            self._gone[session.key, name] = subscriber.id
            if len(self._gone) > GONE_MAX:
                del self._gone[next(iter(self._gone))]
            self._record(session.key, name)
            if (attendee := attendance.entries.get(name)) is not None and attendee.life == self.life:
                attendance.change({name: None})
        if not mine:
            self._mine.pop(session.key, None)
        if attendance.is_unwatched:
            del self._attended[session]

    def _put(self, subscriber: Subscriber, session: HubSession, attendance: Attendance, told: bytes) -> None:
        if not session.holds(subscriber):
            return  # an older attachment of its device, which is about to be told so
        name = _name(subscriber)
        member = Member(name, subscriber.id, _entry(subscriber, name, told))
        self._mine.setdefault(session.key, {})[name] = member
        self._gone.pop((session.key, name), None)
        attendance.change({name: Attendee(self.life, member)}, subscriber.id)
        self._record(session.key, name)

    # What others tell.

    def readable(self, entries: Sequence[bytes]) -> list[Raw]:
        """Without those that no client could read: another version, or another program, may have written them."""
        sound = [member for member in map(read_member, entries) if member is not None]
        self._hub.metrics.payloads_skipped["member"] += len(entries) - len(sound)
        return sound

    def heard(self, session: HubSession, notice: SignalNotice) -> None:
        attendance = self._attended.get(session)
        if attendance is None or notice.life == self.life:
            return  # what this replica changed stands here already
        if notice.life is None:
            attendance.pass_on(bytes(notice.frame), notice.origin)  # of a replica of an older version
            return
        told = presence_of(notice)
        if told is None:
            self._hub.metrics.payloads_skipped["member"] += 1
            return
        here, left = told
        changed: dict[str, Attendee | None] = {name: Attendee(notice.life, Member(name, "", entry)) for name, entry in here.items()}
        for name in left:
            changed[name] = self._own(session.key, name)
            if changed[name] is not None:
                self._record(session.key, name)  # an older attachment of the device, which had taken its entry, has gone
        attendance.change(changed, notice.origin)

    def interrupted(self, session: HubSession) -> None:
        """The feed was: what is known is to be read again."""
        if (attendance := self._attended.get(session)) is not None:
            attendance.is_read = False
            self._read_soon(session, attendance)

    def _own(self, key: SessionKey, name: str) -> Attendee | None:
        member = self._mine.get(key, {}).get(name)
        return Attendee(self.life, member) if member is not None else None

    # The list.

    def _read_soon(self, session: HubSession, attendance: Attendance) -> None:
        if attendance.is_read:
            attendance.begin_watching()
        elif not attendance.is_reading:
            attendance.is_reading = True
            self._hub.tasks.start(self._read(session, attendance), "presence")

    async def _read(self, session: HubSession, attendance: Attendance) -> None:
        try:
            while not attendance.is_read and self._attended.get(session) is attendance:
                attendance.is_read = True
                attendance.touched = set()
                try:
                    found = await self._hub.store.present(session.key)
                except AnypodError:
                    attendance.is_read = False
                    await self._hub.clock.sleep(READ_RETRY_S)
                else:
                    self._take(session.key, attendance, found)
                    attendance.begin_watching()
        finally:
            attendance.touched = None
            attendance.is_reading = False

    def _take(self, key: SessionKey, attendance: Attendance, found: Sequence[tuple[str, Member]]) -> None:
        """What was heard while it was read is newer than the list."""
        touched, attendance.touched = attendance.touched or set(), None
        mine, names = self._mine.get(key, {}), {member.name for _, member in found}
        changed: dict[str, Attendee | None] = {}
        for life, member in found:
            if life == self.life:
                if member.name not in mine:  # the store has lost its removal
                    self._gone[key, member.name] = member.attachment
                    self._record(key, member.name)
                continue
            if member.name in mine:
                self._record(key, member.name)  # an older attachment of the device has its entry
            if member.name not in touched:
                for entry in self.readable((member.entry,)):
                    changed[member.name] = Attendee(life, member._replace(entry=bytes(entry)))
        for name in attendance.entries.keys() - names - touched - mine.keys():
            changed[name] = None
        for name in mine.keys() - names:
            self._record(key, name)
        attendance.change(changed)

    # The store.

    def _record(self, key: SessionKey, name: str) -> None:
        """Again with the next sign of life where a call is under way: what it has written may be gone."""
        if (key, name) in self._recording:
            self._unrecorded[key, name] = None
            return
        self._recording.add((key, name))
        self._hub.tasks.start(self._write(key, name), "presence")

    async def _write(self, key: SessionKey, name: str) -> None:
        """One call at a time: of a device that tells of itself faster than the store answers the newest entry is recorded."""
        written: Member | None = None
        try:
            while (member := self._mine.get(key, {}).get(name)) is not None and member is not written:
                await self._join(key, (member,))
                written = member
            while member is None and (gone := self._gone.pop((key, name), None)) is not None:
                await self._remove(key, name, gone)
                member = self._mine.get(key, {}).get(name)
        except AnypodError as error:
            if error.code != "quota_exceeded":  # a session that is gone may be made anew
                self._unrecorded[key, name] = None
        finally:
            self._recording.discard((key, name))
        if (member is None) is not (self._mine.get(key, {}).get(name) is None):
            self._record(key, name)  # it came or went meanwhile

    async def _join(self, key: SessionKey, members: Sequence[Member]) -> None:
        """Raises AnypodError. Entries are a sign of life as well: with the first ones others know of it."""
        life, number, sent = self.life, partition(key), self._hub.clock.now()
        try:
            await self._hub.store.join(key, life, members)
        except AnypodError as error:
            if life == self.life and error.code in ("unavailable", "quota_exceeded"):  # the store may have taken the sign all the same
                self._held.setdefault(number, sent)
            raise
        self._extended(life, sent, {number: True}, self._held)

    async def _remove(self, key: SessionKey, name: str, attachment: str) -> None:
        try:
            await self._hub.store.leave(key, self.life, name, attachment)
        except AnypodError:
            self._gone.setdefault((key, name), attachment)
            raise

    # What comes round.

    def every_second(self, now: float) -> None:
        for attendance in self._attended.values():
            if attendance.lagging:
                attendance.catch_up()
        if now >= self._next_life and not self._is_living:
            self._next_life = now + LIFE_S
            self._is_living = True
            self._hub.tasks.start(self._live(), "presence")
        if now >= self._next_renewal and not self._is_renewing:
            self._renewal_s = RENEW_S * RENEWED_SHARE if self._next_renewal else 0.0
            self._next_renewal = now + RENEW_S
            self._is_renewing = True
            self._hub.tasks.start(self._renew(), "presence")

    async def _live(self) -> None:
        try:
            await self._show_life()
        except AnypodError:
            return  # the store is away: it is asked again soon
        finally:
            self._is_living = False

    async def _show_life(self) -> None:
        """Send a sign of life to each partition with members or watchers here, and read which lives hold there."""
        known = {session: attendance.lives for session, attendance in self._attended.items()}
        partitions = {partition(key) for key in (*(session.key for session in known), *self._mine)}
        if not self._hub.store.is_available:
            return
        self._held = {number: sent for number, sent in self._held.items() if number in partitions}
        life, sent, before = self.life, self._hub.clock.now(), set(self._held)
        alive = await self._hub.store.keep_life(life, sorted(partitions)) if partitions else {}
        for session, lives in known.items():
            told = alive.get(partition(session.key))
            if told is not None and (dead := lives - told.lives - {self.life}):
                self._bury(session, dead)
        self._extended(life, sent, {number: told.was_alive for number, told in alive.items()}, before)
        unrecorded, self._unrecorded = self._unrecorded, {}
        for key, name in unrecorded:
            self._record(key, name)

    def _extended(self, life: str, sent: float, was_alive: Mapping[int, bool], before: Container[int]) -> None:
        """The store has taken a sign of life in these partitions. `before`: where it may have known the life when that was sent.

        A life may have ended although the store found that it held: an entry whose answer was lost, or that overtook this sign,
        has brought it back. So the time since the sign before counts as well.
        """
        if life != self.life:
            return  # another one was taken meanwhile
        now, has_ended = self._hub.clock.now(), False
        for number, held in was_alive.items():
            last = self._held.get(number, sent)
            has_ended = has_ended or (number in before and (not held or now - last >= HELD_S))
            self._held[number] = max(last, sent)
        if has_ended:
            self._live_again()

    def _live_again(self) -> None:
        """Others may have forgotten its entries: by another life they are told of them anew."""
        self._lives += 1
        self.life = self._new_life()
        self._held.clear()
        self._next_life = 0.0  # the new life holds before its entries come, even where these are refused
        for session, attendance in self._attended.items():
            attendance.change({name: self._own(session.key, name) for name in self._mine.get(session.key, {})})
        self._next_renewal = self._renewal_s = 0.0

    def _bury(self, session: HubSession, dead: set[str]) -> None:
        key, attendance = session.key, self._attended.get(session)
        if attendance is None:
            return
        self._hub.metrics.presence_lives_ended += len(dead)
        for life, names in attendance.of_lives(dead).items():
            attendance.change({name: self._own(key, name) for name in names})
            for name in self._mine.get(key, {}).keys() & set(names):
                self._record(key, name)
            self._hub.tasks.start(self._forget(key, life, names), "presence")

    async def _forget(self, key: SessionKey, life: str, names: Sequence[str]) -> None:
        try:
            for start in range(0, len(names), MEMBERS_A_CALL):
                await self._hub.store.bury(key, life, names[start : start + MEMBERS_A_CALL])
        except AnypodError:
            return  # no client is shown them, and they expire with the session's

    async def _renew(self) -> None:
        """All entries of this replica, some of one session in each call, over most of the time until the next renewal."""
        clock = self._hub.clock
        began = clock.now()
        try:
            calls = [
                (key, names[start : start + MEMBERS_A_CALL])
                for key, members in self._mine.items()
                for names in [list(members)]
                for start in range(0, len(names), MEMBERS_A_CALL)
            ]
            for number, (key, names) in enumerate(calls, 1):
                mine = self._mine.get(key, {})
                members = [mine[name] for name in names if name in mine]
                if members:
                    await self._renew_some(key, members)
                if (early_s := began + self._renewal_s * number / len(calls) - clock.now()) > READ_RETRY_S:
                    await clock.sleep(early_s)
        finally:
            self._is_renewing = False

    async def _renew_some(self, key: SessionKey, members: Sequence[Member]) -> None:
        try:
            await self._join(key, members)
        except AnypodError:
            return  # the next renewal lists them


def _name(subscriber: Subscriber) -> str:
    """Of its entry: the device's, so that a device that comes again takes its own place; without one the attachment's."""
    if subscriber.device is None:
        return subscriber.id
    return blake2b(f"{subscriber.device}/{subscriber.author}".encode(), digest_size=8).hexdigest()


def _entry(subscriber: Subscriber, name: str, told: bytes) -> bytes:
    device = frames.encode(subscriber.device)
    return b'{"id":"%b","author":%b,"device":%b,"data":%b}' % (name.encode(), subscriber.principal.author, device, told)
