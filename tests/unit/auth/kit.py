"""Credentials of every kind, right and wrong, and a verifier that knows whose they are."""

import hmac
import json
from base64 import urlsafe_b64encode
from typing import Any

import pytest
from joserfc import jws, jwt
from joserfc.jwk import ECKey, OctKey, OKPKey, RSAKey

from anypod.auth import Principal, Verifier
from anypod.auth.hs256 import SecretRing
from anypod.auth.key_set import RemoteKeySet
from anypod.auth.keys import ALGORITHMS
from anypod.core.errors import AnypodError
from anypod.core.identity import Subject, TenantId
from anypod.settings import SigningSecret

NOW_S = 1_800_000_000.0
SECRET = "a secret of at least thirty-two bytes"
ISSUER, URL = "https://login.example", "https://login.example/jwks.json"
ALICE = Principal(TenantId("acme"), Subject("alice"), NOW_S + 600)
CLAIMS = {"sub": "alice", "aud": "anypod", "exp": NOW_S + 600, "iss": ISSUER, "anypod": {"tenant": "acme"}}

RSA = RSAKey.generate_key(2_048, {"kid": "rsa", "use": "sig"})
EC = ECKey.generate_key("P-256", {"kid": "ec"})
ED = OKPKey.generate_key("Ed25519", {"kid": "ed"})


class StandingClock:
    def __init__(self) -> None:
        self.now_s = NOW_S

    def now(self) -> float:
        return self.now_s

    def wall_ms(self) -> int:
        return int(self.now_s * 1_000)

    async def sleep(self, seconds: float) -> None:
        self.now_s += seconds


def key_set(*keys: RSAKey | ECKey | OKPKey) -> bytes:
    return document(*(key.as_dict(private=False) for key in keys))


def document(*keys: dict[str, Any]) -> bytes:
    """As issuers publish keys."""
    return json.dumps({"keys": keys}).encode()


def verifier(clock: StandingClock | None = None, *, secret: str | None = SECRET, issuer: str | None = ISSUER) -> Verifier:
    """Takes HS256 with SECRET, and what the three keys sign."""
    clock = clock or StandingClock()

    async def fetch(url: str) -> bytes:
        assert url == URL
        return key_set(RSA, EC, ED)

    return Verifier(
        clock,
        audience="anypod",
        algorithms=sorted(ALGORITHMS),
        secrets=SecretRing(lambda: [SigningSecret(secret)], issuer, clock) if secret else None,
        key_sets=[RemoteKeySet(URL, issuer, fetch=fetch, clock=clock)],
    )


def sign(claims: dict[str, Any], key: OctKey | RSAKey | ECKey | OKPKey, **header: object) -> str:
    algorithm = str(header.setdefault("alg", "HS256"))
    registry = jws.JWSRegistry(algorithms=[algorithm], strict_check_header=False)
    return jwt.encode(header, claims, key, registry=registry)


def sign_hs(claims: dict[str, Any], **header: object) -> str:
    return sign(claims, OctKey.import_key(SECRET.encode()), **header)


def unsigned(header: dict[str, Any], claims: dict[str, Any], signature: str = "") -> str:
    return ".".join(urlsafe_b64encode(json.dumps(part).encode()).decode().rstrip("=") for part in (header, claims)) + "." + signature


def sign_by_hand(header: dict[str, Any], claims: dict[str, Any], secret: bytes = SECRET.encode()) -> str:
    """Signed well, whatever a library would say of the header."""
    head = unsigned(header, claims).removesuffix(".")
    return f"{head}.{urlsafe_b64encode(hmac.digest(secret, head.encode(), 'sha256')).decode().rstrip('=')}"


async def refusal_of(credential: str, checks: Verifier | None = None) -> str:
    with pytest.raises(AnypodError) as refusal:
        await (checks or verifier()).verify(credential)
    assert refusal.value.code == "not_authenticated"
    assert not any(len(part) > 3 and part in refusal.value.message for part in credential.split(".")), "it quotes nothing"
    return refusal.value.message
