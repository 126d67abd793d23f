"""What a store of sessions does, whichever it is.

Owns the interface between hub and store and the facts that pass through it. Must not know Redis.
Every method raises AnypodError and nothing else: `unavailable` when the store is away, `no_such_session` alike for
missing and foreign sessions, `storage_full`, and the codes named at each method.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple, Protocol

from msgspec import Struct

from anypod.core.cursor import Facts
from anypod.core.errors import AnypodError
from anypod.core.event import Draft, Receipt
from anypod.core.identity import SessionKey, Subject, TenantId

PAGE_BYTES_MAX: Final = 256 << 10  # of the frames of one page: some thousand usual events, and four of the largest
SUBJECT_DELETIONS_MAX: Final = 1_000  # of a day, whose last owner is told; of further ones nothing is left
TENANT_DELETIONS_MAX: Final = 100_000  # the same of a tenant: about 30 MiB
DRAFTS_MAX: Final = 1_000  # drafts in one append: what a script can pass to one command; more are `too_large`


@dataclass(frozen=True, slots=True)
class SessionClass:
    """How long a kind of session and its parts live. Copied into the session at its creation. Times in milliseconds."""

    name: str
    ttl_ms: int  # after the last append or patch the session expires
    live_ms: int  # after its last patch `live` is forgotten
    events_max: int = 10_000  # durable events kept at once; a further one is `quota_exceeded`
    deltas_max: int = 50_000  # deltas kept at once (those not folded yet); a further one is `quota_exceeded`
    bytes_max: int | None = None  # of the memory that events and deltas take in the store; a further one is `quota_exceeded`
    retain_events: int | None = None  # durable events beyond this many are trimmed, the oldest first
    retain_ms: int | None = None  # events that the log has had for longer are trimmed, by the store's clock
    fold_after_ms: int = 60_000  # an ended part's deltas are kept this long for clients that resume within its answer
    dedup_ms: int = 600_000  # an id is remembered at least this long, and at least for the last 64 events
    event_bytes: int = 73_728  # the largest that an event may be: how far the bytes may go before they are looked at again
    part_open_ms: int = 900_000  # a part without a delta for this long has ended: the next delta of its name begins another


@dataclass(frozen=True, slots=True)
class Creation:
    """`epoch`: 8 random letters or digits. `state`, `live`, `metadata`: JSON objects."""

    key: SessionKey
    owner: Subject
    session_class: SessionClass
    epoch: str
    sessions_max: int
    state: bytes = b"{}"
    live: bytes = b"{}"
    metadata: bytes = b"{}"


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A session at one moment. `version` grows with every change of state, live or metadata.

    `live_until_ms`, `expires_at_ms`: milliseconds since 1970. `expires_in_ms`: from that moment, by one clock.
    """

    facts: Facts
    owner: Subject
    class_name: str
    state: bytes
    live: bytes
    live_until_ms: int
    metadata: bytes
    version: int
    is_closed: bool
    expires_at_ms: int
    expires_in_ms: int

    def live_at(self, wall_ms: int) -> bytes:
        """The live state, a JSON object, which is empty once its time is over."""
        return self.live if wall_ms < self.live_until_ms else b"{}"


@dataclass(frozen=True, slots=True)
class Missing:
    """There is no such session. `was_deleted`: rather than never there or expired, which only its last `owner` may be told."""

    was_deleted: bool = False
    owner: Subject | None = None


@dataclass(frozen=True, slots=True)
class Page:
    """Events in log order. Whatever has a seq up to `through` and is not among `frames` is folded, trimmed, or lies before the page."""

    snapshot: Snapshot
    frames: Sequence[bytes]
    through: int

    @property
    def has_more(self) -> bool:
        return self.through < self.snapshot.facts.head.seq


class Patch(NamedTuple):
    """New whole values (JSON), None: unchanged. `version`: the one that they were made from; `stale` when it has moved on."""

    version: int
    state: bytes | None = None
    live: bytes | None = None
    metadata: bytes | None = None


class Append(Struct, eq=False):
    """Drafts to append in this order, all or none.

    `owner`: the session must be theirs, else `no_such_session`. `expect`: the head's cursor, else `stale`.
    Every draft may be refused, and all with it: `conflict` (same id, another body), `closed`, `fenced` (its turn's fence is not
    the live one), `not_allowed` (it ends a part that is another author's), `quota_exceeded`. A draft whose id the log remembers is
    answered with the first receipt, as a duplicate; when all are, `expect` is not looked at.
    Not `is_atomic`: each draft is judged by itself, and in place of its receipt there may be its error; their ids differ, and
    there is neither `expect` nor `patch`.

    There is one of these for every event, so it is all that a store needs to remember of it: from `done` on the fields are the
    store's. `since`: clock seconds; `size`: bytes; `nonce`: tells a repeated patch from another one.
    """

    key: SessionKey
    drafts: Sequence[Draft]
    owner: Subject | None = None
    expect: str | None = None
    patch: Patch | None = None
    is_atomic: bool = True
    done: "Done" = lambda request, result: None
    since: float = 0.0
    size: int = 0
    is_over: bool = False
    nonce: int = 0

    @property
    def is_plain(self) -> bool:
        """One plain event, and nothing that it hangs on: nearly all that there are."""
        return len(self.drafts) == 1 and self.drafts[0].is_plain and self.expect is None and self.patch is None

    def begin(self, done: "Done", now: float) -> None:
        """For the store, which takes it."""
        self.done = done
        self.since = now
        size = 0
        for item in self.drafts:
            size += len(item.body)
            if item.payload is not None:
                size += len(item.payload)
        self.size = size


