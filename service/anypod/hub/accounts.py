"""The accounts of the subjects and tenants that a replica serves: rate limits, quotas and caps of connections are charged to them.

Owns the account of each subject and tenant, for as long as it has a connection or a recent request, and its stored bytes as last read.
Must not know what is charged: see `core.permits`.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Mapping
from typing import Final, get_args
from weakref import WeakKeyDictionary

from anypod.auth import Principal
from anypod.clock import Clock
from anypod.core import frames
from anypod.core.admission import Rate
from anypod.core.errors import AnypodError
from anypod.core.identity import Subject, TenantId
from anypod.core.permits import COSTS, Account, Action, Allowances, Party, RateLimits, limits_of
from anypod.hub.config import Arrivals
from anypod.store import Usage

ACTION_OF_FRAME: Final[Mapping[type[frames.ClientFrame], Action]] = {
    frames.InitFrame: "frame",
    frames.PublishFrame: "publish",
    frames.ClientSignalFrame: "signal",
    frames.ClientPresenceFrame: "presence",
    frames.SyncFrame: "sync",
    frames.ClientHistoryFrame: "history",
    frames.StatePatchFrame: "patch",
    frames.CancelFrame: "frame",
    frames.AuthFrame: "auth",
    frames.ClientHeartbeatFrame: "frame",
}
assert ACTION_OF_FRAME.keys() == set(get_args(frames.ClientFrame)), "a frame without a cost"

RECENT_MAX: Final = 20_000  # accounts without a connection, about 400 bytes each; beyond it the one unused for longest begins anew
REQUESTS_AT_ONCE: Final = 4  # of one subject over HTTP: what a burst of them may keep the loop from others
REQUESTS_WAITING_MAX: Final = 64  # behind these; a further one is `rate_limited`
RETRY_MS: Final = 2_000  # for a connection that finds no room here: another replica may have some


class Bulkhead:
    """How many requests of one subject are worked on at once. Not those that wait for events."""

    __slots__ = ("_slots", "_waiting")

    def __init__(self) -> None:
        self._slots = asyncio.Semaphore(REQUESTS_AT_ONCE)
        self._waiting = 0

    async def enter(self) -> None:
        """Raises AnypodError `rate_limited` where too many wait."""
        if self._waiting >= REQUESTS_WAITING_MAX:
            raise limited(1.0, "too many requests of this subject at once")
        await self.enter_again()

    async def enter_again(self) -> None:
        """As `enter`, for a request that was in and has waited for events."""
        self._waiting += 1
        try:
            await self._slots.acquire()
        finally:
            self._waiting -= 1

    def leave(self) -> None:
        self._slots.release()


class Tenant(Party):
    """One tenant, with those of its subjects that are connected or have lately asked."""

    __slots__ = ("accounts", "name")

    def __init__(self, limits: RateLimits, name: TenantId) -> None:
        super().__init__(limits)
        self.name = name
        self.accounts: dict[str, Account] = {}


class Accounts:
    def __init__(self, allowances: Allowances, clock: Clock, arrivals: Arrivals, *, recent_max: int = RECENT_MAX) -> None:
        self._clock = clock
        self._recent_max = recent_max
        self._connections_max = allowances.connections_max
        self._of_subjects = limits_of(allowances.subject, Rate(arrivals.subject_per_s, 2 * arrivals.subject_per_s))
        self._of_tenants = limits_of(allowances.tenant, Rate(arrivals.tenant_per_s, arrivals.tenant_per_s))
        self._tenants: dict[TenantId, Tenant] = {}
        self._idle: OrderedDict[Account, None] = OrderedDict()  # those without a connection, the one unused for longest first
        self._bulkheads: WeakKeyDictionary[Account, Bulkhead] = WeakKeyDictionary()
        self.connections = 0

    def of(self, principal: Principal) -> Account:
        return self.of_owner(principal.tenant, principal.subject)

    def of_owner(self, tenant: TenantId, subject: Subject) -> Account:
        shared = self._tenants.get(tenant)
        account = shared.accounts.get(subject) if shared is not None else None
        if account is None:
            return self._new(tenant, subject)
        if account.connections == 0:
            self._idle.move_to_end(account)
        return account

    def _new(self, tenant: TenantId, subject: Subject) -> Account:
        shared = self._tenants.get(tenant)
        if shared is None:
            shared = self._tenants[tenant] = Tenant(self._of_tenants, tenant)
        account = shared.accounts[subject] = Account(self._of_subjects, shared, subject)
        self._rest(account)
        return account

    def _rest(self, account: Account) -> None:
        """It has no connection, and is kept as long as few enough others are used later."""
        self._idle[account] = None
        if len(self._idle) > self._recent_max:
            oldest, _ = self._idle.popitem(last=False)
            tenant = oldest.tenant
            assert isinstance(tenant, Tenant)
            del tenant.accounts[oldest.subject]
            if not tenant.accounts:
                del self._tenants[tenant.name]

    def charge(self, account: Account, action: Action, count: int = 1) -> None:
        """Take the permits of so many. Raises AnypodError `rate_limited`."""
        wait_s = account.take(COSTS[action] * count, self._clock.now())
        if wait_s > 0:
            raise limited(wait_s)

    def bulkhead(self, account: Account) -> "Bulkhead":
        bulkhead = self._bulkheads.get(account)
        if bulkhead is None:
            bulkhead = self._bulkheads[account] = Bulkhead()
        return bulkhead

    def check_reading(self, account: Account) -> None:
        """Raises AnypodError `rate_limited` while more was read than there are bytes for."""
        wait_s = account.read_wait_s(self._clock.now())
        if wait_s > 0:
            raise limited(wait_s, "more bytes were read than this credential may in so short a time")

    def read(self, account: Account, size: int) -> None:
        """Charge so many bytes that were read for this one."""
        if size:
            account.read(size, self._clock.now())

    def read_wait_s(self, account: Account) -> float:
        """How long a reader whose bytes are used up waits for more."""
        return account.read_wait_s(self._clock.now())

    def check_room(self, account: Account) -> None:
        """Is there room for one more connection? Raises AnypodError `overloaded`."""
        if self.connections >= self._connections_max:
            raise AnypodError("overloaded", retry_after_ms=RETRY_MS)
        if account.is_crowded or account.tenant.is_crowded:
            whose = "subject" if account.is_crowded else "tenant"
            raise AnypodError("overloaded", f"the {whose} has as many connections here as it may", retry_after_ms=RETRY_MS)

    def enter(self, account: Account) -> None:
        self.connections += 1
        if account.connections == 0:
            self._idle.pop(account, None)
        account.enter()

    def leave(self, account: Account) -> None:
        self.connections -= 1
        account.leave()
        if account.connections == 0:
            self._rest(account)

    def learn(self, tenant: TenantId, usage: Usage) -> Account:
        """What the store has told."""
        account = self.of_owner(tenant, usage.owner)
        account.learn(usage.subject_bytes, usage.tenant_bytes)
        return account


def limited(wait_s: float, message: str = "") -> AnypodError:
    return AnypodError("rate_limited", message, retry_after_ms=int(wait_s * 1000) + 1)
