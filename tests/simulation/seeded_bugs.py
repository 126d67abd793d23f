"""Bugs that the product does not have, each planted in one part of a world.

Owns the bugs. Must not touch the product: each is a part of a replica or of the store that does one thing wrong.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

from msgspec import structs
from tests.simulation.instrumented_server import InstrumentedServer, SmallPages
from tests.simulation.network import GRAIN_S, Bytes
from tests.simulation.ports import DirectPort
from tests.simulation.replica import Parts
from tests.simulation.world import Making

from anypod.core.cursor import Facts
from anypod.core.errors import AnypodError
from anypod.core.event import Receipt
from anypod.core.identity import SessionKey
from anypod.hub.delivery import Batch
from anypod.hub.hub import Hub
from anypod.hub.session import HubSession
from anypod.memory_store import MemoryServer
from anypod.memory_store.log import Log
from anypod.store import PAGE_BYTES_MAX, Append, Done, Missing, Page, Results
from anypod.transport.asgi.queued_port import QueuedPort


class SubscribesAfterReading(SmallPages):
    """What is logged between the read and the subscription, a network's way later, is never heard."""

    def __init__(self, server: MemoryServer, page_events_max: int) -> None:
        super().__init__(server, page_events_max)
        self._late: set[SessionKey] = set()

    async def subscribe(self, key: SessionKey) -> None:
        self._late.add(key)

    async def read(
        self, key: SessionKey, after: int | None, *, limit: int, fold: bool = False, bytes_max: int = PAGE_BYTES_MAX
    ) -> Page | Missing:
        page = await super().read(key, after, limit=limit, fold=fold, bytes_max=bytes_max)
        if key in self._late:
            self._late.discard(key)
            await asyncio.sleep(32 * GRAIN_S)
            await super().subscribe(key)
        return page


class DeafToBarriers(Hub):
    """The feed was interrupted, and the log is not read again."""

    def on_barrier(self, keys: Sequence[SessionKey]) -> None:
        self.metrics.barriers += 1


class TrustsTheFeed(Hub):
    """A jump in seq is taken for what it is not: nothing."""

    _is_listening = False

    def on_batch(self, batch: Sequence[tuple[SessionKey, bytes]]) -> None:
        self._is_listening = True
        super().on_batch(batch)
        self._is_listening = False

    def resync(self, session: HubSession) -> None:
        if not self._is_listening:
            super().resync(session)


class ForgetsIds(InstrumentedServer):
    """Deduplication is off."""

    def append(self, request: Append) -> Results:
        if log := self._find(request.key):
            log.ids.clear()
        return super().append(request)


class IgnoresBodies(InstrumentedServer):
    """An id alone makes a duplicate, whatever the event says."""

    def append(self, request: Append) -> Results:
        log = self._find(request.key)
        known = log.ids if log else {}
        drafts = [structs.replace(item, digest=known[item.id].digest) if item.id in known else item for item in request.drafts]
        request.drafts = drafts
        return super().append(request)


class RetriesBlindly(SmallPages):
    """A library below the idempotency check sends again whatever got no reply."""

    def cut(self, *, is_feed_only: bool) -> None:
        unanswered = [] if is_feed_only else [reply.request for reply in self._replies]
        super().cut(is_feed_only=is_feed_only)
        for request in unanswered:
            if log := self._server._find(request.key):
                for item in request.drafts:
                    log.ids.pop(item.id, None)


class AcceptsAndLoses(SmallPages):
    """A publish that the store did not take is acknowledged all the same."""

    def append(self, request: Append, done: Done) -> None:
        made_up = [Receipt(item.id, 1, "made-1abcdef-1-1000000000", False) for item in request.drafts]

        def answer(request: Append, result: Results | AnypodError) -> None:
            done(request, made_up if isinstance(result, AnypodError) and result.code == "unavailable" else result)

        super().append(request, answer)


