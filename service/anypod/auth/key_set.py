"""The public keys of one issuer, as they stand at one address.

Owns when they are fetched again and how long old ones are good. Must not know HTTP, nor credentials.
Two sets never share a key: a kid means something only together with its issuer and its address.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from typing import Final

from anypod.auth.keys import Key, parse_key_set
from anypod.clock import Clock
from anypod.core.errors import AnypodError, unavailable

FRESH_S: Final = 300.0  # a key that its issuer takes back works for us that much longer
STALE_S_MAX: Final = 3_600.0  # while the issuer cannot be reached; then its credentials are no longer accepted
REFRESH_S_MIN: Final = 10.0  # between two fetches, whatever unknown kids are shown to us

Fetch = Callable[[str], Awaitable[bytes]]

logger = logging.getLogger(__name__)


class RemoteKeySet:
    def __init__(self, url: str, issuer: str | None, *, fetch: Fetch, clock: Clock) -> None:
        self.issuer: Final = issuer
        self._url = url
        self._fetch = fetch
        self._clock = clock
        self._lock = asyncio.Lock()
        self._keys: Mapping[str | None, list[Key]] = {}
        self._fetched_at_s = float("-inf")
        self._tried_at_s = float("-inf")

    async def find(self, algorithm: str, kid: str | None) -> Key | None:
        """The key, None when the issuer has no such key. Raises AnypodError `unavailable` while that cannot be known.

        Singleflight: concurrent callers share one fetch; a caller that finds a key which is merely old does not wait at all.
        """
        key = self._held(algorithm, kid)
        if self._is_fetch_due(key):
            await self._refresh()
            key = self._held(algorithm, kid)
        if key is None and self._fetched_at_s < self._tried_at_s:
            raise unavailable(retry_after_ms=int(REFRESH_S_MIN * 1_000))
        return key

    def _held(self, algorithm: str, kid: str | None) -> Key | None:
        """Without a kid in the credential the algorithm must name one key alone."""
        if self._clock.now() - self._fetched_at_s > STALE_S_MAX:
            return None
        keys = self._keys.get(kid, []) if kid is not None else [key for keys in self._keys.values() for key in keys]
        fitting = [key for key in keys if key.algorithm == algorithm]
        return fitting[0] if len(fitting) == 1 else None

    def _is_fetch_due(self, key: Key | None) -> bool:
        now = self._clock.now()
        if now - self._tried_at_s < REFRESH_S_MIN:
            return False
        return key is None or (now - self._fetched_at_s > FRESH_S and not self._lock.locked())

    async def _refresh(self) -> None:
        async with self._lock:
            if self._clock.now() - self._tried_at_s < REFRESH_S_MIN:
                return  # another caller did while we waited
            try:
                keys = parse_key_set(await self._fetch(self._url), self.issuer)
            except (AnypodError, ValueError) as exc:
                self._tried_at_s = self._clock.now()
                logger.warning("the key set at %s could not be fetched: %s", self._url, exc)
                return
            # Only now: a fetch that was cancelled with its caller counts neither as tried nor as done.
            self._tried_at_s = self._fetched_at_s = self._clock.now()
            self._keys = keys
