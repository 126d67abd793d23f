"""The application: all routes over one session layer, and the one of the admin port.

Owns which routes there are. Must not know concrete stores.
"""

from collections.abc import Callable
from random import Random
from typing import Any

from fastapi import FastAPI
from starlette.responses import JSONResponse, Response
from starlette.routing import WebSocketRoute as StarletteWebSocketRoute
from starlette.types import ASGIApp

from anypod.api import cluster, erasure, events, problems, sessions, tickets
from anypod.api.dependencies import Dependencies
from anypod.api.guard import Guard, check_routes
from anypod.api.openapi import describe
from anypod.auth import Tickets
from anypod.hub.erasure import Erasures
from anypod.hub.layer import SessionLayer
from anypod.hub.membership import Membership
from anypod.telemetry import Metrics
from anypod.transport.asgi.websocket import WebSocketRoute
from anypod.transport.authenticate import Authenticator
from anypod.transport.cors import CorsMiddleware


class PublicApp(FastAPI):
    """With CORS around all of it, the handler of what has failed too: no middleware of Starlette's own stands outside that one."""

    def __init__(self, authenticator: Authenticator, metrics: Metrics, **described: Any) -> None:
        super().__init__(**described)
        self._authenticator = authenticator
        self._metrics = metrics

    def build_middleware_stack(self) -> ASGIApp:
        return CorsMiddleware(super().build_middleware_stack(), self._authenticator.cors, self._metrics)


def create_app(
    layer: SessionLayer,
    authenticator: Authenticator,
    rng: Random,
    *,
    streams: events.StreamOptions,
    issuer: Tickets,
    membership: Membership,
    erasures: Erasures,
    version: str,
) -> FastAPI:
    """What clients reach. Raises TypeError for a route without a guard."""
    described = {"title": "anypod", "version": version, "description": "Sessions that reconnect to any pod."}
    app = PublicApp(authenticator, layer.hub.metrics, **described, docs_url=None, redoc_url=None)
    context = Dependencies(layer, rng)
    guard = Guard(app, context, authenticator)
    problems.install(app, layer.hub.metrics)
    sessions.add_routes(guard, context)
    events.add_routes(guard, context, streams)
    tickets.add_routes(guard, context, issuer)
    cluster.add_routes(guard, context, membership)
    erasure.add_routes(guard, erasures)
    websocket = WebSocketRoute(layer, authenticator, outbox_bytes_max=streams.outbox_bytes_max)
    app.router.routes.append(StarletteWebSocketRoute("/v1/sessions/{session_id}/ws", websocket.__call__))
    check_routes(app.routes)
    describe(app)
    return app


def create_admin_app(metrics: Metrics, is_ready: Callable[[], bool]) -> FastAPI:
    """What operators and the platform reach; on a port of its own, because it asks for no credential."""
    app = FastAPI(title="anypod admin", openapi_url=None)
    problems.install(app, metrics)

    @app.get("/healthz/live")
    async def live() -> Response:
        """Is the process able to answer? Not whether its store is: a restart would not bring that back."""
        return JSONResponse({"status": "live"})

    @app.get("/healthz/ready")
    async def ready() -> Response:
        """Should the balancer send clients here?"""
        return JSONResponse({"status": "ready"}) if is_ready() else JSONResponse({"status": "not ready"}, 503)

    @app.get("/metrics")
    async def exposition() -> Response:
        """Prometheus text."""
        return Response(metrics.exposition(), media_type="text/plain; version=0.0.4; charset=utf-8")

    return app
