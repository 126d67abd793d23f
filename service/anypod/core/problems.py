"""Errors as RFC 9457 problems: the body, whichever way it is sent.

Owns its members. Must not know HTTP servers.
"""

from typing import Final

import msgspec

from anypod.core.errors import AnypodError

MEDIA_TYPE: Final = "application/problem+json"


class Problem(msgspec.Struct, omit_defaults=True):
    """`code` is stable and for programs; `title` and `detail` are for people."""

    title: str
    status: int
    code: str
    detail: str | None = None
    retry_after_ms: int | None = None


def problem_body(error: AnypodError) -> bytes:
    row = error.row
    problem = Problem(
        title=row.title,
        status=row.status,
        code=error.code,
        detail=error.message if error.message != row.title else None,
        retry_after_ms=error.retry_after_ms,
    )
    body = msgspec.json.encode(problem)
    if error.reset is None:
        return body
    return error.reset[:-1] + b"," + body[1:]  # the members of session.reset beside those of the problem


def problem_headers(error: AnypodError) -> dict[str, str]:
    headers = {"Cache-Control": "no-store"}
    if error.retry_after_ms is not None:
        headers["Retry-After"] = str(-(-error.retry_after_ms // 1000))
    if error.code == "draining":
        headers["Connection"] = "close"  # the next request is to reach another replica
    if error.row.status == 401:
        headers["WWW-Authenticate"] = "Bearer"
    return headers