class LogHead(NamedTuple):
    """The log's newest position, the version of the state, and the number of the newest claim of a device, 0: there was none."""

    cursor: str
    version: int
    claim: int = 0


class BackwardPage(NamedTuple):
    """Durable events, oldest first; `has_more`: there are older ones."""

    frames: Sequence[bytes]
    has_more: bool


class Listing(NamedTuple):
    """One of a subject's sessions. `active_ms`: epoch time of its last recorded activity."""

    key: SessionKey
    active_ms: int


class Usage(NamedTuple):
    """Bytes of events in the store: of a subject's sessions, as last measured, and of all subjects of its tenant."""

    owner: Subject
    subject_bytes: int
    tenant_bytes: int


class Member(NamedTuple):
    """An entry of presence: its name in the session, the attachment that it is of, and what clients are told (JSON)."""

    name: str
    attachment: str
    entry: bytes


class Lives(NamedTuple):
    """Which lives of replicas hold in a partition; `was_alive`: whether the one that asked had held until then."""

    was_alive: bool
    lives: frozenset[str]


class Erased(NamedTuple):
    """What one page of an erasure has taken away: sessions that were there; and records: these, tombstones and indexes.

    `cursor`: for the next page; empty: all was looked at.
    """

    cursor: str
    sessions: int
    records: int


class Due(NamedTuple):
    """A session that is to be tidied. `turn` names this occasion."""

    key: SessionKey
    turn: str


Results = Sequence[Receipt | AnypodError]
Done = Callable[[Append, Results | AnypodError], None]


class Sink(Protocol):
    """The listener of a store. Both methods are called on the event loop, never while the other is running."""

    def on_batch(self, batch: Sequence[tuple[SessionKey, bytes]]) -> None:
        """What one read of the feed brought: frames of events and notices (`core.notices`), in log order for each session."""

    def on_barrier(self, keys: Sequence[SessionKey]) -> None:
        """The feed of these sessions was interrupted: anything may have been missed."""


