"""The header of a credential: what it says of itself before anything is checked.

Owns which headers are understood: the members that RFC 7515 registers, of the types that it gives them, each at most once
and none that changes what a signature means. Must not know keys, nor what the credential claims.
"""

import json
from functools import lru_cache
from typing import Annotated, Final, NamedTuple

import msgspec
from msgspec import UNSET, Meta, Struct, UnsetType, field

from anypod.auth.base64url import decoded
from anypod.auth.principal import refusal

HEADERS_MAX: Final = 100  # remembered, of at most a credential's 8 KiB each: an issuer has one header for each of its keys
_TYPES: Final = frozenset({"", "jwt", "at+jwt"})  # an identity or logout credential of the same issuer is none for us

_Url = Annotated[str, Meta(pattern="^https?://")]


class JoseHeader(NamedTuple):
    """`algorithm` has one name: `Ed25519` is the newer one (RFC 9864) of what providers still call `EdDSA`."""

    algorithm: str
    kid: str | None


class _Members(Struct):
    """Those that say where a key is to be found are only checked: keys come from the settings alone (RFC 8725, 3.10)."""

    alg: str
    kid: str | UnsetType = UNSET
    typ: str | UnsetType = UNSET
    cty: str | UnsetType = UNSET
    jku: _Url | UnsetType = UNSET
    jwk: dict[str, object] | UnsetType = UNSET
    x5u: _Url | UnsetType = UNSET
    x5c: list[str] | UnsetType = UNSET
    x5t: str | UnsetType = UNSET
    x5t_s256: str | UnsetType = field(default=UNSET, name="x5t#S256")
    crit: object = UNSET
    b64: object = UNSET


@lru_cache(HEADERS_MAX)
def parse_header(segment: bytes) -> JoseHeader:
    """Good for choosing the key and for nothing else. Raises AnypodError `not_authenticated`."""
    try:
        text = decoded(segment).decode()
        members = msgspec.convert(json.loads(text, object_pairs_hook=_each_once), _Members)
    except (ValueError, msgspec.MsgspecError, RecursionError) as exc:
        raise refusal("the credential is not a JWT") from exc
    if members.crit is not UNSET or members.b64 is not UNSET:
        raise refusal("the credential asks for an extension that is not understood")
    if (members.typ or "").lower().removeprefix("application/") not in _TYPES:
        raise refusal("the credential is of another type")
    return JoseHeader(canonical(members.alg), None if members.kid is UNSET else members.kid)


def canonical(algorithm: str) -> str:
    return "EdDSA" if algorithm == "Ed25519" else algorithm


def _each_once(pairs: list[tuple[str, object]]) -> dict[str, object]:
    """Of a name that stands twice one reader takes the first and another the last: two of them would check two things."""
    members = dict(pairs)
    if len(members) != len(pairs):
        raise ValueError("a name stands twice")
    return members
