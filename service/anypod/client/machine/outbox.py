"""What the application has published and the log has not yet confirmed.

Owns the entries, their order, their bounds and what is known of each. Must not know transports or time beyond the numbers given.
Ids are idempotency keys: sending an entry again is always safe while the session remembers its id, and what came by in
a replay is settled from there, for the case that it no longer does.
"""

from dataclasses import dataclass
from itertools import islice
from typing import Any, Final

import msgspec
from msgspec import UNSET

from anypod.core.errors import AnypodError
from anypod.core.event import Receipt
from anypod.core.frames import Event, PublishFrame

OUTBOX_COUNT_MAX: Final = 1_000  # a minute offline at a person's busiest; beyond it the application hears `outbox_full`
OUTBOX_BYTES_MAX: Final = 4 << 20  # 64 events of the largest size that a replica takes by default
ENTRY_BYTES: Final = 200  # what the envelope adds to the data, about


@dataclass(slots=True)
class OutboxEntry:
    """`link`: where it is in flight, None when it waits. `seen`: it came by in the log while its answer was still due. `is_refused`:
    the last answer was to send it again, and the link that said so is still there.
    """

    publish: PublishFrame
    payload: bytes | None
    size: int
    link: int | None = None
    refusals: int = 0
    is_refused: bool = False
    not_before: float = 0.0
    seen: Receipt | None = None


class PublishOutbox:
    def __init__(self, count_max: int = OUTBOX_COUNT_MAX, bytes_max: int = OUTBOX_BYTES_MAX) -> None:
        self._count_max = count_max
        self._bytes_max = bytes_max
        self._entries: dict[str, OutboxEntry] = {}  # in the order of the application's calls
        self._bytes = 0

    def __len__(self) -> int:
        return len(self._entries)

    def add(self, publish: PublishFrame, payload: bytes | None) -> AnypodError | None:
        """Take it as the last one, or say why not."""
        assert publish.id not in self._entries
        size = data_size(publish, payload) + ENTRY_BYTES
        if len(self._entries) >= self._count_max or self._bytes + size > self._bytes_max:
            return AnypodError("outbox_full", f"{len(self._entries)} events of {self._bytes} bytes wait to be sent")
        self._entries[publish.id] = OutboxEntry(publish, payload, size)
        self._bytes += size
        return None

    def take(self, event_id: str) -> OutboxEntry | None:
        """Remove what is settled."""
        entry = self._entries.pop(event_id, None)
        if entry is not None:
            self._bytes -= entry.size
        return entry

    def clear(self) -> list[OutboxEntry]:
        entries = list(self._entries.values())
        self._entries.clear()
        self._bytes = 0
        return entries

    def void(self) -> None:
        """The log was rewritten: what was seen in it may be gone."""
        for entry in self._entries.values():
            entry.seen = None

    def ready(self, now: float, window: int) -> list[OutboxEntry]:
        """What may leave now, oldest first, with at most `window` in flight.

        An entry that waits for its retry holds back those behind it.
        """
        ready: list[OutboxEntry] = []
        for entry in islice(self._entries.values(), window):
            if entry.link is None:
                if entry.not_before > now:
                    break
                ready.append(entry)
        return ready

    def find(self, event_id: str) -> OutboxEntry | None:
        return self._entries.get(event_id)

    def came_by(self, event: Event) -> Receipt | None:
        """An event of the log: the receipt if it settles an entry now. While an answer is due, that decides: the id may be another's,
        and one that was refused for the time being may be in the log and not durable yet.
        """
        entry = self._entries.get(event.id)
        if entry is None or not _is_same(entry, event):
            return None
        receipt = Receipt(event.id, event.seq, event.cursor, True)
        if entry.link is None and not entry.is_refused:
            return receipt
        entry.seen = receipt
        return None

    def lost(self, link: int) -> list[Receipt]:
        """Answers of this link will not come. The receipts of what was seen meanwhile; all else is to be sent again."""
        seen = []
        for entry in self._entries.values():
            entry.is_refused = False  # the next replica may have forgotten the id: what comes by then is not sent again
            if entry.link == link:
                entry.link = None
            if entry.link is None and entry.seen is not None:
                seen.append(entry.seen)
        return seen

    @property
    def retry_at(self) -> float | None:
        """When the first of those that wait may leave, if it was refused."""
        first = next((entry for entry in self._entries.values() if entry.link is None), None)
        return first.not_before if first is not None and first.refusals else None


def _is_same(entry: OutboxEntry, event: Event) -> bool:
    """Is it the very event? Another author's of the same id is for the replica to call a conflict."""
    publish, replaces = entry.publish, event.replaces.part if event.replaces is not None else None
    details = (publish.kind, publish.turn, publish.attempt, publish.part, publish.replaces)
    if details != (event.kind, event.turn, event.attempt, event.part, replaces):
        return False
    ours = entry.payload if entry.payload is not None else _value(publish)
    return type(ours) is type(event.data) and bool(ours == event.data)


def _value(publish: PublishFrame) -> Any:
    return None if publish.data is UNSET else msgspec.json.decode(publish.data)


def data_size(publish: PublishFrame, payload: bytes | None) -> int:
    if payload is not None:
        return len(payload)
    return 0 if publish.data is UNSET else len(bytes(publish.data))
