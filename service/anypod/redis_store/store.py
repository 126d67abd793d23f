"""One replica's door to the sessions in Redis.

Owns what each method of the store asks, and of which node: of one session's keys one, of a subject's index perhaps another.
Must not know how a call is answered: the scripts decide, `log` and `pages` read their replies.
"""

import random
from collections.abc import Mapping, Sequence
from typing import Final

from anypod.clock import Clock
from anypod.core.errors import AnypodError
from anypod.core.identity import SessionId, SessionKey, Subject, TenantId, partition
from anypod.redis_store.config import RedisOptions
from anypod.redis_store.erasure import Eraser
from anypod.redis_store.fields import FIELDS
from anypod.redis_store.functions import FunctionLibrary
from anypod.redis_store.keys import Keyspace, random_tags
from anypod.redis_store.log.append_codec import owner_field
from anypod.redis_store.log.read_codec import bare_page, class_numbers, history_page, missing, page
from anypod.redis_store.log.requests import RequestRouter
from anypod.redis_store.nodes import NodeContext, Router
from anypod.redis_store.wire.connection import LOST, Reply, pack
from anypod.redis_store.wire.errors import list_of, text_of
from anypod.store import (
    PAGE_BYTES_MAX,
    SUBJECT_DELETIONS_MAX,
    TENANT_DELETIONS_MAX,
    Append,
    BackwardPage,
    Creation,
    Done,
    Due,
    Erased,
    Listing,
    Lives,
    LogHead,
    Member,
    Missing,
    Page,
    Sink,
    Usage,
)
from anypod.telemetry import Metrics

GHOSTS_MAX: Final = 1_000  # sessions of one subject that are looked for at once


PRESENT_STEP: Final = 500  # entries of presence that are looked at in one call: about a millisecond of the server


