"""Rate limits and quotas of a subject and of its tenant: what each request and frame costs, and what is left.

Owns the table of costs and the account that every request, frame, page and connection is charged to. Must not know the time,
nor who asks: shells charge, wait and refuse.
"""

from dataclasses import dataclass
from typing import Final, Literal

from anypod.core.admission import Rate

Action = Literal[
    "publish",
    "frame",
    "signal",
    "presence",
    "history",
    "sync",
    "patch",
    "auth",
    "request",
    "write",
    "create",
    "delete",
]

# One permit is about 50 µs of a replica: what it takes to publish an event by WebSocket. A request over HTTP takes a millisecond.
COSTS: Final[dict[Action, int]] = {
    "publish": 1,  # each event, also of a list
    "frame": 1,  # of a WebSocket, unless it is one of these
    "signal": 2,
    "presence": 2,
    "history": 10,
    "sync": 10,
    "patch": 10,
    "auth": 10,
    "request": 20,  # over HTTP: a page, a poll, a look, a list, a ticket; and what publishing costs beside its events
    "write": 30,  # over HTTP: a patch, the end of a log
    "create": 40,
    "delete": 40,
}
REFUSAL_S_MAX: Final = 1.0  # a refusal is told that late at most: who asks again at once is no faster for it


@dataclass(frozen=True, slots=True)
class Allowance:
    """Of one subject, or of one tenant: permits and bytes read a second and connections at one replica, bytes stored at all."""

    permits_per_s: float
    read_bytes_per_s: float
    connections_max: int
    stored_bytes_max: int


@dataclass(frozen=True, slots=True)
class Allowances:
    """`connections_max`: of all at one replica."""

    subject: Allowance = Allowance(2_000, 16 << 20, 1_000, 512 << 20)
    tenant: Allowance = Allowance(10_000, 64 << 20, 10_000, 16 << 30)
    connections_max: int = 20_000


class Party:
    """One subject, or one tenant, at one replica. `stored`: its bytes in the store as last told, and what was appended here since."""

    __slots__ = (
        "__weakref__",
        "_read_full_at",
        "_reads",
        "allowance",
        "burst_s",
        "connections",
        "interval_s",
        "permits",
        "permits_full_at",
        "stored",
        "stored_max",
    )

    def __init__(self, allowance: Allowance, permits: Rate, reads: Rate) -> None:
        self.allowance = allowance
        self.permits = permits
        self._reads = reads
        self.interval_s, self.burst_s = permits.interval_s, permits.burst_s
        self.permits_full_at = self._read_full_at = 0.0  # see `Rate`
        self.connections = 0
        self.stored = 0
        self.stored_max = allowance.stored_bytes_max

    def read(self, size: int, now: float) -> None:
        """Charged when it is known, and so the bucket may owe: who comes next waits for it."""
        self._read_full_at = self._reads.owe(self._read_full_at, now, size)

    def read_wait_s(self, now: float) -> float:
        return self._reads.owed_s(self._read_full_at, now)

    @property
    def is_crowded(self) -> bool:
        return self.connections >= self.allowance.connections_max


class Account:
    """A subject with its tenant: whatever is charged is charged to both."""

    __slots__ = ("__weakref__", "subject", "tenant")

    def __init__(self, subject: Party, tenant: Party) -> None:
        self.subject = subject
        self.tenant = tenant

    def take(self, cost: float, now: float) -> float:
        """Take permits of both and return 0, or take none and return the seconds until they are there."""
        subject, tenant = self.subject, self.tenant
        # Nearly always both have them. It is asked for every publish, so this is `Rate.take` of both, without a call.
        at, tenant_at = subject.permits_full_at, tenant.permits_full_at
        at = (at if at > now else now) + cost * subject.interval_s  # noqa: FURB136 - the same
        tenant_at = (tenant_at if tenant_at > now else now) + cost * tenant.interval_s  # noqa: FURB136 - the same
        if at - now <= subject.burst_s and tenant_at - now <= tenant.burst_s:
            subject.permits_full_at, tenant.permits_full_at = at, tenant_at
            return 0.0
        return self._take(cost, now)

    def _take(self, cost: float, now: float) -> float:
        subject, tenant = self.subject, self.tenant
        wait_s, at = subject.permits.take(subject.permits_full_at, now, cost)
        if wait_s > 0:
            return wait_s
        wait_s, tenant_at = tenant.permits.take(tenant.permits_full_at, now, cost)
        if wait_s > 0:
            return wait_s
        subject.permits_full_at, tenant.permits_full_at = at, tenant_at
        return 0.0

    def read(self, size: int, now: float) -> None:
        self.subject.read(size, now)
        self.tenant.read(size, now)

    def read_wait_s(self, now: float) -> float:
        return max(self.subject.read_wait_s(now), self.tenant.read_wait_s(now))

    def store(self, size: int) -> bool:
        """So many bytes more. Whether there is no room for further ones."""
        subject, tenant = self.subject, self.tenant
        subject.stored += size
        tenant.stored += size
        return subject.stored >= subject.stored_max or tenant.stored >= tenant.stored_max

    def learn(self, subject_bytes: int, tenant_bytes: int) -> None:
        """What both have stored in all."""
        self.subject.stored, self.tenant.stored = subject_bytes, tenant_bytes

    @property
    def is_full(self) -> bool:
        return self.store(0)

    def enter(self) -> None:
        self.subject.connections += 1
        self.tenant.connections += 1

    def leave(self) -> None:
        self.subject.connections -= 1
        self.tenant.connections -= 1
        assert self.subject.connections >= 0
