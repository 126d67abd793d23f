"""What is asked of a replica by HTTP: by cases, and by transports that publish so.

Owns the requests and how an answer is told. Must not know cases.
"""

import io
import time
from collections.abc import Mapping
from typing import Any

import aiohttp
import msgspec
from tests.protocol.applied import Frame
from tests.protocol.attachment import Place


async def ask(place: Place, request: Mapping[str, Any]) -> Frame:
    """`{status, headers, body, took_s}`; `body` is decoded JSON, or text. Header names are in lower case."""
    headers = {name: value for name, value in {**place.headers, **request.get("headers", {})}.items() if value is not None}
    content = io.BytesIO(request["text"].encode()) if "text" in request else None
    if "body" in request:
        content = io.BytesIO(msgspec.json.encode(request["body"]))
        headers.setdefault("Content-Type", "application/json")
    url = _url(place, request.get("path", ""))
    began = time.monotonic()
    async with place.http.request(
        request.get("method", "GET"), url, params=request.get("query"), data=content, headers=headers, allow_redirects=False
    ) as response:
        text = await response.read()
        body = msgspec.json.decode(text) if text and "json" in response.content_type else text.decode()
        told = {name.lower(): value for name, value in response.headers.items()}
        return {"status": response.status, "headers": told, "body": body, "took_s": time.monotonic() - began}


def _url(place: Place, path: str) -> str:
    """A path of the session, unless it says where else."""
    if path.startswith(("/healthz", "/metrics")):
        return place.admin_url + path
    return (place.url if path.startswith(("/v1", "/nowhere")) else place.base) + path


async def problem_of(response: aiohttp.ClientResponse) -> Frame:
    """The problem document of a refusal."""
    body = await response.read()
    assert response.content_type == "application/problem+json", f"{response.status} came with {response.content_type}: {body!r}"
    problem: Frame = msgspec.json.decode(body)
    return problem


class ByHttp:
    """Publishing and the rest, for transports that only read."""

    def __init__(self, place: Place) -> None:
        self._place = place

    async def publish(self, event: Mapping[str, Any]) -> Frame:
        body = {name: value for name, value in event.items() if name != "expect"}
        answer = await self._ask("POST", "/events", body, event.get("expect"))
        return answer if "error" in answer else answer["results"][0]

    async def patch(self, patch: Mapping[str, Any]) -> Frame:
        body = {name: value for name, value in patch.items() if name != "expect"}
        answer = await self._ask("PATCH", "", body, patch.get("expect"))
        return answer if "error" in answer else {}

    async def history(self, asked: Mapping[str, Any]) -> Frame:
        answer = await ask(self._place, {"path": "/history", "query": {name: str(value) for name, value in asked.items()}})
        return _told(answer)

    async def signal(self, signal: Mapping[str, Any]) -> Frame:
        answer = await self._ask("POST", "/signals", signal, None)
        return answer if "error" in answer else {}

    async def _ask(self, method: str, path: str, body: Mapping[str, Any], expect: str | None) -> Frame:
        headers = {"If-Match": f'"{expect}"'} if expect is not None else {}
        return _told(await ask(self._place, {"method": method, "path": path, "body": body, "headers": headers}))


def _told(answer: Frame) -> Frame:
    """The body of an answer, or the code of a refusal."""
    if answer["status"] < 300:
        return answer["body"] if isinstance(answer["body"], dict) else {}
    problem = answer["body"]
    assert isinstance(problem, dict), f"{answer['status']} came without a problem document"
    assert problem["status"] == answer["status"]
    return {"error": problem["code"], **({"retry_after_ms": problem["retry_after_ms"]} if "retry_after_ms" in problem else {})}
