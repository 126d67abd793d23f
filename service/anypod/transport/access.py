"""Who stands at the door: the principal and the origin of a request.

Owns what is checked before anything else happens. Must not know sessions: whether one may be reached, the hub decides.
"""

from collections.abc import Mapping, Sequence

from anypod.auth import Principal, Verifier, credential_of, origin_allowed
from anypod.core.errors import AnypodError


class Door:
    def __init__(self, verifier: Verifier, origins: Sequence[str]) -> None:
        self._verifier = verifier
        self._origins = origins

    def known(self, headers: Mapping[str, str], subprotocols: Sequence[str] = ()) -> Principal | None:
        """The principal, where nobody needs to be asked for a key; None: ask `principal`. Raises as that does."""
        return self._verifier.known(self._credential(headers, subprotocols))

    async def principal(self, headers: Mapping[str, str], subprotocols: Sequence[str] = ()) -> Principal:
        """Raises AnypodError `not_allowed` for a foreign page, `not_authenticated` for a missing or bad credential."""
        credential = self._credential(headers, subprotocols)
        return await self._verifier.verify(credential)

    def _credential(self, headers: Mapping[str, str], subprotocols: Sequence[str]) -> str:
        if not origin_allowed(headers.get("origin"), headers.get("host"), self._origins):
            raise AnypodError("not_allowed", "pages of this origin may not connect: it is not among ANYPOD_ORIGINS")
        return credential_of(headers.get("authorization"), subprotocols)
