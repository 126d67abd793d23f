"""Make credentials, for development, tests and services that issue their own.

Owns how a principal becomes claims: the reverse of `claims`. Must not know what the credential is for.
"""

from typing import Final

from msgspec import json

from anypod.auth.base64url import encoded
from anypod.auth.hs256 import ALGORITHM, SecretKey
from anypod.auth.principal import Principal

_HEADER: Final = {"alg": ALGORITHM, "typ": "JWT"}


def mint(principal: Principal, secret: str, *, audience: str = "anypod", issuer: str | None = None, kid: str | None = None) -> str:
    """A JWT signed with HS256, which the verifier of that secret turns back into the same principal."""
    grant: dict[str, str | list[str]] = {"tenant": principal.tenant, "can": sorted(principal.can)}
    if principal.sessions is not None:
        grant["sessions"] = list(principal.sessions)
    if principal.kinds is not None:
        grant["kinds"] = list(principal.kinds)
    claims: dict[str, object] = {"sub": principal.subject, "aud": audience, "exp": principal.expires_at, "anypod": grant}
    if issuer is not None:
        claims["iss"] = issuer
    header = _HEADER if kid is None else {**_HEADER, "kid": kid}
    signed = b"%b.%b" % (encoded(json.encode(header)), encoded(json.encode(claims)))
    return (signed + b"." + SecretKey(secret, issuer).signature_of(signed)).decode()
