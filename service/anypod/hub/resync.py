"""Bring a session back to where its log stands.

Owns the reads after a gap, a barrier or a quiet while, and their repetition while the store is away. Must not know subscribers
beyond this: where the log turns out to be another one, everybody is behind, and judged by their own cursor.
"""

from collections.abc import Iterable
from typing import TYPE_CHECKING, Final

from anypod.auth import is_authorised
from anypod.core.cursor import judge_place
from anypod.core.errors import AnypodError
from anypod.hub.session import HubSession
from anypod.hub.subscriber import SubscriberPhase
from anypod.hub.tail import TAIL_BYTES_MAX
from anypod.store import LogHead, Missing, Page

if TYPE_CHECKING:
    from anypod.hub.hub import Hub

RETRY_S_MIN: Final = 0.1  # between reads of the log while the store is away
RETRY_S_MAX: Final = 2.0
RESYNC_EVENTS_MAX: Final = 512  # a page of a resync: what a feed loses while it reconnects
HEADS_MAX: Final = 200  # sessions asked about in one call


class Resync:
    def __init__(self, hub: "Hub") -> None:
        self._hub = hub

    def ask(self, session: HubSession) -> None:
        session.resync_again = True
        if not session.is_resyncing and session.is_ready:
            session.is_resyncing = True
            self._hub.tasks.start(self._resync(session), "resync")

    async def _resync(self, session: HubSession) -> None:
        pause_s = RETRY_S_MIN
        try:
            while session.resync_again and self._hub.sessions.get(session.key) is session:
                if await self._read_page(session):
                    pause_s = RETRY_S_MIN
                else:
                    await self._hub.clock.sleep(pause_s)
                    pause_s = min(2 * pause_s, RETRY_S_MAX)
        finally:
            session.is_resyncing = False
            self._wake(session)

    async def _read_page(self, session: HubSession) -> bool:
        """False: the store is away."""
        session.resync_again = False
        try:
            is_at_head = await self._read_missed(session)
        except AnypodError as error:
            if not error.row.is_retryable:
                raise
            session.resync_again = True
            return False
        session.resync_again = session.resync_again or not is_at_head
        return True

    async def _read_missed(self, session: HubSession) -> bool:
        """One page; True when the session stands at the head that the page saw."""
        after, cursor = session.seq, session.cursor
        page = await self._hub.store.read(session.key, after, limit=RESYNC_EVENTS_MAX, bytes_max=TAIL_BYTES_MAX)
        if isinstance(page, Missing):
            self._hub.vanished(session, page)
            return True
        if judge_place(cursor, after, page.snapshot.facts) is not None or not session.cover(page):
            await self._start_over(session)
            return True
        self._hub.flush(session)
        if page.snapshot.is_closed and not page.has_more:
            self._hub.closed(session)
        return not page.has_more

    async def _start_over(self, session: HubSession) -> None:
        """The log is another one than the session stood in: everybody attached is behind, and judged by their own cursor."""
        for subscriber in tuple(session.live):
            session.leave(subscriber)
        page = await self._hub.store.read(session.key, None, limit=0)
        if isinstance(page, Missing):
            self._hub.vanished(session, page)
            return
        self._send_away(session, page)
        self._hub.settle(session, page, page.snapshot.facts.head.seq)
        session.resync_again = True  # what the feed brought between this read and here was not taken

    def _send_away(self, session: HubSession, page: Page) -> None:
        """The log may have come to be another owner's: whom it does not reach any more is told nothing of it."""
        for subscriber in session.members:
            if not is_authorised(subscriber.principal, session.key.session, "read", owner=page.snapshot.owner):
                self._hub.dismiss(subscriber, AnypodError("no_such_session"))

    def _wake(self, session: HubSession) -> None:
        for subscriber in session.members:
            if subscriber.phase is SubscriberPhase.BEHIND:
                self._hub.catch_up.go_on(subscriber)

    async def check_heads(self, sessions: Iterable[HubSession]) -> None:
        """A quiet feed is no proof of a quiet log: ask the log."""
        asked = list(sessions)
        for start in range(0, len(asked), HEADS_MAX):
            chunk = asked[start : start + HEADS_MAX]
            stood = [session.seq for session in chunk]
            heads = await self._hub.store.heads([session.key for session in chunk])
            claims = [(session, head.claim) for session in chunk if session.devices and (head := heads.get(session.key)) is not None]
            claimed = [(session, claim) for session, claim in claims if claim != session.claims_checked]
            for session, seq in zip(chunk, stood, strict=True):
                if session.is_ready and session.key in heads and _is_elsewhere(session, seq, heads[session.key]):
                    self.ask(session)
            if claimed:
                await self._hub.devices.check(claimed)


def _is_elsewhere(session: HubSession, seq: int, head: LogHead | None) -> bool:
    if head is None or session.snapshot is None:
        return True
    if head.version > session.snapshot.version:
        return True
    return head.cursor != session.cursor and session.seq == seq  # it has not moved since, and still differs
