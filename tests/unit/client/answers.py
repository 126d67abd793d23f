"""Frames and errors in the forms that HTTP gives them. Owns the bytes. Must not know what they say."""

import json
from typing import Any

from aiohttp import web

Json = dict[str, Any]


def sse(frame: Json, cursor: str | None = None) -> bytes:
    head = f"id: {cursor}\n" if cursor is not None else ""
    return f"{head}event: {frame['type']}\ndata: {json.dumps(frame)}\n\n".encode()


def problem(status: int, body: Json) -> web.Response:
    return web.Response(status=status, body=json.dumps(body).encode(), content_type="application/problem+json")