class OneTerm(InstrumentedServer):
    """Every incarnation of the server looks like the first."""

    def _next_incarnation(self) -> str:
        return "abcdef"


class NoFence(InstrumentedServer):
    """Any attempt of a turn may write."""

    def append(self, request: Append) -> Results:
        log = self._find(request.key)
        drafts = [structs.replace(item, fence=log.fences.get(item.turn)) if log and item.turn else item for item in request.drafts]
        request.drafts = drafts
        return super().append(request)


class FoldsOpenParts(InstrumentedServer):
    """Housekeeping does not ask whether a part has ended."""

    def tidy(self, key: SessionKey, turn: str = "") -> int | None:
        log = self._find(key)
        if log is None:
            return super().tidy(key, turn)
        opened, log.streams.open = log.streams.open, {}
        in_ms = super().tidy(key, turn)
        log.streams.open = opened
        return in_ms


class HidesTrims(InstrumentedServer):
    """A reader below what was trimmed is not told."""

    def _page(self, log: Log, after: int | None, limit: int, *, is_folded: bool = False, bytes_max: int = PAGE_BYTES_MAX) -> Page:
        page = super()._page(log, after, limit, is_folded=is_folded, bytes_max=bytes_max)
        facts = page.snapshot.facts
        hidden = Facts(facts.head, 1, max(facts.folded, facts.oldest - 1), facts.terms, facts.tag_at)
        return replace(page, snapshot=replace(page.snapshot, facts=hidden))


class InventsTrims(InstrumentedServer):
    """All but the newest events are said to be gone, though they are kept."""

    def _page(self, log: Log, after: int | None, limit: int, *, is_folded: bool = False, bytes_max: int = PAGE_BYTES_MAX) -> Page:
        page = super()._page(log, after, limit, is_folded=is_folded, bytes_max=bytes_max)
        facts = page.snapshot.facts
        invented = replace(facts, oldest=max(facts.oldest, facts.head.seq - 5))
        return replace(page, snapshot=replace(page.snapshot, facts=invented))


class DropsDirectly(DirectPort):
    """What a full line does not take is gone."""

    def deliver(self, batch: Batch) -> None:
        for frame in batch.frames:
            if not self.line.down.is_full:
                self.line.down.send(Bytes(frame))


class DropsQueued(QueuedPort):
    """What a full outbox does not take is gone."""

    def _put(self, frames: Sequence[bytes]) -> None:
        if self._emptied.is_set():
            super()._put(frames)


class Planted(NamedTuple):
    """A bug, the guarantees that it breaks, and how many worlds find it at the latest."""

    making: Making
    guarantees: tuple[int, ...]
    worlds_max: int = 400


PLANTED: dict[str, Planted] = {
    "subscribes after reading": Planted(Making(store=SubscribesAfterReading), (1,)),
    "no gap barrier": Planted(Making(parts=Parts(hub=DeafToBarriers)), (1, 4)),
    "no gap detection": Planted(Making(parts=Parts(hub=TrustsTheFeed)), (1,)),
    "deduplication off": Planted(Making(server=ForgetsIds), (3,)),
    "conflicts unseen": Planted(Making(server=IgnoresBodies), (3,)),
    "library retries on": Planted(Making(store=RetriesBlindly), (3,)),
    "accepted and lost": Planted(Making(store=AcceptsAndLoses), (2,)),
    "no term": Planted(Making(server=OneTerm), (4,)),
    "no fence": Planted(Making(server=NoFence), (6,)),
    "folds above an open part": Planted(Making(server=FoldsOpenParts), (1,)),
    "trims in silence": Planted(Making(server=HidesTrims), (1,), worlds_max=800),
    "invents trims": Planted(Making(server=InventsTrims), (4,)),
    "outbox drops in silence": Planted(Making(parts=Parts(direct_port=DropsDirectly, queued_port=DropsQueued)), (1,)),
}
