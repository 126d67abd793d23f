"""Embedding: the session routes inside an application of yours, FastAPI or Starlette, over the portable (ASGI) path.

Owns which requests the session layer answers there, and its place in the application's lifespan. Must not know what the routes do, nor
the server that runs the application.
"""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any, Final

from starlette.applications import Starlette
from starlette.routing import BaseRoute, Match
from starlette.types import ASGIApp, Receive, Scope, Send

from anypod.replica import Replica
from anypod.settings import Settings, load_settings
from anypod.transport.authenticate import Authenticate

PREFIX: Final = "/v1/"  # every route of the session layer begins so; the description of its application is not served


class SessionService:
    """The session layer of an application. `admin_app`: health, readiness and metrics, an ASGI application to mount where you like."""

    def __init__(self, replica: Replica) -> None:
        self._replica = replica
        self.admin_app: ASGIApp = replica.admin_app

    @property
    def is_ready(self) -> bool:
        """Should the balancer send clients here?"""
        return self._replica.is_ready

    async def drain(self, window_s: float) -> int:
        """Ask every client to reconnect elsewhere, evenly over `window_s` seconds; the number of clients. Not ready from then on.

        For your server's shutdown, before it closes connections: the end of the lifespan comes after that.
        """
        return await self._replica.drain(window_s)


def mount(app: Starlette, settings: Settings | None = None, *, authenticate: Authenticate | None = None) -> SessionService:
    """Serve sessions at `/v1/…` of this application, a FastAPI or any other Starlette, from the start of its lifespan to the end.

    `settings`: None reads the environment, as `anypod serve` does; host, port and transport are your server's affair.
    `authenticate`: is awaited with the headers and the query of a request and returns its `Principal`, or raises
    `AnypodError("not_authenticated")`. Set `credentials="application"` (ANYPOD_CREDENTIALS) with it, and no JWT secret is needed. None:
    credentials are JWTs, as the settings say. A route of yours that was added before wins.

    Raises SettingError; AnypodError `malformed` where settings and `authenticate` do not agree. The lifespan raises AnypodError when the
    store cannot be used.
    """
    replica = Replica(settings if settings is not None else load_settings(), authenticate=authenticate)
    app.router.routes.append(_SessionRoutes(replica.app))
    app.router.lifespan_context = _composed(replica, app.router.lifespan_context)
    return SessionService(replica)


class _SessionRoutes(BaseRoute):
    """One route for all of them: their own application answers, with its errors and its CORS headers."""

    def __init__(self, app: Starlette) -> None:
        self._app = app
        self._routes = [route for route in app.routes if getattr(route, "path", "").startswith(PREFIX)]

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        """PARTIAL counts: another method of the same path, and a preflight, are answered by the session layer too."""
        is_ours = any(route.matches(scope)[0] is not Match.NONE for route in self._routes)
        return (Match.FULL if is_ours else Match.NONE), {}

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._app(scope, receive, send)


def _composed(replica: Replica, inner: Any) -> Any:
    """The session layer starts before the application's own lifespan and ends after it, so that both ends of that may use it."""

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[Mapping[str, Any] | None]:
        try:
            await replica.start()
            async with inner(app) as state:
                yield state
        finally:
            replica.refuse_traffic()
            await replica.close()

    return lifespan
