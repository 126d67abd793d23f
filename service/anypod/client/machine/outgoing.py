"""Bring what the application publishes into the log, each event once and in order.

Owns the outbox: what is sent when, what is sent again, and what became of it. Must not know how links come and go.
"""

from collections.abc import Callable
from typing import Final, assert_never

from anypod.client.machine.commands import Command, Complete, Post, Send
from anypod.client.machine.inputs import Publish
from anypod.client.machine.outbox import ENTRY_BYTES, OutboxEntry, PublishOutbox
from anypod.client.machine.transport_fallback import ConnectionState, full_jitter_s
from anypod.core.errors import CODES, AnypodError
from anypod.core.event import Receipt
from anypod.core.frames import ConnectionLimits, ErrorFrame, Event, PublishedFrame

IN_FLIGHT_MAX: Final = 32  # at 50 frames of speech a second, over half a second's round trip
RETRY_S_MIN: Final = 0.1  # a server's hint of nothing is not an invitation to spin


class Outgoing:
    """Sends in the order of the application's calls.

    With several in flight, one that is refused for now may be overtaken by those sent after it; an `in_flight_max` of 1 rules that out.
    """

    def __init__(self, outbox: PublishOutbox, in_flight_max: int, chance: Callable[[], float], emit: Callable[[Command], None]) -> None:
        self._outbox = outbox
        self._in_flight_max = in_flight_max
        self._chance = chance
        self._emit = emit
        self._limits: ConnectionLimits | None = None

    @property
    def retry_at(self) -> float | None:
        return self._outbox.retry_at

    def limit(self, limits: ConnectionLimits) -> None:
        self._limits = limits

    def offer(self, given: Publish) -> None:
        error = self._outbox.add(given.publish, given.payload)
        if error is not None:
            self._emit(Complete(given.publish.id, error))

    def flush(self, link: ConnectionState, now: float) -> None:
        """Send what may leave over a link that is up to date: before `sync.done`, an event might turn out to be in the log already."""
        match link.transport:
            case "websocket":
                window = self._in_flight_max
            case "sse" | "poll":
                window = 1  # requests may overtake each other on the way
            case _:
                assert_never(link.transport)
        for entry in self._outbox.ready(now, window):
            if self._is_too_large(entry):
                self._fail(entry.publish.id, AnypodError("too_large"))
                continue
            entry.link = link.id
            if link.transport == "websocket":
                self._emit(Send(link.id, entry.publish, entry.payload))
            else:
                self._emit(Post(entry.publish, entry.payload))

    def _is_too_large(self, entry: OutboxEntry) -> bool:
        """A replica would close the connection over it, for all the others too."""
        if self._limits is None:
            return False
        return entry.size - ENTRY_BYTES > self._limits.data_bytes or entry.size > self._limits.frame_bytes

    def answered(self, frame: PublishedFrame | ErrorFrame, now: float) -> bool:
        """False: the answer is to none of ours."""
        match frame:
            case PublishedFrame():
                return self._settle(Receipt(frame.id, frame.seq, frame.cursor, frame.duplicate))
            case ErrorFrame():
                entry = self._outbox.find(frame.ref) if isinstance(frame.ref, str) else None
                if entry is not None:
                    self._refused(entry, frame, now)
                return entry is not None
            case _:
                assert_never(frame)

    def _refused(self, entry: OutboxEntry, frame: ErrorFrame, now: float) -> None:
        error = error_of(frame)
        if not error.row.is_retryable:
            self._fail(entry.publish.id, error)
        else:  # also when it has come by: in the log, it may not be as durable as it must be, and only an answer says that it is
            wait_s = frame.retry_after_ms / 1000 if frame.retry_after_ms is not None else full_jitter_s(entry.refusals, self._chance())
            entry.is_refused, entry.link = entry.link is not None, None
            entry.refusals += 1
            entry.not_before = now + max(wait_s, RETRY_S_MIN)

    def came_by(self, event: Event) -> None:
        receipt = self._outbox.came_by(event)
        if receipt is not None:
            self._settle(receipt)

    def lost(self, link: ConnectionState) -> None:
        for receipt in self._outbox.lost(link.id):
            self._settle(receipt)

    def give_up(self, error: AnypodError) -> None:
        for entry in self._outbox.clear():
            self._emit(Complete(entry.publish.id, entry.seen or error))

    def void(self) -> None:
        self._outbox.void()

    def _settle(self, receipt: Receipt) -> bool:
        if self._outbox.take(receipt.id) is None:
            return False  # settled before: an event of the log and its answer arrive in either order
        self._emit(Complete(receipt.id, receipt))
        return True

    def _fail(self, event_id: str, error: AnypodError) -> None:
        self._outbox.take(event_id)
        self._emit(Complete(event_id, error))


def error_of(frame: ErrorFrame) -> AnypodError:
    """An error frame as the application meets it. A code of a later version is not known to be worth another attempt."""
    for code in CODES:
        if code == frame.code:
            return AnypodError(code, frame.message, retry_after_ms=frame.retry_after_ms)
    return AnypodError("malformed", f"{frame.code}: {frame.message}")
