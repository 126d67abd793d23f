"""Credentials that the command line makes.

Owns how options become a principal, and where the secret that signs comes from. Must not know the format of a credential.
"""

from collections.abc import Sequence
from typing import NamedTuple

from anypod.auth import RIGHTS, RIGHTS_BY_DEFAULT, Principal, Right, mint
from anypod.clock import SystemClock
from anypod.core.errors import AnypodError
from anypod.core.identity import SUBJECT_CHARS_MAX, Subject, TenantId, is_tenant


class Signer(NamedTuple):
    """What replicas check a credential with."""

    secret: str
    audience: str = "anypod"
    issuer: str | None = None
    kid: str | None = None


def configured_signer() -> Signer:
    """That of a replica with the environment of this process. Raises AnypodError where that has no secret."""
    from anypod.settings.loading import settings_from

    settings = settings_from()
    if not settings.signing_secrets:
        raise AnypodError("malformed", "there is no secret to sign with: set ANYPOD_JWT_SECRET or ANYPOD_JWT_SECRET_FILE")
    current = settings.signing_secrets[0]
    return Signer(current.secret, settings.jwt_audience, settings.jwt_issuer, current.kid)


def credential_of(
    signer: Signer,
    tenant: str,
    subject: str,
    *,
    can: Sequence[str] | None = None,
    kinds: Sequence[str] | None = None,
    sessions: Sequence[str] | None = None,
    ttl_s: int,
) -> str:
    """A JWT. None: what a credential without that claim has. Raises AnypodError `malformed`."""
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
    return mint(principal, signer.secret, audience=signer.audience, issuer=signer.issuer, kid=signer.kid)


def _right(name: str) -> Right:
    for right in RIGHTS:
        if right == name:
            return right
    raise AnypodError("malformed", f"{name!r} is not a right: there are {', '.join(sorted(RIGHTS))}")
