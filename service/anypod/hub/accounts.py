"""The accounts of the subjects and tenants that a replica serves: rate limits, quotas and caps of connections are charged to them.

Owns which account belongs to whom, for as long as anybody holds it or has lately asked, and what the store has told of their bytes.
Must not know what is charged: see `core.permits`.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from typing import Final, get_args
from weakref import WeakKeyDictionary, WeakValueDictionary

from anypod.auth import Principal
from anypod.clock import Clock
from anypod.core import frames
from anypod.core.admission import Rate
from anypod.core.errors import AnypodError
from anypod.core.identity import Subject, TenantId
from anypod.core.permits import COSTS, Account, Action, Allowance, Allowances, Party
from anypod.store import Usage

ACTION_OF_FRAME: Final[Mapping[type[frames.ClientFrame], Action]] = {
    frames.Init: "frame",
    frames.Publish: "publish",
    frames.SignalOut: "signal",
    frames.PresenceOut: "presence",
    frames.Sync: "sync",
    frames.HistoryAsk: "history",
    frames.StatePatch: "patch",
    frames.Cancel: "frame",
    frames.Auth: "auth",
    frames.Beat: "frame",
}
assert ACTION_OF_FRAME.keys() == set(get_args(frames.ClientFrame)), "a frame without a cost"

RECENT_MAX: Final = 20_000  # accounts that nobody holds, about 400 bytes each; beyond it the one unused for longest begins anew
REQUESTS_AT_ONCE: Final = 4  # of one subject over HTTP: what a burst of them may keep the loop from others
REQUESTS_WAITING_MAX: Final = 64  # behind these; a further one is `rate_limited`
RETRY_MS: Final = 2_000  # for who finds no room for another connection here: elsewhere there may be some


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


class Accounts:
    def __init__(self, allowances: Allowances, clock: Clock) -> None:
        self._clock = clock
        self._allowances = allowances
        self._subject_rates = _rates(allowances.subject)
        self._tenant_rates = _rates(allowances.tenant)
        self._accounts: WeakValueDictionary[tuple[TenantId, Subject], Account] = WeakValueDictionary()
        self._tenants: WeakValueDictionary[TenantId, Party] = WeakValueDictionary()
        self._recent: OrderedDict[tuple[TenantId, Subject], Account] = OrderedDict()
        self._bulkheads: WeakKeyDictionary[Account, Bulkhead] = WeakKeyDictionary()
        self.connections = 0

    def of(self, principal: Principal) -> Account:
        return self.of_owner(principal.tenant, principal.subject)

    def of_owner(self, tenant: TenantId, subject: Subject) -> Account:
        key = (tenant, subject)
        account = self._accounts.get(key)
        if account is None:
            shared = self._tenants.get(tenant)
            if shared is None:
                shared = self._tenants[tenant] = Party(self._allowances.tenant, *self._tenant_rates)
            account = self._accounts[key] = Account(Party(self._allowances.subject, *self._subject_rates), shared)
        self._recent[key] = account
        self._recent.move_to_end(key)
        if len(self._recent) > RECENT_MAX:
            self._recent.popitem(last=False)
        return account

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

    def read(self, account: Account, texts: Sequence[bytes]) -> None:
        """Charge what was read for this one."""
        if texts:
            account.read(sum(map(len, texts)), self._clock.now())

    def read_wait_s(self, account: Account) -> float:
        """How long a reader whose bytes are used up waits for more."""
        return account.read_wait_s(self._clock.now())

    def check_room(self, account: Account) -> None:
        """Is there room for one more connection? Raises AnypodError `overloaded`."""
        if self.connections >= self._allowances.connections_max:
            raise AnypodError("overloaded", retry_after_ms=RETRY_MS)
        if account.subject.is_crowded or account.tenant.is_crowded:
            whose = "subject" if account.subject.is_crowded else "tenant"
            raise AnypodError("overloaded", f"the {whose} has as many connections here as it may", retry_after_ms=RETRY_MS)

    def enter(self, account: Account) -> None:
        self.connections += 1
        account.enter()

    def leave(self, account: Account) -> None:
        self.connections -= 1
        account.leave()

    def learn(self, tenant: TenantId, usage: Usage) -> Account:
        """What the store has told."""
        account = self.of_owner(tenant, usage.owner)
        account.learn(usage.subject_bytes, usage.tenant_bytes)
        return account


def limited(wait_s: float, message: str = "") -> AnypodError:
    return AnypodError("rate_limited", message, retry_after_ms=int(wait_s * 1000) + 1)


def _rates(allowance: Allowance) -> tuple[Rate, Rate]:
    """A bucket holds what it gains in a second."""
    return Rate(allowance.permits_per_s, allowance.permits_per_s), Rate(allowance.read_bytes_per_s, allowance.read_bytes_per_s)
