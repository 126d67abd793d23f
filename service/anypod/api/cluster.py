"""The cluster's page: which replicas serve, and what each holds.

Owns this route. Must not know how replicas hear of each other.
"""

import msgspec
from fastapi import Request
from msgspec import Struct
from starlette.responses import Response

from anypod.api.dependencies import Dependencies
from anypod.api.guard import Caller, Guard
from anypod.api.openapi import answers
from anypod.hub.membership import Membership, ReplicaMember


class ClusterView(Struct):
    """`replicas`: all that serve, by name; `connections`: of them together."""

    replicas: tuple[ReplicaMember, ...]
    connections: int


def add_routes(guard: Guard, context: Dependencies, membership: Membership) -> None:
    at = ClusterRoutes(context, membership)
    guard.add("GET", "/v1/cluster", at.read, needs="admin", costs="request", tag="cluster", openapi_extra=answers(200, ClusterView))


class ClusterRoutes:
    def __init__(self, context: Dependencies, membership: Membership) -> None:
        self._context = context
        self._membership = membership

    async def read(self, caller: Caller, request: Request) -> Response:
        """Every replica as it last told the others, some seconds ago at most; this one as it is."""
        members = await self._membership.announce()
        view = ClusterView(tuple(members), sum(member.connections for member in members))
        return Response(msgspec.json.encode(view), headers={"Cache-Control": "no-store"}, media_type="application/json")
