"""Credentials for a cluster in dev mode.

Owns who takes part in the demonstration, and the dev key. Must not know how a credential is signed.
"""

from collections.abc import Sequence
from typing import Final

from anypod.auth import RIGHTS, RIGHTS_BY_DEFAULT, Principal, Right, mint
from anypod.clock import SystemClock
from anypod.core.errors import AnypodError
from anypod.core.identity import SUBJECT_CHARS_MAX, Subject, TenantId, is_tenant
from anypod.settings import DEV_SECRET

DEMO_TENANT: Final = "demo"
DEMO_SESSION: Final = "demo"
TTL_S: Final = 12 * 3_600  # as long as somebody may leave a terminal open


def reader_credential(session: str = DEMO_SESSION) -> str:
    """May do what a client may: read, and say something."""
    return dev_credential(DEMO_TENANT, "you", sessions=[session])


def worker_credential(session: str = DEMO_SESSION) -> str:
    """May publish what an agent does: the deltas of an answer and what completes it."""
    return dev_credential(DEMO_TENANT, "agent", sessions=[session], can=[*RIGHTS_BY_DEFAULT, "turn"])


def dev_credential(
    tenant: str,
    subject: str,
    *,
    can: Sequence[str] | None = None,
    kinds: Sequence[str] | None = None,
    sessions: Sequence[str] | None = None,
    ttl_s: int = TTL_S,
) -> str:
    """A JWT signed with the dev key. None: what a credential without that claim has. Raises AnypodError `malformed`."""
    if not is_tenant(tenant):
        raise AnypodError("malformed", f"{tenant!r} is not a tenant: 1 to 64 of A-Z a-z 0-9 _ . -")
    if not 0 < len(subject) <= SUBJECT_CHARS_MAX:
        raise AnypodError("malformed", f"a subject has 1 to {SUBJECT_CHARS_MAX} characters")
    principal = Principal(
        TenantId(tenant),
        Subject(subject),
        expires_at=SystemClock().wall_ms() // 1_000 + ttl_s,
        can=RIGHTS_BY_DEFAULT if can is None else frozenset(map(_right, can)),
        kinds=None if kinds is None else tuple(kinds),
        sessions=None if sessions is None else tuple(sessions),
    )
    return mint(principal, DEV_SECRET)


def _right(name: str) -> Right:
    for right in RIGHTS:
        if right == name:
            return right
    raise AnypodError("malformed", f"{name!r} is not a right: there are {', '.join(sorted(RIGHTS))}")
