"""What arrives over the link in use, and what it does to the history.

Owns what is delivered to the application, and the end of a closed log. Must not know how links come and go: of a link that
cannot be trusted any more it only says so.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import assert_never

from anypod.client.machine.commands import Command, Deliver, Fetch, Notify, Send
from anypod.client.machine.connector import Connector
from anypod.client.machine.inputs import PageReceived
from anypod.client.machine.outgoing import Outgoing
from anypod.client.machine.position import Fit, Position
from anypod.client.machine.transport_fallback import POLL_PAUSE_S, POLL_SLACK_S, POLL_WAIT_S, ConnectionState
from anypod.core import frames


@dataclass(frozen=True, slots=True)
class Broken:
    """Something is missing or does not belong: the link is to be replaced, from the cursor."""

    reason: str


@dataclass(frozen=True, slots=True)
class Ended:
    """The log has ended, and all of it was delivered."""


Verdict = Broken | Ended | None


class Incoming:
    def __init__(self, position: Position, connector: Connector, publisher: Outgoing, emit: Callable[[Command], None]) -> None:
        self._position = position
        self._connector = connector
        self._publisher = publisher
        self._emit = emit
        self._end: str | None = None  # the last cursor of a closed log

    def read(self, link: ConnectionState, frame: frames.ServerFrame, now: float) -> Verdict:
        match frame:
            case frames.Event():
                return self._event(frame)
            case frames.SyncDoneFrame():
                self._position.fold(frame.folded)
                is_whole = self._position.reach(frame.cursor, frame.seq) is not Fit.HOLE
                return self._synced() if is_whole else Broken("the last events are missing")
            case frames.CreatedFrame() | frames.RestoredFrame() | frames.ResetFrame() | frames.ClosedFrame():
                return self._session(link, frame, now)
            case frames.HeartbeatFrame() | frames.GoawayFrame() | frames.AuthExpiringFrame():
                return self._link(link, frame, now)
            case frames.SignalFrame() | frames.PresenceFrame():
                self._emit(Notify(frame))
            case frames.PublishedFrame() | frames.ErrorFrame():
                is_ours = self._publisher.answered(frame, now)
                if isinstance(frame, frames.ErrorFrame) and not is_ours:
                    self._emit(Notify(frame))
            case frames.AuthOkFrame() | frames.HistoryFrame():
                pass  # answers that no caller waits for
            case _:
                assert_never(frame)
        return None

    def turn(self, link: ConnectionState, page: PageReceived, now: float) -> Verdict:
        """A page of a polling link; the next one is asked for."""
        self._position.fold(page.folded)
        for event in page.events:
            verdict = self._event(event)
            if verdict is not None:
                return verdict
        self._position.turn(page.cursor)
        if page.closed and not page.more:
            return Ended()
        was_synced = link.is_synced
        verdict = None if page.more or was_synced else self._synced()
        if was_synced and not page.events and now < link.asked_at + POLL_PAUSE_S:
            link.fetch_at = now + POLL_PAUSE_S  # whatever answers, it does not wait: do not spin
        else:
            self.fetch(link, now, wait_s=0 if page.more else POLL_WAIT_S)
        return verdict

    def fetch(self, link: ConnectionState, now: float, *, wait_s: int = 0) -> None:
        """Ask a polling link for what follows. Its first pages are folded when there is no history to go on from."""
        link.asked_at, link.fetch_at = now, None
        link.give_up_at = now + wait_s + POLL_SLACK_S
        self._emit(Fetch(link.id, self._position.cursor, wait_s, link.fold if not link.is_synced else None))

    def catch_up(self, link: ConnectionState) -> Verdict:
        """Ask for what this link has kept from us; only a WebSocket can be asked."""
        cursor = self._position.cursor
        if link.transport != "websocket" or cursor is None:
            return Broken("the head is elsewhere")
        self._emit(Send(link.id, frames.SyncFrame(after=cursor)))
        return None

    def _event(self, event: frames.Event) -> Verdict:
        match fit := self._position.apply(event):
            case Fit.NEXT:
                self._emit(Deliver(event))
                self._publisher.came_by(event)
                return Ended() if event.cursor == self._end else None
            case Fit.DUPLICATE:
                return None
            case Fit.HOLE:
                return Broken("an event is missing")
            case Fit.FOREIGN:
                return Broken("the log was rewritten")
            case _:
                assert_never(fit)

    def _synced(self) -> Verdict:
        self._connector.synced()
        return Ended() if self._end is not None else None

    def _session(
        self, link: ConnectionState, frame: frames.CreatedFrame | frames.RestoredFrame | frames.ResetFrame | frames.ClosedFrame, now: float
    ) -> Verdict:
        match frame:
            case frames.CreatedFrame() | frames.RestoredFrame():
                self._position.attach(frame.cursor, frame.after_seq)
                self._position.fold(frame.folded)
                self._publisher.limit(frame.limits)
                link.attach(frame.heartbeat_ms, now)
                self._emit(Notify(frame))
            case frames.ResetFrame():
                self._reset(link, frame, now)
            case frames.ClosedFrame():
                if frame.cursor == self._position.cursor:
                    return Ended()
                self._end = frame.cursor
                return self.catch_up(link) if link.is_synced else None  # the replay brings the rest
            case _:
                assert_never(frame)
        return None

    def _reset(self, link: ConnectionState, frame: frames.ResetFrame, now: float) -> None:
        before_oldest = frame.oldest - 1 if frame.oldest > 0 else None
        self._position.reset(frame.common, frame.common_seq if frame.common is not None else before_oldest, frame.folded)
        self._publisher.void()
        self._end = None
        link.behind = None
        self._emit(Deliver(frame))
        if link.is_synced:
            self._connector.unsynced()
        if link.transport == "poll":
            self.fetch(link, now)

    def _link(
        self, link: ConnectionState, frame: frames.HeartbeatFrame | frames.GoawayFrame | frames.AuthExpiringFrame, now: float
    ) -> Verdict:
        match frame:
            case frames.HeartbeatFrame():
                self._position.fold(frame.folded or 0)
                lags = link.is_synced and link.lags(frame.cursor, self._position.cursor)
                return self.catch_up(link) if lags else None
            case frames.GoawayFrame():
                self._connector.leave(frame.reconnect_after_ms, now)
            case frames.AuthExpiringFrame():
                self._connector.renew()
            case _:
                assert_never(frame)
        return None
