"""Erasure over HTTP: everything of a subject, or of the caller's tenant, is taken away; and how far that is.

Owns these routes. Must not know how anything is erased.
"""

from functools import partial
from typing import Final

import msgspec
from fastapi import Request
from msgspec import Struct
from starlette.responses import Response

from anypod.api.guard import Caller, Guard
from anypod.api.openapi import answers
from anypod.core.errors import AnypodError
from anypod.core.identity import SUBJECT_CHARS_MAX, Subject
from anypod.hub.erasure import Erasure, Erasures, Status, Target

EVERY_SESSION: Final = "*"


class ErasureView(Struct, omit_defaults=True):
    """`erased`: sessions so far; `asked_at`, `finished_at`: milliseconds since 1970."""

    erasure: str
    status: Status
    erased: int
    asked_at: int
    finished_at: int = 0


def add_routes(guard: Guard, erasures: Erasures) -> None:
    at = ErasureRoutes(erasures)
    add = partial(guard.add, needs="admin", tag="erasure")
    add("DELETE", "/v1/admin/subjects/{sub:path}", at.subject, costs="delete", status_code=202, openapi_extra=answers(202, ErasureView))
    add("DELETE", "/v1/admin/tenants/{tenant}", at.tenant, costs="delete", status_code=202, openapi_extra=answers(202, ErasureView))
    add("GET", "/v1/admin/erasures/{erasure}", at.look, costs="request", openapi_extra=answers(200, ErasureView))


class ErasureRoutes:
    def __init__(self, erasures: Erasures) -> None:
        self._erasures = erasures

    async def subject(self, caller: Caller, request: Request, sub: str) -> Response:
        """Erase everything of a subject of the caller's tenant, in the background; asked again meanwhile, it is the same erasure."""
        if not 0 < len(sub) <= SUBJECT_CHARS_MAX or not sub.isprintable():
            raise AnypodError("malformed", f"a subject has 1 to {SUBJECT_CHARS_MAX} printable characters")
        return await self._ask(caller, Subject(sub))

    async def tenant(self, caller: Caller, request: Request, tenant: str) -> Response:
        """Erase everything of the caller's tenant, in the background; of another one it is refused."""
        if tenant != caller.principal.tenant:
            raise AnypodError("not_allowed", "a credential erases nothing of another tenant")
        return await self._ask(caller, None)

    async def look(self, caller: Caller, request: Request, erasure: str) -> Response:
        """How far an erasure of the caller's tenant is. The answer is kept for a week after its end."""
        found = await self._erasures.find(caller.principal.tenant, erasure)
        if found is None:
            raise AnypodError("no_such_session", "there is no such erasure")
        return _answer(found, 200)

    async def _ask(self, caller: Caller, subject: Subject | None) -> Response:
        principal = caller.principal
        if EVERY_SESSION not in (principal.sessions or ()) or principal.only is not None:
            raise AnypodError("not_allowed", 'only a credential that reaches every session of its tenant ("sessions": ["*"]) may erase')
        return _answer(await self._erasures.ask(Target(principal.tenant, subject), principal.subject), 202)


def _answer(found: Erasure, status: int) -> Response:
    view = ErasureView(found.name, found.status, found.erased, found.asked_ms, found.finished_ms)
    return Response(msgspec.json.encode(view), status, {"Cache-Control": "no-store"}, media_type="application/json")