class Store(Protocol):
    """One replica's door to all sessions."""

    async def open(self, sink: Sink) -> None:
        """Connect and check the server. Raises AnypodError with one clear line when it cannot be used."""

    async def close(self) -> None: ...

    @property
    def is_available(self) -> bool:
        """False while the store is known to be away."""

    # The feed.
    async def subscribe(self, key: SessionKey) -> None:
        """Returns when every later event of the session will reach the sink."""

    def unsubscribe(self, key: SessionKey) -> None: ...

    def notify(self, key: SessionKey, notice: bytes) -> None:
        """Send a notice to every replica that has subscribed, this one too. Best effort."""

    # The log.
    def append(self, request: Append, done: Done) -> None:
        """Queue an append and call `done` once with the receipts or the error, never before this returns.

        Appends of one session are carried out in the order of these calls. While the store is away they wait for a bounded time;
        a lost reply is retried by id. `overloaded` when too much is waiting.
        """

    async def read(
        self, key: SessionKey, after: int | None, *, limit: int, fold: bool = False, bytes_max: int = PAGE_BYTES_MAX
    ) -> Page | Missing:
        """At most `limit` events after seq `after`, None: after the head. `facts.tag_at` speaks of `after`.

        The page ends with the event with which its frames come to `bytes_max`: it holds at least one, and exceeds them by less than one.
        `fold` leaves out the deltas below the oldest open part, and `facts.folded` then says up to where.
        """

    async def verify_primary(self) -> None:
        """A read barrier, before a history is called lost: returns when the next `read` is, as far as can be known, of the log that counts.

        For a moment of a failover the old server may still answer, whose log lacks what the new one has.
        """

    async def history(self, key: SessionKey, before: int | None, *, limit: int, bytes_max: int = PAGE_BYTES_MAX) -> BackwardPage:
        """The last `limit` durable events before seq `before`, None: of the log; fewer where they come to `bytes_max`."""

    async def heads(self, keys: Sequence[SessionKey]) -> Mapping[SessionKey, LogHead | None]:
        """None: there is no such session. Those whose server is away are left out, and the others answered all the same."""

    # Sessions.
    async def create(self, creation: Creation) -> tuple[Page, bool]:
        """The new session, or the one that is there already (False) if it is the same owner's. `quota_exceeded` beyond `sessions_max`."""

    async def end(self, key: SessionKey, owner: Subject | None) -> str:
        """Close the log for good; its last cursor. Doing it twice is the same as once."""

    async def delete(self, key: SessionKey, owner: Subject | None) -> None:
        """Delete everything of the session; `no_such_session` when there is none.

        Of SUBJECT_DELETIONS_MAX and TENANT_DELETIONS_MAX in a day it is remembered that they were deleted.
        """

    async def sessions(self, tenant: TenantId, owner: Subject, *, before_ms: int | None, limit: int) -> Sequence[Listing]:
        """A subject's sessions, the latest activity first."""

    async def touch(self, key: SessionKey) -> Usage | None:
        """Record activity for `sessions`, to the minute, and how many bytes the session holds now; what its owner holds by that.

        None: there is no such session.
        """

    async def usage(self, tenant: TenantId, owner: Subject) -> Usage:
        """What a subject and its tenant hold, as far as `touch` and `delete` have told; what is no longer there is not counted."""

    async def keep(self, key: SessionKey) -> int:
        """Move the expiry as an append does; in how many milliseconds the session expires now."""

    async def raise_fence(self, key: SessionKey, turn: str) -> int:
        """Take a turn over: from now on only appends with the returned fence are accepted for it. The first is 1. Its open parts end."""

    # Housekeeping: whichever replica comes first does what is due.
    async def tidy(self, key: SessionKey, turn: str = "") -> int | None:
        """End parts, fold, trim and forget ids whose time has come, and put the session on the calendar for what is to come.

        In how many milliseconds that is, 0: there is more to do now, None: not before the next append. `turn`: what `due` said of it.
        """

    def schedule(self, key: SessionKey, in_ms: int) -> None:
        """Put the session on the calendar, unless it stands there for an earlier time. Best effort."""

    async def due(self, number: int, *, limit: int) -> Sequence[Due]:
        """Of one partition's sessions those whose time has come, the longest due first. What is not tidied comes up again."""

    # Devices: which attachment of one is the newest.
    async def claim(self, key: SessionKey, place: str) -> int:
        """Claim a device's place; the claim's number, larger than that of every earlier claim in the session, and in microseconds since
        1970 where it need not be more. `no_such_session`."""

    async def claims(self, places: Sequence[tuple[SessionKey, str]]) -> Sequence[int]:
        """The newest claim's number of each place, 0: none is remembered. One is forgotten five minutes after the session's newest, and
        before that when 10,000 other places of the session were claimed since."""

    def withdraw(self, key: SessionKey, place: str, number: int) -> None:
        """Forget a claim, unless there is a newer one of that place. Best effort."""

    # Erasure: everything of a subject or of a tenant.
    async def erase(self, tenant: TenantId, owner: Subject | None, cursor: str, *, limit: int) -> Erased:
        """Take away what there is of the owner, None: of the whole tenant, among the next `limit` keys or so; "": from the beginning.

        No tombstone stays. What is made while the pages are walked may be missed. Events of theirs in sessions of others stay.
        """

    async def erasures(self) -> Mapping[str, bytes]:
        """The records of erasures, by name."""

    async def swap_erasure(self, name: str, before: bytes | None, after: bytes | None, *, ttl_ms: int) -> bool:
        """Put `after` in the place of `before`, None: nothing; False: something else stands there. `quota_exceeded` beyond 1,000."""

    # Presence: the members attached, across replicas. An entry holds while the life of the replica that keeps it does.
    async def join(self, key: SessionKey, life: str, members: Sequence[Member]) -> None:
        """Set or renew entries, and publish what is new to subscribed replicas. They hold as long as `life`, which holds for 10 s from now,
        and are forgotten when none of the session's was renewed for 90 s. `quota_exceeded` beyond 10,000 in a session."""

    async def present(self, key: SessionKey) -> Sequence[tuple[str, Member]]:
        """All entries that hold, each with its life."""

    async def leave(self, key: SessionKey, life: str, name: str, attachment: str) -> None:
        """Remove an entry and publish that, unless it is another attachment's by now."""

    async def bury(self, key: SessionKey, life: str, names: Sequence[str]) -> None:
        """Forget entries of a life that has ended, without a word."""

    async def keep_life(self, life: str, partitions: Sequence[int]) -> Mapping[int, Lives]:
        """A life holds for 10 s from now, in these partitions. Those whose server is away are left out."""

    # Replicas: those that serve beside this one.
    async def announce(self, life: str, entry: bytes, *, ttl_ms: int) -> Sequence[bytes]:
        """Set or refresh the JSON entry of one life of a replica, b"": it has gone; all entries that still hold."""

    # Notes: small texts beside all sessions, for a moment.
    async def swap_note(self, name: str, note: bytes | None, *, ttl_ms: int) -> bytes | None:
        """What stood under this name, in whose place `note` now stands for so long, None: nothing. Of several at once one gets it."""


def within(frames: Iterable[bytes], bytes_max: int) -> int:
    """How many of these frames a page holds that ends with the one with which they come to `bytes_max`."""
    count = size = 0
    for frame in frames:
        count += 1
        size += len(frame)
        if size >= bytes_max:
            break
    return count


def reraise(result: Results | AnypodError) -> Sequence[Receipt]:
    """The receipts of an atomic append. Raises its error."""
    if isinstance(result, AnypodError):
        raise result
    receipts = [one for one in result if isinstance(one, Receipt)]
    assert len(receipts) == len(result)
    return receipts
