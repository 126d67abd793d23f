"""The guard before every route: what is registered says which access it needs, and its handler runs once that was granted.

Owns the registration, and the check of an application that no route goes without. Must not know what a route does.
"""

import inspect
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from functools import wraps
from typing import Any, Concatenate, Final, Literal, ParamSpec

from fastapi import FastAPI, Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route, WebSocketRoute

from anypod.api.dependencies import Dependencies
from anypod.auth import Access, Principal, authorise, owner_demanded
from anypod.core.errors import AnypodError
from anypod.core.identity import SessionKey, Subject
from anypod.core.permits import Account, Action
from anypod.store import Page
from anypod.transport.attach_query import session_key
from anypod.transport.authenticate import Authenticator

OPEN: Final = frozenset({"/openapi.json"})  # without a credential: what the service speaks is no secret

P = ParamSpec("P")


@dataclass(frozen=True, slots=True)
class Caller:
    """An authorised request, with the access that was granted. `page`: of the session, where the guard has read it."""

    principal: Principal
    access: Access
    account: Account
    session: SessionKey | None = None
    page: Page | None = None

    @property
    def key(self) -> SessionKey:
        assert self.session is not None, "the route's path names no session"
        return self.session

    @property
    def owner(self) -> Subject | None:
        """For the store to insist on."""
        return owner_demanded(self.principal, self.access)


Handler = Callable[Concatenate[Caller, Request, P], Awaitable[Response]]


class Guard:
    """Registers the routes of one application."""

    def __init__(self, app: FastAPI, context: Dependencies, authenticator: Authenticator) -> None:
        self._app = app
        self._context = context
        self._authenticator = authenticator
        self._accounts = context.layer.hub.accounts

    def add(
        self,
        method: str,
        path: str,
        handler: Handler[P],
        *,
        needs: Access,
        costs: Action,
        tag: str,
        owner_by: Literal["guard", "handler"] = "guard",
        takes_tickets: bool = False,
        **described: Any,
    ) -> None:
        """`needs`: of the caller, in the session that the path names, if it does. `costs`: the permits of its subject and tenant.

        `owner_by`: which part compares the owner of the session: the guard, which reads it before; or the
        handler, which hands `Caller.owner` to the store with its write, or reads by `Dependencies.page` itself.
        `takes_tickets`: for a stream. `described`: as FastAPI takes it.
        """
        reads_first = owner_by == "guard" and "{session_id}" in path

        @wraps(handler)
        async def guarded(request: Request, *args: P.args, **given: P.kwargs) -> Response:
            caller = await self._let_in(request, needs, takes_tickets=takes_tickets)
            await self._context.charge(caller.account, costs)
            bulkhead = self._accounts.bulkhead(caller.account)
            await bulkhead.enter()
            try:
                return await handle(caller, request, *args, **given)
            finally:
                bulkhead.leave()

        async def handle(caller: Caller, request: Request, *args: P.args, **given: P.kwargs) -> Response:
            if reads_first:
                page = await self._context.page(caller.principal, caller.key, needs)
                caller = Caller(caller.principal, needs, caller.account, caller.session, page)
            response = await handler(caller, request, *args, **given)
            self._accounts.read(caller.account, len(response.body) if hasattr(response, "body") else 0)
            return response

        signature = inspect.signature(handler)
        _caller, *rest = signature.parameters.values()
        guarded.__signature__ = signature.replace(parameters=rest)  # type: ignore[attr-defined]
        guarded.__dict__["needs"] = needs
        guarded.__dict__["costs"] = costs
        self._app.add_api_route(path, guarded, methods=[method], tags=[tag], **described)

    async def _let_in(self, request: Request, needs: Access, *, takes_tickets: bool) -> Caller:
        """Raises AnypodError `not_authenticated`, `not_allowed`, `no_such_session`."""
        headers, query = request.headers, request.query_params
        try:
            if takes_tickets and wants_stream(request):
                principal = await self._authenticator.principal(headers, query=query)
            else:
                principal = await self._authenticator.caller(headers, query)
        except AnypodError as error:
            if not error.row.is_retryable:
                await self._context.waiting.hold_refusal()
            raise
        named = request.path_params.get("session_id")
        key = session_key(principal.tenant, named) if named is not None else None
        authorise(principal, None if key is None else key.session, needs)
        return Caller(principal, needs, self._accounts.of(principal), key)


def wants_stream(request: Request) -> bool:
    return "text/event-stream" in request.headers.get("accept", "")


def needs_of(route: BaseRoute) -> Access | None:
    """The access that a route needs. None: it takes no credential. Raises TypeError for a route that names no access."""
    path = getattr(route, "path", None)
    if isinstance(route, Route | WebSocketRoute):
        needs: Access | None = getattr(getattr(route.endpoint, "__self__", route.endpoint), "needs", None)
        if needs is not None or path in OPEN:
            return needs
    raise TypeError(f"a route without a guard: {path or route}")


def check_routes(routes: Sequence[BaseRoute]) -> None:
    """Raises TypeError for a route that would be served without asking `authorise`: the application is not built with one."""
    for route in routes:
        needs_of(route)
