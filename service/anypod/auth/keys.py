"""The public keys that credentials are signed with, each pinned to one algorithm and one issuer.

Owns which algorithm a key is for: it is decided from the key, never from the credential (RFC 8725, 3.1). HS256 is for our secret
alone, so that no client can sign with what is published; `none` is no algorithm at all. Must not know where keys come from.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, get_args

import msgspec
from joserfc import jws
from joserfc.errors import JoseError
from joserfc.jwa import JWSAlgModel
from joserfc.jwk import ECKey, OKPKey, RSAKey
from msgspec import Struct

from anypod.auth.base64url import CREDENTIAL_BYTES_MAX
from anypod.auth.hs256 import ALGORITHM as HS256
from anypod.auth.jose_header import canonical
from anypod.auth.principal import refusal
from anypod.settings import Algorithm

KEYS_MAX: Final = 100  # of one set; providers publish two to ten
_RSA_BYTES: Final = range(256, 1_025)  # of the modulus: 2,048 bits at least, and a bound on the work of a check

_RSA_ALGORITHMS: Final = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512")
_CURVE_ALGORITHMS: Final = {"P-256": "ES256", "P-384": "ES384", "P-521": "ES512", "Ed25519": "EdDSA"}
ALGORITHMS: Final[frozenset[str]] = frozenset(get_args(Algorithm))


@dataclass(frozen=True, slots=True)
class Key:
    """`issuer`: only its credentials may be signed with it; None: it may say anything of its issuer."""

    kid: str | None
    algorithm: str
    issuer: str | None
    material: RSAKey | ECKey | OKPKey

    def payload_of(self, credential: bytes) -> bytes:
        """What was signed. Raises AnypodError `not_authenticated` unless it was signed with this key."""
        try:
            return _checked_payload(credential, self)
        except (JoseError, ValueError, TypeError) as exc:
            raise refusal("the credential's signature does not verify") from exc


class _Jwk(Struct):
    """One member of a key set: what we look at before the key itself is imported."""

    kty: str
    kid: str | None = None
    alg: str | None = None
    use: str | None = None
    key_ops: list[str] | None = None
    crv: str | None = None
    n: str | None = None


class _KeySet(Struct):
    keys: list[msgspec.Raw]


def parse_key_set(text: bytes, issuer: str | None) -> Mapping[str | None, list[Key]]:
    """The public signing keys of a JWKS document by kid. Raises ValueError when it is none; a key that we cannot use is left out.

    Several keys may share a kid, as long as their algorithms differ.
    """
    try:
        raws = msgspec.json.decode(text, type=_KeySet).keys
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as exc:
        raise ValueError("this is not a JWKS document") from exc
    by_kid: dict[str | None, list[Key]] = {}
    for raw in raws[:KEYS_MAX]:
        if key := _usable(raw, issuer):
            by_kid.setdefault(key.kid, []).append(key)
    return by_kid


def _usable(raw: msgspec.Raw, issuer: str | None) -> Key | None:
    try:
        jwk = msgspec.json.decode(raw, type=_Jwk)
        algorithm = _pinned(jwk)
        if algorithm is None or not _is_for_signatures(jwk):
            return None
        return Key(jwk.kid, algorithm, issuer, _material(msgspec.json.decode(raw), jwk.kty))
    except (msgspec.MsgspecError, JoseError, ValueError, TypeError, KeyError):
        return None


def _pinned(jwk: _Jwk) -> str | None:
    """The one algorithm of a public key: its own word within what its type can do. A secret in a public set is none."""
    match jwk.kty:
        case "RSA" if len(jwk.n or "") * 3 // 4 in _RSA_BYTES:
            algorithm = jwk.alg or "RS256"
            return algorithm if algorithm in _RSA_ALGORITHMS else None
        case "EC" | "OKP":
            algorithm = _CURVE_ALGORITHMS.get(jwk.crv or "", "")
            return algorithm if algorithm and canonical(jwk.alg or algorithm) == algorithm else None
        case _:
            return None


def _is_for_signatures(jwk: _Jwk) -> bool:
    return jwk.use in {None, "sig"} and (jwk.key_ops is None or "verify" in jwk.key_ops)


def _material(members: dict[str, Any], kty: str) -> RSAKey | ECKey | OKPKey:
    public = {name: value for name, value in members.items() if name in {"kty", "crv", "n", "e", "x", "y"}}
    match kty:
        case "RSA":
            return RSAKey.import_key(public)
        case "EC":
            return ECKey.import_key(public)
        case _:
            return OKPKey.import_key(public)


class _Registry(jws.JWSRegistry):
    max_header_length = CREDENTIAL_BYTES_MAX  # some providers put certificates into the header

    def get_alg(self, name: str) -> JWSAlgModel:
        return super().get_alg("Ed25519" if canonical(name) == "EdDSA" else name)


# One registry an algorithm: the library, too, sees no other.
_registries: Final = {
    algorithm: _Registry(algorithms=["Ed25519" if algorithm == "EdDSA" else algorithm], strict_check_header=False)
    for algorithm in ALGORITHMS - {HS256}
}


def _checked_payload(credential: bytes, key: Key) -> bytes:
    signed = jws.deserialize_compact(credential, key.material, registry=_registries[key.algorithm])
    assert signed.payload is not None
    return signed.payload