class RedisStore:
    def __init__(self, options: RedisOptions, clock: Clock, rng: random.Random, metrics: Metrics | None = None) -> None:
        self._clock = clock
        self._keyspace = Keyspace(options.prefix)
        self._library = FunctionLibrary(options.incarnation)
        self._router = router = Router(
            NodeContext(options, clock, rng, self._keyspace, self._library, random_tags(rng), metrics or Metrics())
        )
        self._writes = RequestRouter(options, clock, self._library, pick=lambda name: router.node(name).writes, on_moved=router.renew)
        self._reads = RequestRouter(options, clock, self._library, pick=lambda name: router.node(name).reads, on_moved=router.renew)
        self._eraser = Eraser(self._keyspace, router, self._writes)

    async def open(self, sink: Sink) -> None:
        await self._router.open(sink)

    async def close(self) -> None:
        await self._router.close()

    @property
    def is_available(self) -> bool:
        """Of a cluster one node is enough: its sessions are served, and the others' wait for theirs."""
        return any(node.is_up for node in self._router.nodes)

    # The feed.
    async def subscribe(self, key: SessionKey) -> None:
        await self._router.of(key).feed.subscribe(key)

    def unsubscribe(self, key: SessionKey) -> None:
        self._router.of(key).feed.unsubscribe(key)

    def notify(self, key: SessionKey, notice: bytes) -> None:
        channel = self._keyspace.session(key).channel
        self._writes.tell(channel, pack("SPUBLISH", channel, notice))

    # The log.
    def append(self, request: Append, done: Done) -> None:
        self._router.of(request.key).writer.append(request, done)

    async def read(
        self, key: SessionKey, after: int | None, *, limit: int, fold: bool = False, bytes_max: int = PAGE_BYTES_MAX
    ) -> Page | Missing:
        names = self._keyspace.session(key)
        keys = (names.meta, names.log, names.deltas, names.live)
        position = b"" if after is None else b"%d" % after
        reply = list_of(await self._reads.call("read", keys, position, limit, bytes_max, b"fold" if fold else b"", is_repeatable=True))
        return missing(reply) if reply[0] == b"!" else page(reply, after, limit, bytes_max)

    async def verify_primary(self) -> None:
        await self._router.verify_primary()

    async def history(self, key: SessionKey, before: int | None, *, limit: int, bytes_max: int = PAGE_BYTES_MAX) -> BackwardPage:
        names = self._keyspace.session(key)
        end = b"+" if before is None else b"%d" % (before - 1)
        return history_page(list_of(await self._reads.call("history", (names.meta, names.log), end, limit, bytes_max, is_repeatable=True)))

    async def heads(self, keys: Sequence[SessionKey]) -> Mapping[SessionKey, LogHead | None]:
        metas = [self._keyspace.meta(key) for key in keys]
        replies = await self._reads.ask_those_up(metas, list(map(_ask_head, metas)))
        return {key: _head(reply) for key, reply in zip(keys, replies, strict=True) if reply is not LOST}

    # Sessions.
    async def create(self, creation: Creation) -> tuple[Page, bool]:
        key, item = creation.key, creation.session_class
        try:
            reserved = await self._reserve(creation)
        except AnypodError as error:
            if error.code != "quota_exceeded":
                raise
            return await self._existing(creation, error), False
        names = self._keyspace.session(key)
        try:
            reply = await self._writes.call(
                "create",
                (names.meta, names.log, names.deltas, names.live, names.presence),
                owner_field(creation.owner),
                creation.epoch.encode(),
                item.name.encode(),
                class_numbers(item),
                item.ttl_ms,
                item.live_ms,
                creation.state,
                creation.live,
                creation.metadata,
            )
        except AnypodError as error:
            if reserved == b"+" and error.code != "unavailable":  # then it is unknown whether it was made: `_release_ghosts` will
                await self._release(key.tenant, creation.owner, key.session)
            raise
        label, fields = list_of(reply)
        return bare_page(fields), label == b"+"

    async def _reserve(self, creation: Creation) -> Reply:
        """A place in the index. Before it is refused, places are given back whose session is not there: a reply was lost."""
        tenant, owner = creation.key.tenant, creation.owner
        index = self._keyspace.index(tenant, owner)
        session, ttl_ms = creation.key.session.encode(), creation.session_class.ttl_ms
        reserved = await self._writes.call("reserve", index, session, ttl_ms, creation.sessions_max)
        if reserved == b"?":
            await self._release_ghosts(tenant, owner)
            reserved = await self._writes.call("reserve", index, session, ttl_ms, creation.sessions_max)
        return reserved

    async def _release_ghosts(self, tenant: TenantId, owner: Subject) -> None:
        index = self._keyspace.index(tenant, owner)
        listed = [text_of(name) for name in list_of(await self._writes.call("settled", index, GHOSTS_MAX, is_repeatable=True))]
        metas = [self._keyspace.meta(SessionKey(tenant, SessionId(name))) for name in listed]
        owners = await self._reads.ask_those_up(metas, [pack("HGET", meta, FIELDS["owner"]) for meta in metas])
        theirs = owner_field(owner)
        if ghosts := [name for name, found in zip(listed, owners, strict=True) if found not in (theirs, LOST)]:
            await self._release(tenant, owner, *ghosts)

    async def _release(self, tenant: TenantId, owner: Subject, *sessions: str, was_deleted: bool = False) -> bool:
        """Whether a deletion is to be remembered."""
        index = self._keyspace.index(tenant, owner)
        names = [name.encode() for name in sessions]
        most = b"%d" % SUBJECT_DELETIONS_MAX if was_deleted else b""
        held, last, is_kept = map(_number, list_of(await self._writes.call("release", index, most, *names, is_repeatable=True)))
        _, is_kept_too = await self._tally(tenant, owner, held, last, was_deleted=was_deleted)
        return bool(is_kept) and is_kept_too

    async def _tally(self, tenant: TenantId, owner: Subject, held: int, last_ms: int, *, was_deleted: bool = False) -> tuple[int, bool]:
        """What the tenant holds with so much of its subject, and whether a deletion is to be remembered."""
        subject = self._keyspace.digest(owner).encode()
        most = b"%d" % TENANT_DELETIONS_MAX if was_deleted else b""
        reply = await self._writes.call("tally", self._keyspace.tenant(tenant), subject, held, last_ms, most, is_repeatable=True)
        total, is_kept = map(_number, list_of(reply))
        return total, bool(is_kept)

    async def _existing(self, creation: Creation, error: AnypodError) -> Page:
        """A session of this owner that is there already costs no quota, even when the index has forgotten it."""
        found = await self.read(creation.key, None, limit=0)
        if isinstance(found, Missing) or found.snapshot.owner != creation.owner:
            raise error
        return found

    async def end(self, key: SessionKey, owner: Subject | None) -> str:
        names = self._keyspace.session(key)
        return text_of(await self._writes.call("end", (names.meta,), names.channel, owner_field(owner), is_repeatable=True))[1:]

    async def delete(self, key: SessionKey, owner: Subject | None) -> None:
        names = self._keyspace.session(key)
        keys = (names.meta, names.log, names.deltas, names.live, names.presence)
        reply = text_of(await self._writes.call("delete", keys, names.channel, owner_field(owner)))
        was_there, last_owner = reply[0] == "+", Subject(reply[2:])
        # Again where it was deleted before: the reply of that may have been lost with the place in the index still taken.
        is_kept = await self._release(key.tenant, last_owner, key.session, was_deleted=was_there)
        if not is_kept:
            await self._writes.call("forget_deleted", (names.meta,), is_repeatable=True)
        if not was_there:
            raise AnypodError("no_such_session")

    async def sessions(self, tenant: TenantId, owner: Subject, *, before_ms: int | None, limit: int) -> Sequence[Listing]:
        before = b"" if before_ms is None else b"%d" % before_ms
        index = self._keyspace.index(tenant, owner)
        flat = list_of(await self._writes.call("list", index, before, limit, is_repeatable=True))
        pairs = zip(flat[::2], flat[1::2], strict=True)
        return [Listing(SessionKey(tenant, SessionId(text_of(session))), int(float(text_of(at)))) for session, at in pairs]

    async def touch(self, key: SessionKey) -> Usage | None:
        names = self._keyspace.session(key)
        found = await self._reads.call("measure", (names.meta, names.log, names.deltas), is_repeatable=True)
        if found is None:
            return None
        whose, expires_ms, size = list_of(found)
        owner = Subject(text_of(whose)[1:])
        index = self._keyspace.index(key.tenant, owner)
        session = key.session.encode()
        reply = await self._writes.call("touch", index, session, _number(expires_ms), _number(size), is_repeatable=True)
        held, last_ms, _ = map(_number, list_of(reply))
        total, _ = await self._tally(key.tenant, owner, held, last_ms)
        return Usage(owner, held, total)

    async def usage(self, tenant: TenantId, owner: Subject) -> Usage:
        index = self._keyspace.index(tenant, owner)
        held, last_ms, is_due = map(_number, list_of(await self._writes.call("touch", index, b"", 0, 0, is_repeatable=True)))
        if is_due:
            await self._release_ghosts(tenant, owner)
            held, last_ms, _ = map(_number, list_of(await self._writes.call("touch", index, b"", 0, 0, is_repeatable=True)))
        total, _ = await self._tally(tenant, owner, held, last_ms)
        return Usage(owner, held, total)

    async def raise_fence(self, key: SessionKey, turn: str) -> int:
        reply = await self._writes.call("raise_fence", (self._keyspace.session(key).meta,), turn.encode(), is_repeatable=True)
        return int(text_of(reply)[1:])

    async def keep(self, key: SessionKey) -> int:
        names = self._keyspace.session(key)
        reply = await self._writes.call("keep", (names.meta, names.log, names.deltas), is_repeatable=True)
        return int(text_of(reply)[1:])

    # Housekeeping.
    async def tidy(self, key: SessionKey, turn: str = "") -> int | None:
        names, calendar = self._keyspace.session(key), self._keyspace.calendar(partition(key))
        keys = (names.meta, names.log, names.deltas, calendar)
        reply = await self._writes.call("tidy", keys, _calendar_name(key), turn.encode(), is_repeatable=True)
        in_ms = int(text_of(reply)[1:])
        return None if in_ms < 0 else in_ms

    def schedule(self, key: SessionKey, in_ms: int) -> None:
        calendar = self._keyspace.calendar(partition(key))
        self._writes.tell(calendar, pack("FCALL", self._library.name("schedule"), 1, calendar, _calendar_name(key), in_ms))

    async def due(self, number: int, *, limit: int) -> Sequence[Due]:
        _, *flat = list_of(await self._writes.call("due", (self._keyspace.calendar(number),), limit, is_repeatable=True))
        return [Due(_key_of(text_of(name)), text_of(turn)) for name, turn in zip(flat[::2], flat[1::2], strict=True)]

    # Devices.
    async def claim(self, key: SessionKey, place: str) -> int:
        names = self._keyspace.session(key)
        # Repeated it is a newer claim of the same attachment, which knows only the second number.
        reply = await self._writes.call("claim", (names.meta, names.claims), place.encode(), is_repeatable=True)
        return int(text_of(reply)[1:])

    async def claims(self, places: Sequence[tuple[SessionKey, str]]) -> Sequence[int]:
        names = [self._keyspace.session(key).claims for key, _ in places]
        commands = [pack("ZSCORE", name, place) for name, (_, place) in zip(names, places, strict=True)]
        replies = await self._reads.ask_those_up(names, commands)
        return [int(float(reply)) if isinstance(reply, bytes) else 0 for reply in replies]

    def withdraw(self, key: SessionKey, place: str, number: int) -> None:
        claims = self._keyspace.session(key).claims
        self._writes.tell(claims, pack("FCALL", self._library.name("withdraw"), 1, claims, place, number))

    # Erasure.
    async def erase(self, tenant: TenantId, owner: Subject | None, cursor: str, *, limit: int) -> Erased:
        return await self._eraser.page(tenant, owner, cursor, limit=limit)

    async def erasures(self) -> Mapping[str, bytes]:
        records = self._keyspace.erasures()
        flat = list_of(await self._reads.ask(records, pack("HGETALL", records), is_repeatable=True))
        return {text_of(name): held for name, held in zip(flat[::2], flat[1::2], strict=True) if isinstance(held, bytes)}

    async def swap_erasure(self, name: str, before: bytes | None, after: bytes | None, *, ttl_ms: int) -> bool:
        reply = await self._writes.call("swap_erasure", (self._keyspace.erasures(),), name.encode(), before or b"", after or b"", ttl_ms)
        return reply == b"+"

    # Presence.
    async def join(self, key: SessionKey, life: str, members: Sequence[Member]) -> None:
        names = self._keyspace.session(key)
        keys = (names.meta, names.presence, self._keyspace.lives(partition(key)))
        told = [part for member in members for part in (member.name.encode(), member.attachment.encode(), member.entry)]
        await self._writes.call("join", keys, names.channel, life.encode(), *told, is_repeatable=True)

    async def present(self, key: SessionKey) -> Sequence[tuple[str, Member]]:
        """In steps, so that no long list holds the server up. What changes meanwhile may be missing, and comes by the feed."""
        names = self._keyspace.session(key)
        keys = (names.meta, names.presence, self._keyspace.lives(partition(key)))
        found, place = dict[bytes, bytes](), b"0"
        while True:
            reply = list_of(await self._reads.call("present", keys, place, PRESENT_STEP, is_repeatable=True))
            flat = [part for part in reply if isinstance(part, bytes)]
            found.update(zip(flat[1::2], flat[2::2], strict=True))
            place = flat[0]
            if place == b"0":
                return [_member(name, held) for name, held in found.items()]

    async def leave(self, key: SessionKey, life: str, name: str, attachment: str) -> None:
        names = self._keyspace.session(key)
        told = (names.channel, life.encode(), name.encode(), attachment.encode())
        await self._writes.call("leave", (names.presence,), *told, is_repeatable=True)

    async def bury(self, key: SessionKey, life: str, names: Sequence[str]) -> None:
        keys = (self._keyspace.session(key).presence, self._keyspace.lives(partition(key)))
        await self._writes.call("bury", keys, life.encode(), *(name.encode() for name in names), is_repeatable=True)

    async def keep_life(self, life: str, partitions: Sequence[int]) -> Mapping[int, Lives]:
        keys = [self._keyspace.lives(number) for number in partitions]
        function = self._library.name("keep_life")
        replies = await self._writes.ask_those_up(keys, [pack("FCALL", function, 1, key, life) for key in keys])
        found = zip(partitions, replies, strict=True)
        return {number: _lives(reply) for number, reply in found if isinstance(reply, list)}

    # Replicas.
    async def announce(self, life: str, entry: bytes, *, ttl_ms: int) -> Sequence[bytes]:
        reply = list_of(await self._writes.call("announce", (self._keyspace.replicas(),), life.encode(), entry, ttl_ms, is_repeatable=True))
        return [held for held in reply[1:] if isinstance(held, bytes)]

    # Notes.
    async def swap_note(self, name: str, note: bytes | None, *, ttl_ms: int) -> bytes | None:
        key = self._keyspace.note(name)
        command = pack("GETDEL", key) if note is None else pack("SET", key, note, "PX", ttl_ms, "GET")
        # A repeated one may miss what the first attempt took, and so no caller gets it: never two.
        held = await self._writes.ask(key, command, is_repeatable=True)
        return held if isinstance(held, bytes) else None


