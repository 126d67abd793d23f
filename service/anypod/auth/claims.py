"""What a credential claims.

Owns which claims are needed, their form, and how they become a principal. Must not know headers, keys, signatures or where
credentials come from.

    {"sub": "user-7", "aud": "anypod", "exp": 1767225600, "iss": "https://login.example",
     "anypod": {"tenant": "acme", "sessions": ["support-*"], "can": ["read", "publish"], "kinds": ["message"]}}

The tenant stands in `anypod.tenant` or, for issuers that cannot nest, in a claim `tenant` beside it.
"""

from functools import lru_cache
from typing import Final

import msgspec
from msgspec import Struct

from anypod.auth.principal import RIGHTS, RIGHTS_BY_DEFAULT, Principal, Right, refusal
from anypod.core.identity import SUBJECT_CHARS_MAX, Subject, TenantId, is_name, is_tenant

NOT_BEFORE_LEEWAY_S: Final = 5.0  # issuers' clocks run ahead; `exp` has no leeway, because a session asks for a fresh one long before
PATTERNS_MAX: Final = 100  # of sessions, and of kinds: each is tried at every attach, or at every publish

# What many credentials say alike is checked once and kept once. They are signed, so that only an issuer fills this memory.
_TENANTS_MAX: Final = 1_024  # of 64 letters
_GRANTS_MAX: Final = 256  # lists of rights or of patterns, each smaller than a credential's 8 KiB


class _Grant(Struct):
    tenant: str | None = None
    sessions: tuple[str, ...] | None = None
    can: tuple[str, ...] | None = None
    kinds: tuple[str, ...] | None = None


class _Claims(Struct):
    sub: str
    exp: float
    aud: str | list[str]
    nbf: float | None = None
    iss: str | None = None
    tenant: str | None = None
    anypod: _Grant | None = None


class _Issuer(Struct):
    iss: str | None = None


_claims: Final = msgspec.json.Decoder(_Claims)
_issuer: Final = msgspec.json.Decoder(_Issuer)
_NO_GRANT: Final = _Grant()


def claimed_issuer(payload: bytes) -> str | None:
    """Unverified: good for choosing whose keys to ask for, and for nothing else. Raises AnypodError `not_authenticated`."""
    try:
        return _issuer.decode(payload).iss
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as exc:
        raise refusal("the credential is not a JWT") from exc


def principal_of(payload: bytes, *, issuer: str | None, audience: str, now_s: float) -> Principal:
    """The principal of signed claims. Raises AnypodError `not_authenticated`, naming the claim that is wrong but not quoting it."""
    try:
        claims = _claims.decode(payload)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as exc:
        raise refusal("the credential lacks a claim or has one of a wrong type: it needs sub, exp, aud and a tenant") from exc
    if issuer is not None and claims.iss != issuer:
        raise refusal("the credential is of another issuer")
    if claims.aud != audience and (isinstance(claims.aud, str) or audience not in claims.aud):
        raise refusal("the credential is for another audience")
    if claims.exp <= now_s:
        raise refusal("the credential has expired")
    if claims.nbf is not None and claims.nbf > now_s + NOT_BEFORE_LEEWAY_S:
        raise refusal("the credential is not valid yet")
    return _principal(claims, claims.anypod or _NO_GRANT)


def _principal(claims: _Claims, grant: _Grant) -> Principal:
    return Principal(
        tenant=_tenant(claims.tenant, grant.tenant),
        subject=_subject(claims.sub),
        expires_at=claims.exp,
        can=RIGHTS_BY_DEFAULT if grant.can is None else _rights(grant.can),
        sessions=None if grant.sessions is None else _patterns("sessions", grant.sessions),
        kinds=None if grant.kinds is None else _patterns("kinds", grant.kinds),
    )


@lru_cache(_GRANTS_MAX)
def _rights(can: tuple[str, ...]) -> frozenset[Right]:
    """A right that this version does not know gives nothing, so that issuers may be ahead of replicas."""
    return frozenset(right for right in RIGHTS if right in can)


@lru_cache(_TENANTS_MAX)
def _tenant(beside: str | None, nested: str | None) -> TenantId:
    tenant = nested if nested is not None else beside
    if tenant is None or not is_tenant(tenant):
        raise refusal("the credential's tenant must be 1 to 64 of A-Z a-z 0-9 _ . -")
    if beside not in {None, tenant}:
        raise refusal("the credential names two tenants")
    return TenantId(tenant)


def _subject(sub: str) -> Subject:
    if not 0 < len(sub) <= SUBJECT_CHARS_MAX or not sub.isprintable():
        raise refusal(f"the credential's sub must be 1 to {SUBJECT_CHARS_MAX} printable characters")
    return Subject(sub)


@lru_cache(_GRANTS_MAX)
def _patterns(claim: str, patterns: tuple[str, ...]) -> tuple[str, ...]:
    if len(patterns) > PATTERNS_MAX or not all(pattern == "*" or is_name(pattern.removesuffix("*")) for pattern in patterns):
        raise refusal(f"the credential's {claim} must be at most {PATTERNS_MAX} names; only the last character may be an asterisk")
    return patterns
