"""The cluster's page: which replicas serve, and what each holds.

Owns this route. Must not know how replicas hear of each other.
"""

import msgspec
from fastapi import APIRouter, Request
from msgspec import Struct
from starlette.responses import Response

from anypod.api.context import Context
from anypod.api.description import answers
from anypod.hub.fleet import Fellow, Fleet


class ClusterView(Struct):
    """`replicas`: all that serve, by name; `connections`: of them together."""

    replicas: tuple[Fellow, ...]
    connections: int


def router(context: Context, fleet: Fleet) -> APIRouter:
    routes = APIRouter(tags=["cluster"])
    at = ClusterRoutes(context, fleet)
    routes.get("/v1/cluster", openapi_extra=answers(200, ClusterView))(at.read)
    return routes


class ClusterRoutes:
    def __init__(self, context: Context, fleet: Fleet) -> None:
        self._context = context
        self._fleet = fleet

    async def read(self, request: Request) -> Response:
        """Every replica as it last told the others, some seconds ago at most; this one as it is."""
        principal = await self._context.principal(request, "admin")
        self._context.take_permit(principal)
        fellows = await self._fleet.announce()
        view = ClusterView(tuple(fellows), sum(fellow.connections for fellow in fellows))
        return Response(msgspec.json.encode(view), headers={"Cache-Control": "no-store"}, media_type="application/json")
