"""Tickets over HTTP: a credential is shown here, so that a page need not show it where it connects.

Owns this route. Must not know what a ticket is made of, nor where it is redeemed.
"""

from typing import Final

import msgspec
from fastapi import Request
from msgspec import Struct
from starlette.responses import Response

from anypod.api.bodies import decode
from anypod.api.dependencies import Dependencies
from anypod.api.guard import Caller, Guard
from anypod.api.openapi import answers, takes
from anypod.auth import Tickets, is_authorised
from anypod.core.errors import AnypodError
from anypod.transport.attach_query import session_key

TICKET_BODY_BYTES_MAX: Final = 1_024  # the name of a session, generously


class TicketBody(Struct, kw_only=True):
    """`session_id`: the ticket opens this one session; without it, whatever the credential reaches."""

    session_id: str | None = None


class TicketView(Struct):
    """`ticket`: for the subprotocol `ticket.<ticket>`, or for `Authorization: Ticket <ticket>` of a stream; once."""

    ticket: str
    expires_in_ms: int


def add_routes(guard: Guard, context: Dependencies, tickets: Tickets) -> None:
    at = TicketRoutes(context, tickets)
    described = takes(TicketBody, is_required=False) | answers(201, TicketView)
    guard.add("POST", "/v1/tickets", at.issue, needs="read", costs="request", tag="tickets", status_code=201, openapi_extra=described)


class TicketRoutes:
    def __init__(self, context: Dependencies, tickets: Tickets) -> None:
        self._context = context
        self._tickets = tickets

    async def issue(self, caller: Caller, request: Request) -> Response:
        """Issue a ticket: for half a minute it stands for the credential, and opens one WebSocket or stream."""
        principal = caller.principal
        body = decode(await self._context.bodies.read(request, TICKET_BODY_BYTES_MAX) or b"{}", TicketBody)
        only = None if body.session_id is None else session_key(principal.tenant, body.session_id).session
        if not is_authorised(principal, only, "read"):
            raise AnypodError("not_allowed", "the credential does not reach this session")
        issued = await self._tickets.issue(principal, only)
        view = TicketView(issued.ticket, issued.expires_in_ms)
        return Response(msgspec.json.encode(view), 201, {"Cache-Control": "no-store"}, media_type="application/json")
