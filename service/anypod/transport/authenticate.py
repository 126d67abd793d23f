"""Who stands at the door: the principal and the origin of a request.

Owns what is checked before anything else happens. Must not know sessions: whether one may be reached, the hub decides.
"""

from collections.abc import Mapping, Sequence

from anypod.auth import Principal, Ticket, Tickets, Verifier, credential_of
from anypod.core.errors import AnypodError
from anypod.transport.cors import Cors, foreign_page


class Door:
    """`known` and `principal` are for who attaches, `caller` for who asks for anything else. `tickets`: None takes none.

    `cors`: the origins of pages, in the headers of answers.
    """

    def __init__(self, verifier: Verifier, origins: Sequence[str], tickets: Tickets | None = None) -> None:
        self._verifier = verifier
        self.cors = Cors(origins)
        self._tickets = tickets

    def known(self, headers: Mapping[str, str], subprotocols: Sequence[str] = ()) -> Principal | None:
        """The principal, where nobody needs to be asked for a key or a ticket; None: ask `principal`. Raises as that does."""
        shown = self._shown(headers, subprotocols)
        return None if isinstance(shown, Ticket) else self._verifier.known(shown)

    async def principal(self, headers: Mapping[str, str], subprotocols: Sequence[str] = ()) -> Principal:
        """Raises AnypodError `not_allowed` for a foreign page, `not_authenticated` for a missing or bad credential or ticket."""
        shown = self._shown(headers, subprotocols)
        if isinstance(shown, Ticket):
            return await self._redeemed(shown)
        return await self._verifier.verify(shown)

    async def caller(self, headers: Mapping[str, str]) -> Principal:
        """The same, but for tickets: they open attachments and nothing else."""
        shown = self._shown(headers, ())
        if isinstance(shown, Ticket):
            raise AnypodError("not_authenticated", "a ticket opens a WebSocket or a stream: here send Authorization: Bearer <JWT>")
        return await self._verifier.verify(shown)

    async def _redeemed(self, shown: Ticket) -> Principal:
        if self._tickets is None:
            raise AnypodError("not_authenticated", "tickets are not taken here")
        return await self._tickets.redeem(shown.text)

    def _shown(self, headers: Mapping[str, str], subprotocols: Sequence[str]) -> str | Ticket:
        if not self.cors.allows(headers.get("origin"), headers.get("host")):
            raise foreign_page()
        return credential_of(headers.get("authorization"), subprotocols)
