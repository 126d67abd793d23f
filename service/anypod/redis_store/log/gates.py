"""Which sessions' calls may go, while slots move.

Owns what is known of the sessions of which a call was refused. Must not know the calls.

A server may refuse one call and take the one behind it, when it becomes the owner of their slot in between. So after a refusal,
and after a change of servers, a session's next call goes alone, and the others once that one is answered.
"""

from collections.abc import Callable, Iterable
from typing import Literal

from anypod.core.identity import SessionKey

_State = Literal["shut", "ajar", "busy"]  # nothing may go; one call may; that one is under way


class SessionOrdering:
    """Of most sessions nothing is known, and everything may go. `known`: of which something is; looked at for every append."""

    __slots__ = ("known",)

    def __init__(self) -> None:
        self.known: dict[SessionKey, _State] = {}

    def shut(self, key: SessionKey) -> None:
        """Of a session whose call was refused."""
        self.known[key] = "shut"

    def unlatch(self, keys: Iterable[SessionKey]) -> None:
        """From now on one call of each may go."""
        self.known.update(dict.fromkeys(keys, "ajar"))

    def unlatch_all(self) -> None:
        """Nothing is under way any more."""
        self.unlatch(list(self.known))

    def passes(self, key: SessionKey) -> bool:
        """Whether a call may go: then it is under way."""
        state = self.known.get(key)
        if state == "ajar":
            self.known[key] = "busy"
        return state is None or state == "ajar"

    def answered(self, key: SessionKey) -> bool:
        """Whether that was the call that went alone, so that the others may follow."""
        if self.known.get(key) != "busy":
            return False
        del self.known[key]
        return True

    def drop(self, is_stray: Callable[[SessionKey], bool]) -> None:
        for key in list(filter(is_stray, self.known)):
            del self.known[key]

    def clear(self) -> None:
        self.known.clear()
