"""Authentication of requests: the principal and the origin.

Owns what is checked before anything else happens. Must not know sessions: whether one may be reached, the hub decides.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from typing import Final

from anypod.auth import Principal, Ticket, Tickets, Verifier, credential_of
from anypod.core.errors import AnypodError
from anypod.transport.cors import Cors, foreign_page

# An application's own authentication: the headers (names in lower case) and the query of a request, to the principal that makes it.
# Raises AnypodError `not_authenticated` for a request that it refuses.
Authenticate = Callable[[Mapping[str, str], Mapping[str, str]], Awaitable[Principal]]

NO_QUERY: Final[Mapping[str, str]] = {}


class Authenticator:
    """`known` and `principal` are for attaching clients, `caller` for all other requests. `tickets`: None takes none.

    `cors`: the origins of pages, in the headers of answers. `authenticate`: decides in the place of `verifier`, on the portable path;
    tickets are issued to its principals and taken from them as from others.
    """

    def __init__(
        self, verifier: Verifier, origins: Sequence[str], tickets: Tickets | None = None, authenticate: Authenticate | None = None
    ) -> None:
        self._verifier = verifier
        self._authenticate = authenticate
        self.cors = Cors(origins)
        self._tickets = tickets

    def known(self, headers: Mapping[str, str], subprotocols: Sequence[str] = ()) -> Principal | None:
        """The principal, where neither a key nor a ticket has to be fetched; None: ask `principal`. Raises as that does."""
        if self._authenticate is not None:
            return None
        shown = self._shown(headers, subprotocols)
        return None if isinstance(shown, Ticket) else self._verifier.known(shown)

    async def principal(
        self, headers: Mapping[str, str], subprotocols: Sequence[str] = (), query: Mapping[str, str] = NO_QUERY
    ) -> Principal:
        """Raises AnypodError `not_allowed` for a foreign page, `not_authenticated` for a missing or bad credential or ticket."""
        if self._authenticate is not None:
            self._check_origin(headers)
            ticket = _ticket_of(headers, subprotocols)
            return await (self._authenticate(headers, query) if ticket is None else self._redeemed(ticket))
        shown = self._shown(headers, subprotocols)
        if isinstance(shown, Ticket):
            return await self._redeemed(shown)
        return await self._verifier.verify(shown)

    async def caller(self, headers: Mapping[str, str], query: Mapping[str, str] = NO_QUERY) -> Principal:
        """The same, but for tickets: they open attachments and nothing else."""
        if self._authenticate is not None:
            self._check_origin(headers)
            return await self._authenticate(headers, query)
        shown = self._shown(headers, ())
        if isinstance(shown, Ticket):
            raise AnypodError("not_authenticated", "a ticket opens a WebSocket or a stream: here send Authorization: Bearer <JWT>")
        return await self._verifier.verify(shown)

    async def verify(self, credential: str) -> Principal:
        """The principal of a fresh credential (frame `auth`). Raises as `principal` does."""
        if self._authenticate is not None:
            return await self._authenticate({"authorization": f"Bearer {credential}"}, NO_QUERY)
        return await self._verifier.verify(credential)

    async def _redeemed(self, shown: Ticket) -> Principal:
        if self._tickets is None:
            raise AnypodError("not_authenticated", "tickets are not taken here")
        return await self._tickets.redeem(shown.text)

    def _shown(self, headers: Mapping[str, str], subprotocols: Sequence[str]) -> str | Ticket:
        self._check_origin(headers)
        return credential_of(headers.get("authorization"), subprotocols)

    def _check_origin(self, headers: Mapping[str, str]) -> None:
        if not self.cors.allows(headers.get("origin"), headers.get("host")):
            raise foreign_page()


def _ticket_of(headers: Mapping[str, str], subprotocols: Sequence[str]) -> Ticket | None:
    """None: the request shows no ticket; whether it shows anything else, the application decides."""
    with suppress(AnypodError):
        shown = credential_of(headers.get("authorization"), subprotocols)
        return shown if isinstance(shown, Ticket) else None
    return None
