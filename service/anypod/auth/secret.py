"""The secret that we share with whoever signs our credentials.

Owns HS256, the check and the signature, with the standard library alone (decision 9): a replica that takes over from another
checks thousands of credentials for the first time within seconds. Must not know other algorithms, nor what a credential claims.
"""

import hmac
from typing import Final

from anypod.auth.refusal import refusal
from anypod.auth.segment import decoded, encoded
from anypod.settings import SECRET_BYTES_MIN

ALGORITHM: Final = "HS256"  # a secret is good for this one, whatever a credential says of itself (RFC 8725, 3.1)


class SecretKey:
    """`issuer`: it signs for nobody else; None: it may say anything of its issuer."""

    __slots__ = ("_keyed", "issuer")

    def __init__(self, secret: str, issuer: str | None) -> None:
        self.issuer: Final = issuer
        self._keyed = hmac.new(secret_bytes(secret), digestmod="sha256")  # of nothing yet: each check goes on from a copy

    def payload_of(self, credential: bytes) -> bytes:
        """What was signed. Raises AnypodError `not_authenticated` unless it was signed with this secret.

        Signatures are compared as text: bytes have one text only, so that nothing else that would be decoded to the same passes.
        """
        signed, _, signature = credential.rpartition(b".")
        if not hmac.compare_digest(self.signature_of(signed), signature):
            raise refusal("the credential's signature does not verify")
        try:
            return decoded(signed.partition(b".")[2])
        except ValueError as exc:
            raise refusal("the credential is not a JWT") from exc

    def signature_of(self, signed: bytes) -> bytes:
        code = self._keyed.copy()
        code.update(signed)
        return encoded(code.digest())


def secret_bytes(secret: str) -> bytes:
    raw = secret.encode()
    assert len(raw) >= SECRET_BYTES_MIN, f"a secret needs {SECRET_BYTES_MIN} bytes"
    return raw
