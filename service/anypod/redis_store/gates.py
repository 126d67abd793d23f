"""Which sessions' calls may go, while slots move.

Owns what is known of the sessions of which a call was refused. Must not know the calls.

A server may refuse one call and take the one behind it, when it becomes the owner of their slot in between. So after a refusal,
and after a change of servers, a session's next call goes alone, and the others once that one is answered.
"""

from collections.abc import Callable, Iterable
from typing import Literal

from anypod.core.identity import SessionKey

_State = Literal["shut", "ajar", "busy"]  # nothing may go; one call may; that one is under way


class Gates:
    """Of most sessions nothing is known, and everything may go."""

    __slots__ = ("_states",)

    def __init__(self) -> None:
        self._states: dict[SessionKey, _State] = {}

    def __bool__(self) -> bool:
        return bool(self._states)

    def shut(self, key: SessionKey) -> None:
        """Of a session whose call was refused."""
        self._states[key] = "shut"

    def unlatch(self, keys: Iterable[SessionKey]) -> None:
        """From now on one call of each may go."""
        self._states.update(dict.fromkeys(keys, "ajar"))

    def unlatch_all(self) -> None:
        """Nothing is under way any more."""
        self.unlatch(list(self._states))

    def passes(self, key: SessionKey) -> bool:
        """Whether a call may go: then it is under way."""
        state = self._states.get(key)
        if state == "ajar":
            self._states[key] = "busy"
        return state is None or state == "ajar"

    def answered(self, key: SessionKey) -> bool:
        """Whether that was the call that went alone, so that the others may follow."""
        if self._states.get(key) != "busy":
            return False
        del self._states[key]
        return True

    def drop(self, is_stray: Callable[[SessionKey], bool]) -> None:
        for key in list(filter(is_stray, self._states)):
            del self._states[key]

    def clear(self) -> None:
        self._states.clear()
