"""Which appends travel together.

Owns the grouping of requests into calls. Must not know how a call is packed, nor when it goes.
"""

from collections.abc import Iterable, Sequence
from typing import Final

from anypod.core.event import Draft
from anypod.core.identity import SessionKey
from anypod.store import Append

GROUP_MAX: Final = 64  # drafts in one call of several requests: half a millisecond in which the server does nothing else

Call = list[Append]  # requests that travel together; more than one only when each of their drafts is judged by itself


def drafts_of(call: Call) -> Sequence[Draft]:
    return call[0].drafts if len(call) == 1 else [item for request in call for item in request.drafts]


def is_joinable(request: Append) -> bool:
    """Whether each of its drafts may be judged by itself. One draft is atomic alone."""
    return (not request.is_atomic or len(request.drafts) == 1) and request.expect is None and request.patch is None


class _Group:
    """A call to which more requests of its session may be added. `ids` are collected once a second one comes."""

    __slots__ = ("call", "count", "ids")

    def __init__(self, call: Call) -> None:
        self.call = call
        self.count = len(call[0].drafts)
        self.ids = {item.id for item in call[0].drafts}

    def takes(self, request: Append) -> bool:
        """One of the same owner, that expects nothing, with ids that are not here yet."""
        if not is_joinable(request) or request.owner != self.call[0].owner:
            return False
        if self.count + len(request.drafts) > GROUP_MAX or any(item.id in self.ids for item in request.drafts):
            return False
        self.count += len(request.drafts)
        self.ids.update(item.id for item in request.drafts)
        self.call.append(request)
        return True


def grouped(requests: Iterable[Append]) -> list[Call]:
    """As few calls as there can be. Those of one session keep the order of its appends."""
    calls: list[Call] = []
    latest: dict[SessionKey, Call] = {}
    groups: dict[SessionKey, _Group] = {}
    for request in requests:
        if request.is_over:
            continue
        key = request.key
        call = latest.get(key)
        if call is None or not _joins(request, call, groups):
            latest[key] = call = [request]
            calls.append(call)
            if groups:
                groups.pop(key, None)
    return calls


def _joins(request: Append, call: Call, groups: dict[SessionKey, _Group]) -> bool:
    if not is_joinable(call[0]):
        return False
    group = groups.get(request.key)
    if group is None:
        group = groups[request.key] = _Group(call)
    return group.takes(request)
