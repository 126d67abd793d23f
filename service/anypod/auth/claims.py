"""What a credential says: its header before the check, its claims after.

Owns which claims are needed, their form, and how they become a principal. Must not know keys, signatures or where
credentials come from.

    {"sub": "user-7", "aud": "anypod", "exp": 1767225600, "iss": "https://login.example",
     "anypod": {"tenant": "acme", "sessions": ["support-*"], "can": ["read", "publish"], "kinds": ["message"]}}

The tenant stands in `anypod.tenant` or, for issuers that cannot nest, in a claim `tenant` beside it.
"""

from base64 import urlsafe_b64decode
from functools import lru_cache
from typing import Final

import msgspec
from msgspec import Struct

from anypod.auth.principal import RIGHTS, RIGHTS_BY_DEFAULT, Principal, Right
from anypod.core.errors import AnypodError
from anypod.core.identity import SUBJECT_CHARS_MAX, Subject, TenantId, is_name, is_tenant

NOT_BEFORE_LEEWAY_S: Final = 5.0  # issuers' clocks run ahead; `exp` has no leeway, because a session asks for a fresh one long before
PATTERNS_MAX: Final = 100  # of sessions, and of kinds: each is tried at every attach, or at every publish
_TYPES: Final = frozenset({None, "jwt", "at+jwt"})  # an identity or logout credential of the same issuer is none for us


class Header(Struct):
    alg: str
    kid: str | None = None
    typ: str | None = None
    crit: object = None


class _Grant(Struct):
    tenant: str | None = None
    sessions: list[str] | None = None
    can: list[str] | None = None
    kinds: list[str] | None = None


class Claims(Struct):
    sub: str
    exp: float
    aud: str | list[str]
    nbf: float | None = None
    iss: str | None = None
    tenant: str | None = None
    anypod: _Grant | None = None


class _Issuer(Struct):
    iss: str | None = None


_header: Final = msgspec.json.Decoder(Header)
_claims: Final = msgspec.json.Decoder(Claims)
_issuer: Final = msgspec.json.Decoder(_Issuer)


def refusal(message: str) -> AnypodError:
    return AnypodError("not_authenticated", message)


def parse_unverified(credential: str) -> tuple[Header, str | None]:
    """Header and claimed issuer, good for choosing the key and for nothing else. Raises AnypodError `not_authenticated`."""
    try:
        head, body, _ = credential.split(".")
        header, issuer = _header.decode(_unpadded(head)), _issuer.decode(_unpadded(body)).iss
    except (ValueError, msgspec.MsgspecError, RecursionError) as exc:
        raise refusal("the credential is not a JWT") from exc
    if header.crit is not None:
        raise refusal("the credential asks for an extension that is not understood")
    if (header.typ.lower().removeprefix("application/") if header.typ else None) not in _TYPES:
        raise refusal("the credential is of another type")
    return header, issuer


def _unpadded(segment: str) -> bytes:
    return urlsafe_b64decode(segment + "=" * (-len(segment) % 4))


def principal_of(payload: bytes, *, issuer: str | None, audience: str, now_s: float) -> Principal:
    """Who signed claims speak of. Raises AnypodError `not_authenticated`, naming the claim that is wrong but not quoting it."""
    try:
        claims = _claims.decode(payload)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as exc:
        raise refusal("the credential lacks a claim or has one of a wrong type: it needs sub, exp, aud and a tenant") from exc
    if issuer is not None and claims.iss != issuer:
        raise refusal("the credential is of another issuer")
    if audience not in ([claims.aud] if isinstance(claims.aud, str) else claims.aud):
        raise refusal("the credential is for another audience")
    if claims.exp <= now_s:
        raise refusal("the credential has expired")
    if claims.nbf is not None and claims.nbf > now_s + NOT_BEFORE_LEEWAY_S:
        raise refusal("the credential is not valid yet")
    return _principal(claims, claims.anypod or _Grant())


def _principal(claims: Claims, grant: _Grant) -> Principal:
    return Principal(
        tenant=_tenant(claims.tenant, grant.tenant),
        subject=_subject(claims.sub),
        expires_at=claims.exp,
        can=RIGHTS_BY_DEFAULT if grant.can is None else _rights(tuple(grant.can)),
        sessions=_patterns("sessions", grant.sessions),
        kinds=_patterns("kinds", grant.kinds),
    )


@lru_cache(256)
def _rights(can: tuple[str, ...]) -> frozenset[Right]:
    """One set for all credentials that say the same: an issuer has three or four kinds of them.

    A right that this version does not know gives nothing, so that issuers may be ahead of replicas.
    """
    return frozenset(right for right in RIGHTS if right in can)


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


def _patterns(claim: str, patterns: list[str] | None) -> tuple[str, ...] | None:
    if patterns is None:
        return None
    if len(patterns) > PATTERNS_MAX or not all(pattern == "*" or is_name(pattern.removesuffix("*")) for pattern in patterns):
        raise refusal(f"the credential's {claim} must be at most {PATTERNS_MAX} names; only the last character may be an asterisk")
    return tuple(patterns)
