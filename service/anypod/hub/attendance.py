"""Who is attached to one session, as one replica tells its clients.

Owns the entries, and which of this replica's subscribers have been told of them. Must not know the store. What a client was told is
always what stands here: every change is told as the difference, so that a notice that was lost or came twice leaves nothing wrong.
"""

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from msgspec import Raw

from anypod.core import frames
from anypod.hub.session import Subscriber
from anypod.store import Member


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
        """From here on those who wait are told; first of all who are there."""
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
