"""Tickets: what a page shows instead of a credential, once and soon (decision 11).

Owns what a ticket is, how long it is good, and what is noted of the principal that it stands for. Must not know stores, nor
requests: it is given a place for notes that all replicas share, and a note can be taken once.
"""

from binascii import b2a_hex
from collections.abc import Awaitable
from hashlib import blake2b
from random import Random
from typing import Final, NamedTuple, Protocol

import msgspec
from msgspec import Struct

from anypod.auth.principal import Principal, Right, refusal
from anypod.clock import Clock
from anypod.core.identity import SessionId, Subject, TenantId

TICKET_MS: Final = 30_000  # a page asks for one and connects; a slow network's two round trips take three seconds
TICKET_BYTES: Final = 20  # of entropy, like an unguessable session id
_CHARS: Final = 2 * TICKET_BYTES


class Swap(Protocol):
    """`Store.swap_note`."""

    def __call__(self, name: str, note: bytes | None, *, ttl_ms: int) -> Awaitable[bytes | None]: ...


class Issued(NamedTuple):
    ticket: str
    expires_in_ms: int


class _Note(Struct, array_like=True):
    """The principal as it was checked: the credential itself is never kept."""

    tenant: TenantId
    subject: Subject
    expires_at: float
    can: frozenset[Right]
    sessions: tuple[str, ...] | None
    kinds: tuple[str, ...] | None
    only: SessionId | None


_note: Final = msgspec.json.Decoder(_Note)


class Tickets:
    def __init__(self, swap: Swap, clock: Clock, rng: Random) -> None:
        self._swap = swap
        self._clock = clock
        self._rng = rng

    async def issue(self, principal: Principal, only: SessionId | None = None) -> Issued:
        """A ticket of this principal, good no longer than its credential. `only`: for one session. Raises AnypodError."""
        left_ms = int(principal.expires_at * 1_000) - self._clock.wall_ms()
        ttl_ms = max(1, min(TICKET_MS, left_ms))
        ticket = b2a_hex(self._rng.randbytes(TICKET_BYTES)).decode()
        note = _Note(principal.tenant, principal.subject, principal.expires_at, principal.can, principal.sessions, principal.kinds, only)
        await self._swap(_name(ticket), msgspec.json.encode(note), ttl_ms=ttl_ms)
        return Issued(ticket, ttl_ms)

    async def redeem(self, ticket: str) -> Principal:
        """The principal of the ticket, with the expiry of the credential that it was issued for; the ticket is used up.

        Raises AnypodError `not_authenticated`, or `unavailable` while the notes cannot be reached.
        """
        if len(ticket) != _CHARS or not ticket.isascii():
            raise refusal("this is no ticket")
        taken = await self._swap(_name(ticket), None, ttl_ms=0)
        if taken is None:
            raise refusal("the ticket is unknown, used or expired: ask for another one")
        note = _note.decode(taken)
        if note.expires_at * 1_000 <= self._clock.wall_ms():
            raise refusal("the credential behind the ticket has expired")
        return Principal(note.tenant, note.subject, note.expires_at, note.can, note.sessions, note.kinds, note.only)


def _name(ticket: str) -> str:
    """The notes hold no ticket that could be read out of a dump."""
    return blake2b(ticket.encode(), digest_size=16).hexdigest()
