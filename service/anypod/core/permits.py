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
REFUSAL_S_MAX: Final = 1.0  # a refusal is sent that late at most: a client that retries at once is no faster for it


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

    subject: Allowance
    tenant: Allowance
    connections_max: int


@dataclass(frozen=True, slots=True)
class RateLimits:
    """What all subjects have in common, or all tenants. `interval_s`, `burst_s`: those of `permits`, which every publish asks for."""

    permits: Rate
    reads: Rate
    arrivals: Rate
    connections_max: int
    stored_bytes_max: int
    interval_s: float
    burst_s: float


def limits_of(allowance: Allowance, arrivals: Rate) -> RateLimits:
    """A bucket of permits or bytes holds what it gains in a second."""
    permits = Rate(allowance.permits_per_s, allowance.permits_per_s)
    reads = Rate(allowance.read_bytes_per_s, allowance.read_bytes_per_s)
    return RateLimits(permits, reads, arrivals, allowance.connections_max, allowance.stored_bytes_max, permits.interval_s, permits.burst_s)


class Party:
    """One tenant at one replica, or one subject: see `Account`. `stored`: its bytes in the store as last told, and what was appended here
    since.

    There is one for each subject that is connected, so it holds no more than what differs.
    """

    __slots__ = ("__weakref__", "arrivals_full_at", "connections", "limits", "permits_full_at", "read_full_at", "stored")

    def __init__(self, limits: RateLimits) -> None:
        self.limits = limits
        self.permits_full_at = self.read_full_at = self.arrivals_full_at = 0.0  # see `Rate`
        self.connections = 0
        self.stored = 0

    @property
    def is_full(self) -> bool:
        return self.stored >= self.limits.stored_bytes_max

    @property
    def is_crowded(self) -> bool:
        return self.connections >= self.limits.connections_max


class Account(Party):
    """A subject. Whatever is charged is charged to its tenant as well."""

    __slots__ = ("subject", "tenant")

    def __init__(self, limits: RateLimits, tenant: Party, subject: str) -> None:
        super().__init__(limits)
        self.tenant = tenant
        self.subject = subject

    def take(self, cost: float, now: float) -> float:
        """Take permits of both and return 0, or take none and return the seconds until they are there."""
        tenant, limits, ours = self.tenant, self.limits, self.tenant.limits
        # Nearly always both have them. It is asked for every publish, so this is `Rate.take` of both, without a call.
        at, tenant_at = self.permits_full_at, tenant.permits_full_at
        at = (at if at > now else now) + cost * limits.interval_s  # noqa: FURB136 - the same
        tenant_at = (tenant_at if tenant_at > now else now) + cost * ours.interval_s  # noqa: FURB136 - the same
        if at - now <= limits.burst_s and tenant_at - now <= ours.burst_s:
            self.permits_full_at, tenant.permits_full_at = at, tenant_at
            return 0.0
        return self._take(cost, now)

    def _take(self, cost: float, now: float) -> float:
        tenant = self.tenant
        wait_s, at = self.limits.permits.take(self.permits_full_at, now, cost)
        if wait_s > 0:
            return wait_s
        wait_s, tenant_at = tenant.limits.permits.take(tenant.permits_full_at, now, cost)
        if wait_s > 0:
            return wait_s
        self.permits_full_at, tenant.permits_full_at = at, tenant_at
        return 0.0

    def arrive(self, now: float) -> float:
        """Take the permit of one more attachment and return 0, or the seconds until there is one."""
        tenant = self.tenant
        wait_s, self.arrivals_full_at = self.limits.arrivals.take(self.arrivals_full_at, now)
        if wait_s == 0:
            wait_s, tenant.arrivals_full_at = tenant.limits.arrivals.take(tenant.arrivals_full_at, now)
        return wait_s

    def read(self, size: int, now: float) -> None:
        """Charged when it is known, and so a bucket may owe: the next read waits for it."""
        tenant = self.tenant
        self.read_full_at = self.limits.reads.owe(self.read_full_at, now, size)
        tenant.read_full_at = tenant.limits.reads.owe(tenant.read_full_at, now, size)

    def read_wait_s(self, now: float) -> float:
        if self.read_full_at <= now and self.tenant.read_full_at <= now:
            return 0.0  # both are full
        return max(party.limits.reads.owed_s(party.read_full_at, now) for party in (self, self.tenant))

    def store(self, size: int) -> bool:
        """So many bytes more. Whether there is no room for further ones."""
        tenant = self.tenant
        self.stored += size
        tenant.stored += size
        return self.stored >= self.limits.stored_bytes_max or tenant.stored >= tenant.limits.stored_bytes_max

    def learn(self, subject_bytes: int, tenant_bytes: int) -> None:
        """What both have stored in all."""
        self.stored, self.tenant.stored = subject_bytes, tenant_bytes

    @property
    def has_no_room(self) -> bool:
        """For more bytes."""
        return self.is_full or self.tenant.is_full

    def enter(self) -> None:
        self.connections += 1
        self.tenant.connections += 1

    def leave(self) -> None:
        self.connections -= 1
        self.tenant.connections -= 1
        assert self.connections >= 0
