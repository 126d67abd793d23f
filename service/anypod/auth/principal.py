"""The principal of a request, and its rights.

Owns the rights of a credential, every decision about them (protocol.md, "Who may publish what"), and the answer to a credential that is
not accepted. Must not know how a credential is checked, nor sessions beyond their name and owner. No message quotes what was shown.
"""

from functools import lru_cache
from typing import Final, Literal, NamedTuple

from msgspec import Struct
from msgspec.structs import force_setattr

from anypod.core.errors import AnypodError
from anypod.core.event import WORKER_KINDS, author_json
from anypod.core.identity import SessionId, Subject, TenantId

Right = Literal["read", "publish", "signal", "cancel", "state", "turn", "admin"]
RIGHTS: Final[frozenset[Right]] = frozenset({"read", "publish", "signal", "cancel", "state", "turn", "admin"})
RIGHTS_BY_DEFAULT: Final[frozenset[Right]] = frozenset({"read", "publish", "signal", "cancel", "state"})
_CLIENT_KINDS: Final = ("message", "tool_result", "x.*")
_WORKER_KINDS: Final = ("*",)
_REPLICA_KINDS: Final = frozenset({"context_update", "cancel_requested"})  # written by replicas on behalf of a client
_KINDS_MAX: Final = 256  # sets of patterns that are remembered: an issuer has three or four kinds of credentials


class _Kinds(NamedTuple):
    """Patterns taken apart: they are asked for every event."""

    names: frozenset[str]
    starts: tuple[str, ...]


_NO_KINDS: Final = _Kinds(frozenset(), ())


class Principal(Struct, frozen=True):
    """A checked credential. A pattern is a name, or the beginning of names when it ends with `*`.

    `sessions`: patterns of the sessions that it reaches; None: those that its subject created.
    `only`: the one session that is left of these, with a narrowed ticket; None: all of them.
    `kinds`: patterns of the kinds that it may publish; None: see `may_publish`.
    `expires_at`: seconds since 1970.
    `owner_required`: whose every session must be that this credential touches; None: `sessions` decides by name. It follows from the
    others, whatever is given.
    """

    tenant: TenantId
    subject: Subject
    expires_at: float
    can: frozenset[Right] = RIGHTS_BY_DEFAULT
    sessions: tuple[str, ...] | None = None
    kinds: tuple[str, ...] | None = None
    only: SessionId | None = None
    owner_required: Subject | None = None
    _kinds: _Kinds = _NO_KINDS

    def __post_init__(self) -> None:
        kinds = self.kinds if self.kinds is not None else _WORKER_KINDS if "turn" in self.can else _CLIENT_KINDS
        force_setattr(self, "owner_required", self.subject if self.sessions is None else None)
        force_setattr(self, "_kinds", _taken_apart(kinds))

    @property
    def author(self) -> bytes:
        """The subject as it stands in events, as JSON. Made when it is asked for: most clients only read."""
        return author_json(self.subject)

    @property
    def is_admin(self) -> bool:
        return "admin" in self.can

    def may(self, right: Right) -> bool:
        return right in self.can

    def may_publish(self, kind: str, *, has_turn: bool = False) -> bool:
        """May it publish an event of this kind; `has_turn`: the event carries a turn.

        1. What a worker says of its turn needs the right `turn`, and so does whatever carries a turn: its fence is
           a small number, and to know a number is not to be permitted.
        2. `kinds`, where given, decides for everything else too.
        3. Otherwise a client has the kinds that clients need, and a worker all but those that replicas write themselves.
        """
        if "publish" not in self.can or kind in _REPLICA_KINDS:
            return False
        if "turn" not in self.can and (has_turn or _is_worker_kind(kind)):
            return False
        return kind in self._kinds.names or kind.startswith(self._kinds.starts)

    def reaches(self, session: SessionId | str, owner: Subject | None) -> bool:
        """Is this session of its tenant within its reach; `owner` None: it has not been created yet."""
        if self.only is not None and session != self.only:
            return False
        if self.sessions is None:
            return owner is None or owner == self.subject
        return _matches(session, self.sessions)

    def is_same_as(self, other: "Principal") -> bool:
        """Whether a fresh credential names the same tenant and subject (frame `auth`); its rights may differ."""
        return self.tenant == other.tenant and self.subject == other.subject


@lru_cache(_KINDS_MAX)
def _taken_apart(patterns: tuple[str, ...]) -> _Kinds:
    """One for all principals with the same patterns: a replica holds thousands."""
    return _Kinds(frozenset(patterns), tuple(pattern[:-1] for pattern in patterns if pattern.endswith("*")))


def _is_worker_kind(kind: str) -> bool:
    return kind in WORKER_KINDS or kind == "input_consumed" or kind.startswith("turn_")


def _matches(name: str, patterns: tuple[str, ...]) -> bool:
    for pattern in patterns:  # noqa: SIM110 - asked twice at every attach: a loop costs a quarter of a generator
        if name.startswith(pattern[:-1]) if pattern.endswith("*") else name == pattern:
            return True
    return False


def refusal(message: str) -> AnypodError:
    return AnypodError("not_authenticated", message)
