"""Check credentials.

Owns the way from a credential to its principal and the memory of those already checked. Must not know transports.
"""

from collections import OrderedDict
from collections.abc import Sequence
from hashlib import blake2b
from typing import TYPE_CHECKING, Final

from anypod.auth.base64url import CREDENTIAL_BYTES_MAX, decoded
from anypod.auth.claims import claimed_issuer, principal_of
from anypod.auth.hs256 import ALGORITHM as HS256
from anypod.auth.hs256 import SecretKey, SecretRing
from anypod.auth.http_fetch import Fetcher
from anypod.auth.jose_header import JoseHeader, parse_header
from anypod.auth.principal import Principal, refusal
from anypod.clock import Clock
from anypod.settings import Settings

if TYPE_CHECKING:
    from anypod.auth.key_set import RemoteKeySet
    from anypod.auth.keys import Key

CACHED_MAX: Final = 20_000  # about 450 bytes each; beyond it the one unused for longest is checked anew
CACHED_S_MAX: Final = 300.0  # a revoked key of an issuer lets no client in for longer; for a secret of ours it is `RELOAD_S`


class Verifier:
    def __init__(
        self, clock: Clock, *, audience: str, algorithms: Sequence[str], secrets: SecretRing | None, key_sets: "Sequence[RemoteKeySet]"
    ) -> None:
        self._clock = clock
        self._audience = audience
        self._algorithms = frozenset(algorithms)
        self._secrets = secrets
        self._key_sets = tuple(key_sets)
        self._cache: OrderedDict[bytes, tuple[Principal, float]] = OrderedDict()

    def cached(self, credential: str) -> Principal | None:
        """The principal of a credential that was checked before and still holds, without waiting."""
        return self._cached(_digest(_bytes_of(credential)))

    def known(self, credential: str) -> Principal | None:
        """The principal where no key has to be fetched: the credential was checked before, or our own secret signs it. None: ask `verify`.

        Raises AnypodError `not_authenticated`.
        """
        shown = _bytes_of(credential)
        digest = _digest(shown)
        if principal := self._cached(digest):
            return principal
        if self._secrets is None or (header := self._header(shown)).algorithm != HS256:
            return None
        key = self._secrets.key_of(shown, header.kid)
        return self._checked(shown, digest, key) if key is not None else None

    async def verify(self, credential: str) -> Principal:
        """Raises AnypodError `not_authenticated`, or `unavailable` while the issuer's keys cannot be fetched."""
        if principal := self.known(credential):
            return principal
        shown = _bytes_of(credential)
        return self._checked(shown, _digest(shown), await self._issuers_key(shown))

    def _cached(self, digest: bytes) -> Principal | None:
        if self._secrets is not None and self._secrets.has_changed():
            self._cache.clear()
        if (entry := self._cache.get(digest)) is None:
            return None
        principal, until_s = entry
        if self._now_s() >= until_s:
            del self._cache[digest]
            return None
        self._cache.move_to_end(digest)
        return principal

    def _header(self, shown: bytes) -> JoseHeader:
        header = parse_header(shown.partition(b".")[0])
        if header.algorithm not in self._algorithms:
            raise refusal("the credential is signed with an algorithm that is not accepted here")
        return header

    def _checked(self, shown: bytes, digest: bytes, key: "Key | SecretKey") -> Principal:
        payload = key.payload_of(shown)
        now_s = self._now_s()
        principal = principal_of(payload, issuer=key.issuer, audience=self._audience, now_s=now_s)
        self._remember(digest, principal, min(principal.expires_at, now_s + CACHED_S_MAX))
        return principal

    async def _issuers_key(self, shown: bytes) -> "Key":
        """The one key that this credential may be signed with: the sets of its issuer are asked, and no others."""
        header = self._header(shown)
        if header.algorithm != HS256:
            issuer = claimed_issuer(_body(shown))
            for key_set in self._key_sets:
                if key_set.issuer in {None, issuer} and (key := await key_set.find(header.algorithm, header.kid)):
                    return key
        raise refusal("the credential is signed with a key that is not known here")

    def _remember(self, digest: bytes, principal: Principal, until_s: float) -> None:
        self._cache[digest] = (principal, until_s)
        if len(self._cache) > CACHED_MAX:
            self._cache.popitem(last=False)

    def _now_s(self) -> float:
        return self._clock.wall_ms() / 1_000


def verifier_of(settings: Settings, clock: Clock, fetcher: Fetcher) -> Verifier:
    """The verifier that the settings ask for. The caller closes `fetcher`."""
    return Verifier(
        clock,
        audience=settings.jwt_audience,
        algorithms=settings.jwt_algorithms,
        secrets=SecretRing(lambda: settings.signing_secrets, settings.jwt_issuer, clock) if settings.signing_secrets else None,
        key_sets=_key_sets_of(settings, clock, fetcher) if settings.key_set_sources else (),
    )


def _key_sets_of(settings: Settings, clock: Clock, fetcher: Fetcher) -> "Sequence[RemoteKeySet]":
    """Imported late: public keys bring libraries along, without which a replica starts a third of a second sooner."""
    from anypod.auth.key_set import RemoteKeySet

    fetcher.prepare()
    return [RemoteKeySet(source.url, source.issuer, fetch=fetcher.fetch, clock=clock) for source in settings.key_set_sources]


def _bytes_of(credential: str) -> bytes:
    if len(credential) > CREDENTIAL_BYTES_MAX or not credential.isascii():
        raise refusal(f"the credential is not a JWT of at most {CREDENTIAL_BYTES_MAX} bytes")
    return credential.encode()


def _digest(shown: bytes) -> bytes:
    """The memory holds no credential that could be read out of a dump."""
    return blake2b(shown, digest_size=16).digest()


def _body(shown: bytes) -> bytes:
    try:
        _, body, _ = shown.split(b".")
        return decoded(body)
    except ValueError as exc:
        raise refusal("the credential is not a JWT") from exc
