"""Everything of a subject or of a tenant is taken away, in the background, whichever replica is alive to do it.

Owns the record of an erasure, the lease of the replica that works on it, its pace, and its log line. Must not know what a store
holds: it is asked for one page after the other. A record is changed by compare-and-swap alone, so that of two replicas one goes on.
"""

import logging
from contextlib import suppress
from hashlib import blake2b
from random import Random
from typing import Final, Literal, NamedTuple

import msgspec
from msgspec import Struct

from anypod.core.errors import AnypodError
from anypod.core.identity import Subject, TenantId
from anypod.hub.hub import Hub
from anypod.store import Erased

LOOK_S: Final = 3.0  # between two looks for an erasure that no replica works on
LEASE_MS: Final = 15_000  # a replica that has not told of its progress for so long is taken for dead
TELL_S: Final = 1.0  # between two records of progress
PAGE_KEYS: Final = 200  # that a server looks at in one call: about 100 µs
PAUSE_S: Final = 0.05  # between two pages: 4,000 keys a second, which no client notices
PASSES_MAX: Final = 5  # over all keys, until one finds nothing more: what was created or moved meanwhile is found by the next
KEPT_MS: Final = 7 * 86_400_000  # the result of an erasure can be asked for so long

logger = logging.getLogger(__name__)

Status = Literal["running", "done"]


class Target(NamedTuple):
    """`subject` None: the whole tenant."""

    tenant: TenantId
    subject: Subject | None


class Erasure(Struct, omit_defaults=True):
    """One as it is recorded. Once it is done, `subject` is no longer there: its digest is. `by`: the digest of the requesting subject.

    `cursor`: where the present pass is; `erased_by_pass`: what it has taken away so far. `erased`: sessions that were there;
    `records`: these, tombstones and indexes. `holder`: the replica that works on it, until `lease_until_ms`.
    """

    name: str
    tenant: TenantId
    digest: str
    by: str
    asked_ms: int
    subject: Subject | None = None
    is_tenant: bool = False
    status: Status = "running"
    passes: int = 0
    cursor: str = ""
    erased_by_pass: int = 0
    erased: int = 0
    records: int = 0
    holder: str = ""
    lease_until_ms: int = 0
    finished_ms: int = 0


_erasure: Final = msgspec.json.Decoder(Erasure)


def digest_of(name: str) -> str:
    """What stands for a name where the name should not."""
    return blake2b(name.encode(), digest_size=8).hexdigest()


class Erasures:
    """`every_second`: called once a second by the housekeeping."""

    def __init__(self, hub: Hub, rng: Random) -> None:
        self._hub = hub
        self._rng = rng
        self._holder = f"{hub.options.replica}.{rng.getrandbits(64):016x}"
        self._next_look = 0.0
        self._is_working = False

    async def ask(self, target: Target, by: Subject) -> Erasure:
        """The erasure of this target that is under way, or a new one. Raises AnypodError."""
        for held in await self._records():
            if held.status == "running" and (held.tenant, held.subject) == target:
                return held
        asked = Erasure(
            name=f"{self._rng.getrandbits(128):032x}",
            tenant=target.tenant,
            subject=target.subject,
            is_tenant=target.subject is None,
            digest=digest_of(target.subject or target.tenant),
            by=digest_of(by),
            asked_ms=self._hub.clock.wall_ms(),
        )
        await self._hub.store.swap_erasure(asked.name, None, msgspec.json.encode(asked), ttl_ms=KEPT_MS)
        logger.info("erasure %s of %s was asked for by %s", asked.name, _what(asked), asked.by)
        self._next_look = 0.0
        return asked

    async def find(self, tenant: TenantId, name: str) -> Erasure | None:
        """One of this tenant's. Raises AnypodError."""
        return next((held for held in await self._records() if (held.name, held.tenant) == (name, tenant)), None)

    def every_second(self, now: float) -> None:
        if now >= self._next_look and not self._is_working and not self._hub.is_leaving and self._hub.store.is_available:
            self._next_look = now + LOOK_S
            self._is_working = True
            self._hub.tasks.start(self._work(), "erasures")

    async def _work(self) -> None:
        try:
            for held in await self._records():
                await self._forget_if_old(held)
                if held.status == "running" and held.lease_until_ms <= self._hub.clock.wall_ms():
                    await self._carry_out(held)
        except AnypodError as error:
            logger.warning("an erasure waits: %s", error.message)  # for the store, or for another replica
        finally:
            self._is_working = False

    async def _carry_out(self, work: Erasure) -> None:
        """From where it stands to its end, or until this replica leaves or another one has taken it."""
        clock, store = self._hub.clock, self._hub.store
        before = msgspec.json.encode(work)
        if work.holder:
            logger.info("erasure %s of %s is taken over from a replica that is gone", work.name, _what(work))
        work.holder, next_tell = self._holder, float("-inf")
        while True:
            is_over = work.status == "done" or self._hub.is_leaving
            if is_over or clock.now() >= next_tell:
                next_tell = clock.now() + TELL_S
                work.lease_until_ms = 0 if is_over else clock.wall_ms() + LEASE_MS
                after = msgspec.json.encode(work)
                if not await store.swap_erasure(work.name, before, after, ttl_ms=KEPT_MS):
                    return  # the replica that changed it goes on
                before = after
            if is_over:
                break
            page = await store.erase(work.tenant, work.subject, work.cursor, limit=PAGE_KEYS)
            self._advance(work, page)
            await clock.sleep(PAUSE_S)
        if work.status == "done":
            took_s = (work.finished_ms - work.asked_ms) / 1_000
            logger.info(
                "erasure %s of %s, asked for by %s: done after %.1f s and %d passes; %d sessions, %d records",
                *(work.name, _what(work), work.by, took_s, work.passes, work.erased, work.records),
            )

    def _advance(self, work: Erasure, page: Erased) -> None:
        work.cursor = page.cursor
        work.erased += page.sessions
        work.records += page.records
        work.erased_by_pass += page.records
        if page.cursor:
            return
        work.passes += 1
        if work.erased_by_pass == 0 or work.passes >= PASSES_MAX:
            work.status, work.subject, work.finished_ms = "done", None, self._hub.clock.wall_ms()
        work.erased_by_pass = 0

    async def _records(self) -> list[Erasure]:
        """What another version has written and this one cannot read is another version's to carry out."""
        held = list[Erasure]()
        for text in (await self._hub.store.erasures()).values():
            with suppress(msgspec.MsgspecError):
                held.append(_erasure.decode(text))
        return held

    async def _forget_if_old(self, held: Erasure) -> None:
        if held.status == "done" and held.finished_ms + KEPT_MS <= self._hub.clock.wall_ms():
            await self._hub.store.swap_erasure(held.name, msgspec.json.encode(held), None, ttl_ms=KEPT_MS)


def _what(work: Erasure) -> str:
    """For a log line, which names no subject."""
    return f"tenant {work.digest}" if work.is_tenant else f"subject {work.digest}"
