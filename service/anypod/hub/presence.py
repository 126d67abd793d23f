"""Who is attached to a session, over all replicas, for those who want to know.

Owns the entries of this replica's subscribers in the store and their renewal. Only who asks for the feature `presence` is
listed and told: a session with a thousand silent readers would otherwise send a million frames when they come.
"""

from collections.abc import Sequence

from msgspec import Raw

from anypod.core import frames
from anypod.core.errors import AnypodError
from anypod.core.notices import SignalNotice, encode_notice, read_member
from anypod.hub.hub import Hub
from anypod.hub.subscriber import Phase, Subscriber

ENTRY_TTL_MS = 90_000  # outlives two missed renewals; then a dead replica's subscribers are no longer listed
RENEW_S = 30.0
PRESENCE_BYTES_MAX = 1_024  # of what one device tells of itself


class Presence:
    def __init__(self, hub: Hub) -> None:
        self._hub = hub
        self._entries: dict[Subscriber, bytes] = {}
        self._recording: set[Subscriber] = set()  # whose newest entry is on its way to the store

    def join(self, subscriber: Subscriber) -> None:
        entry = _entry(subscriber, b"null")
        self._entries[subscriber] = entry
        self._hub.tasks.start(self._join(subscriber, entry), "presence")

    async def _join(self, subscriber: Subscriber, entry: bytes) -> None:
        present = await self._record(subscriber, entry)
        if subscriber.phase is not Phase.GONE:
            subscriber.port.send(frames.encode(frames.Presence(joined=self.readable(present))))
            self._tell(subscriber, frames.Presence(joined=[Raw(entry)]))

    def readable(self, entries: Sequence[bytes]) -> list[Raw]:
        """Without those that no client could read: another version, or somebody else, may have written them."""
        sound = [member for member in map(read_member, entries) if member is not None]
        self._hub.metrics.payloads_skipped["member"] += len(entries) - len(sound)
        return sound

    def update(self, subscriber: Subscriber, told: bytes) -> None:
        """What the device tells others of itself. Raises AnypodError."""
        if len(told) > PRESENCE_BYTES_MAX:
            raise AnypodError("too_large", f"presence data is at most {PRESENCE_BYTES_MAX} bytes")
        entry = _entry(subscriber, told)
        is_new = subscriber not in self._entries
        self._entries[subscriber] = entry
        if subscriber not in self._recording:
            self._recording.add(subscriber)
            self._hub.tasks.start(self._update(subscriber), "presence")
        self._tell(subscriber, frames.Presence(joined=[Raw(entry)]) if is_new else frames.Presence(updated=[Raw(entry)]))

    async def _update(self, subscriber: Subscriber) -> None:
        """One call at a time: a device that tells of itself faster than the store answers has its newest entry recorded."""
        recorded: bytes | None = None
        try:
            while (entry := self._entries.get(subscriber)) is not None and entry is not recorded:
                await self._record(subscriber, entry)
                recorded = entry
        finally:
            self._recording.discard(subscriber)

    def leave(self, subscriber: Subscriber) -> None:
        entry = self._entries.pop(subscriber, None)
        if entry is not None and subscriber.session is not None:
            self._tell(subscriber, frames.Presence(left=[Raw(entry)]))
            self._hub.tasks.start(self._remove(subscriber), "presence")

    async def renew(self) -> None:
        """Keep this replica's entries listed. To be called every RENEW_S."""
        for subscriber, entry in list(self._entries.items()):
            await self._record(subscriber, entry)

    async def _record(self, subscriber: Subscriber, entry: bytes) -> Sequence[bytes]:
        assert subscriber.session is not None
        try:
            return await self._hub.store.join(subscriber.session.key, subscriber.id, entry, ttl_ms=ENTRY_TTL_MS)
        except AnypodError:
            return (entry,)  # the store is away: the next renewal lists it

    async def _remove(self, subscriber: Subscriber) -> None:
        assert subscriber.session is not None
        try:
            await self._hub.store.leave(subscriber.session.key, subscriber.id)
        except AnypodError:
            return  # its entry runs out by itself

    def _tell(self, subscriber: Subscriber, frame: frames.Presence) -> None:
        assert subscriber.session is not None
        notice = SignalNotice(frame=Raw(frames.encode(frame)), is_presence=True, origin=subscriber.id)
        self._hub.store.notify(subscriber.session.key, encode_notice(notice))


def _entry(subscriber: Subscriber, told: bytes) -> bytes:
    device = frames.encode(subscriber.device)
    return b'{"id":"%b","author":%b,"device":%b,"data":%b}' % (subscriber.id.encode(), subscriber.principal.author, device, told)
