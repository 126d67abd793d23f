"""Tickets over HTTP: a credential is shown here, so that a page need not show it where it connects.

Owns this route. Must not know what a ticket is made of, nor where it is redeemed.
"""

from typing import Final

import msgspec
from fastapi import APIRouter, Request
from msgspec import Struct
from starlette.responses import Response

from anypod.api.bodies import decode, read_body
from anypod.api.context import Context
from anypod.api.description import answers, takes
from anypod.auth import Tickets
from anypod.core.errors import AnypodError

TICKET_BODY_BYTES_MAX: Final = 1_024  # the name of a session, generously


class TicketBody(Struct, kw_only=True):
    """`session_id`: the ticket opens this one session; without it, whatever the credential reaches."""

    session_id: str | None = None


class TicketView(Struct):
    """`ticket`: for the subprotocol `ticket.<ticket>`, or for `Authorization: Ticket <ticket>` of a stream; once."""

    ticket: str
    expires_in_ms: int


def router(context: Context, tickets: Tickets) -> APIRouter:
    routes = APIRouter(tags=["tickets"])
    at = TicketRoutes(context, tickets)
    routes.post("/v1/tickets", status_code=201, openapi_extra=takes(TicketBody, is_required=False) | answers(201, TicketView))(at.issue)
    return routes


class TicketRoutes:
    def __init__(self, context: Context, tickets: Tickets) -> None:
        self._context = context
        self._tickets = tickets

    async def issue(self, request: Request) -> Response:
        """Issue a ticket: for half a minute it stands for the credential, and opens one WebSocket or stream."""
        principal = await self._context.principal(request, "read")
        body = decode(await read_body(request, TICKET_BODY_BYTES_MAX) or b"{}", TicketBody)
        self._context.take_permit(principal)
        only = None if body.session_id is None else self._context.key(principal, body.session_id).session
        if only is not None and not principal.reaches(only, None):
            raise AnypodError("not_allowed", "the credential does not reach this session")
        issued = await self._tickets.issue(principal, only)
        view = TicketView(issued.ticket, issued.expires_in_ms)
        return Response(msgspec.json.encode(view), 201, {"Cache-Control": "no-store"}, media_type="application/json")
