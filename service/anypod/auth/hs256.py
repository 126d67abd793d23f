"""The secrets shared with the issuer of our credentials: one, and during a rotation two.

Owns HS256, the check and the signature, with the standard library alone (decision 9): a replica that takes over from another
checks thousands of credentials for the first time within seconds. Owns which of several secrets a credential is checked with. Must not
know other algorithms, nor what a credential claims.
"""

import hmac
import logging
from collections.abc import Callable, Sequence
from typing import Final

from anypod.auth.base64url import decoded, encoded
from anypod.auth.principal import refusal
from anypod.clock import Clock
from anypod.settings import SECRET_BYTES_MIN, SigningSecret

ALGORITHM: Final = "HS256"  # a secret is good for this one, whatever a credential says of itself (RFC 8725, 3.1)
RELOAD_S: Final = 1.0  # between two looks at the secrets' files, made when a credential is shown: no longer does a removed one let in

logger = logging.getLogger(__name__)


class SecretKey:
    """`issuer`: the only one it signs for; None: it may say anything of its issuer."""

    __slots__ = ("_keyed", "issuer", "kid")

    def __init__(self, secret: str, issuer: str | None, kid: str | None = None) -> None:
        self.issuer: Final = issuer
        self.kid: Final = kid
        self._keyed = hmac.new(secret_bytes(secret), digestmod="sha256")  # of nothing yet: each check goes on from a copy

    def payload_of(self, credential: bytes) -> bytes:
        """What was signed. Raises AnypodError `not_authenticated` unless it was signed with this secret.

        Signatures are compared as text: bytes have one text only, so that nothing else that would be decoded to the same passes.
        """
        if not self.has_signed(credential):
            raise refusal("the credential's signature does not verify")
        try:
            return decoded(credential.rpartition(b".")[0].partition(b".")[2])
        except ValueError as exc:
            raise refusal("the credential is not a JWT") from exc

    def has_signed(self, credential: bytes) -> bool:
        signed, _, signature = credential.rpartition(b".")
        return hmac.compare_digest(self.signature_of(signed), signature)

    def signature_of(self, signed: bytes) -> bytes:
        code = self._keyed.copy()
        code.update(signed)
        return encoded(code.digest())


class SecretRing:
    """The secrets of now: `load` tells them, and raises ValueError while they cannot be used."""

    def __init__(self, load: Callable[[], Sequence[SigningSecret]], issuer: str | None, clock: Clock) -> None:
        self._load = load
        self._issuer = issuer
        self._clock = clock
        self._loaded: Sequence[SigningSecret] = ()
        self._keys: Sequence[SecretKey] = ()
        self._looked_at_s = float("-inf")
        self.has_changed()

    def __repr__(self) -> str:
        return f"SecretRing({len(self._keys)} secrets)"

    def has_changed(self) -> bool:
        """Whether there are others since this was asked last: what was checked with the earlier ones must be checked anew."""
        now_s = self._clock.now()
        if now_s - self._looked_at_s < RELOAD_S:
            return False
        self._looked_at_s = now_s
        try:
            loaded = self._load()
        except ValueError as exc:
            logger.warning("the signing secrets cannot be used together (%s); the last ones stay in use", exc)
            return False
        if loaded == self._loaded:
            return False
        if self._loaded:
            logger.info("the signing secrets have changed: %d of them are accepted now", len(loaded))
        self._loaded = loaded
        self._keys = [SecretKey(item.secret, self._issuer, item.kid) for item in loaded]
        return True

    def key_of(self, credential: bytes, kid: str | None) -> SecretKey | None:
        """What the credential is checked with: the secret that it names, else the one that has signed it; each is tried in turn.

        None: there is no secret. An issuer's own `kid` that names none of ours is as good as none.
        """
        if len(self._keys) == 1:
            return self._keys[0]  # nearly always: there are two during a rotation
        named = [key for key in self._keys if kid is not None and key.kid == kid]
        candidates = named or self._keys
        return next((key for key in candidates[:-1] if key.has_signed(credential)), candidates[-1] if candidates else None)


def secret_bytes(secret: str) -> bytes:
    raw = secret.encode()
    assert len(raw) >= SECRET_BYTES_MIN, f"a secret needs {SECRET_BYTES_MIN} bytes"
    return raw