def _calendar_name(key: SessionKey) -> bytes:
    return f"{key.tenant}/{key.session}".encode()


def _key_of(name: str) -> SessionKey:
    tenant, session = name.split("/")
    return SessionKey(TenantId(tenant), SessionId(session))


def _ask_head(meta: bytes) -> bytes:
    """HMGET, packed by itself: every loaded session is asked about once in a heartbeat's interval."""
    return b"*6\r\n$5\r\nHMGET\r\n$%d\r\n%b\r\n$1\r\np\r\n$1\r\ns\r\n$1\r\nv\r\n$1\r\na\r\n" % (len(meta), meta)


def _head(reply: Reply) -> LogHead | None:
    """None: no session, or something of another type in its place."""
    prefix, entry, version, claim = reply if isinstance(reply, list) else (None, None, None, None)
    if not isinstance(prefix, bytes):
        return None
    assert isinstance(entry, bytes)
    assert isinstance(version, bytes)
    return LogHead((b"%b-%b" % (prefix, entry)).decode(), int(version), int(claim) if isinstance(claim, bytes) else 0)


def _member(name: bytes, held: bytes) -> tuple[str, Member]:
    life, attachment, entry = held.split(b" ", 2)
    return life.decode(), Member(name.decode(), attachment.decode(), entry)


def _lives(reply: list[Reply]) -> Lives:
    return Lives(reply[0] == b"+", frozenset(text_of(life) for life in reply[1:]))


def _number(reply: Reply) -> int:
    assert isinstance(reply, int)
    return reply
