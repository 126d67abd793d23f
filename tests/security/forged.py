"""Credentials that nobody may be let in with, each wrong in one way (RFC 8725).

Owns how they are forged. Must not know where they are shown.
"""

import json
import time
from base64 import urlsafe_b64encode
from collections.abc import Callable, Mapping
from typing import Any, Final

from joserfc import jws
from joserfc.jwk import ECKey, OctKey, OKPKey, RSAKey
from tests.support.replica_process import SECRET, credential

Signer = OctKey | RSAKey | ECKey | OKPKey


def claims(**changed: Any) -> dict[str, Any]:
    good = {"sub": "ann", "aud": "anypod", "exp": time.time() + 600, "anypod": {"tenant": "acme"}}
    return {name: value for name, value in (good | changed).items() if value is not None}


def signed(claimed: Mapping[str, Any], key: Signer, **header: Any) -> str:
    registry = jws.JWSRegistry(algorithms=[header["alg"]], strict_check_header=False)
    return jws.serialize_compact(header, json.dumps(claimed).encode(), key, registry=registry)


def ours(**changed: Any) -> str:
    """Signed with the replicas' own secret, and still wrong."""
    return signed(claims(**changed), OctKey.import_key(SECRET), alg="HS256")


def unsigned(algorithm: str) -> str:
    parts = [json.dumps(part).encode() for part in ({"alg": algorithm, "typ": "JWT"}, claims())]
    return ".".join(urlsafe_b64encode(part).decode().rstrip("=") for part in parts) + "."


def changed_after_signing() -> str:
    header, body, signature = credential("acme", "ann").split(".")
    body = urlsafe_b64encode(json.dumps(claims(sub="root")).encode()).decode().rstrip("=")
    return f"{header}.{body}.{signature}"


def by_a_key_that_it_brings() -> str:
    key = RSAKey.generate_key(2_048)
    return signed(claims(), key, alg="RS256", jwk=key.as_dict(private=False))


def by_a_public_key_as_a_secret() -> str:
    pem = RSAKey.generate_key(2_048).as_pem(private=False)
    return signed(claims(), OctKey.import_key(urlsafe_b64encode(pem).decode()), alg="HS256")


FORGED: Final[Mapping[str, Callable[[], str]]] = {
    "no JWT": lambda: "nonsense",
    "three empty parts": lambda: "..",
    "alg none": lambda: unsigned("none"),
    "alg None": lambda: unsigned("None"),
    "HS256 without a signature": lambda: unsigned("HS256"),
    "another secret": lambda: credential("acme", "ann", secret="a-secret-that-these-replicas-do-not-know"),
    "a claim changed after signing": changed_after_signing,
    "a foreign RSA key": lambda: signed(claims(), RSAKey.generate_key(2_048), alg="RS256", kid="k"),
    "a foreign EC key": lambda: signed(claims(), ECKey.generate_key("P-256"), alg="ES256", kid="k"),
    "a foreign Ed25519 key": lambda: signed(claims(), OKPKey.generate_key("Ed25519"), alg="Ed25519", kid="k"),
    "a key that it brings along": by_a_key_that_it_brings,
    "a public key as a secret": by_a_public_key_as_a_secret,
    "an algorithm that is not accepted": lambda: signed(claims(), OctKey.import_key(SECRET * 2), alg="HS512"),
    "expired": lambda: ours(exp=time.time() - 1),
    "without an end": lambda: ours(exp=None),
    "not valid yet": lambda: ours(nbf=time.time() + 60),
    "another audience": lambda: ours(aud="others"),
    "no tenant": lambda: ours(anypod={}),
    "a tenant that is a path": lambda: ours(anypod={"tenant": "acme/s1"}),
    "a subject with a line's end": lambda: ours(sub="ann\r\nroot"),
    "a critical extension": lambda: signed(claims(), OctKey.import_key(SECRET), alg="HS256", crit=["kid"], kid="k"),
    "another type": lambda: signed(claims(), OctKey.import_key(SECRET), alg="HS256", typ="logout+jwt"),
    "nearly as long as a line of a head may be": lambda: "a" * 7_000 + "." + "b" * 900 + ".c",
}
