"""Pages of other origins use every route, or none: a table of requests against both servers, over sockets, as a browser makes them."""

import json
from collections.abc import AsyncIterator, Mapping
from typing import Any

import aiohttp
import pytest
from tests.fast_transport.served import Served, served

from anypod.transport.cors import PREFLIGHT_S

PAGE = "https://app.example.com"
UNDER = "https://eu.apps.example.net"
FOREIGN = "https://evil.example"
ORIGINS = f"{PAGE},https://*.apps.example.net"
ALLOWED = ("access-control-allow-origin", "access-control-allow-credentials", "access-control-expose-headers")

# Method, path, headers, body, and the status that a page of the same host gets as well.
REQUESTS: list[tuple[str, str, dict[str, str], Any, int]] = [
    ("POST", "/v1/sessions", {}, {"session_id": "s"}, 201),
    ("GET", "/v1/sessions", {}, None, 200),
    ("GET", "/v1/sessions/s", {}, None, 200),
    ("PATCH", "/v1/sessions/s", {}, {"state": {"a": 1}}, 200),
    ("POST", "/v1/sessions/s/events", {"Idempotency-Key": "k"}, {"kind": "message", "data": 1}, 201),
    ("GET", "/v1/sessions/s/events", {}, None, 200),
    ("GET", "/v1/sessions/s/events?wait=0", {}, None, 200),
    ("GET", "/v1/sessions/s/history", {}, None, 200),
    ("POST", "/v1/sessions/s/signals", {}, {"name": "ring"}, 202),
    ("POST", "/v1/tickets", {}, None, 201),
    ("GET", "/openapi.json", {}, None, 200),
    ("GET", "/v1/sessions/s/events", {"Accept": "text/event-stream"}, None, 200),
    # Errors of every kind, each made by another part:
    ("GET", "/v1/sessions/missing", {}, None, 404),
    ("GET", "/nowhere", {}, None, 404),
    ("PUT", "/v1/sessions", {}, None, 405),
    ("GET", "/v1/sessions", {"Authorization": "Bearer rubbish"}, None, 401),
    ("GET", "/v1/cluster", {}, None, 403),
    ("POST", "/v1/sessions/s/events", {}, {"kind": "x.no-data"}, 400),
    ("GET", "/v1/sessions/s/events?after=e-1-2-3", {}, None, 410),
    ("GET", "/v1/sessions/s/events", {"Accept": "text/event-stream", "Authorization": "Bearer rubbish"}, None, 401),
    ("GET", "/v1/sessions/s/events?history=x", {"Accept": "text/event-stream"}, None, 400),
    ("GET", "/v1/sessions/s/events?class=none", {"Accept": "text/event-stream"}, None, 200),
    ("POST", "/v1/sessions/s/close", {}, None, 200),
    ("DELETE", "/v1/sessions/s", {}, None, 204),
]


@pytest.fixture(params=["lean", "portable"])
async def at(request: pytest.FixtureRequest) -> AsyncIterator[Served]:
    async with served(request.param, origins=ORIGINS) as one:
        yield one


class Answer:
    def __init__(self, response: aiohttp.ClientResponse, body: bytes) -> None:
        self.status = response.status
        self.body = body
        self.headers: Mapping[str, str] = {name.lower(): value for name, value in response.headers.items()}
        assert len(response.headers) == len(self.headers), f"a header stands twice: {response.headers}"

    @property
    def allowed(self) -> tuple[str | None, ...]:
        return tuple(self.headers.get(name) for name in ALLOWED)


async def ask(at: Served, request: str, origin: str | None, headers: Mapping[str, str], body: Any = None) -> Answer:
    method, path = request.split(" ")
    given = {"Authorization": f"Bearer {at.credential}", **headers, **({"Origin": origin} if origin else {})}
    async with (
        aiohttp.ClientSession() as http,
        http.request(method, at.url + path, headers=given, data=None if body is None else json.dumps(body)) as response,
    ):
        is_stream = response.content_type == "text/event-stream"
        return Answer(response, await (response.content.readany() if is_stream else response.read()))


@pytest.mark.parametrize("origin", [PAGE, UNDER])
async def test_an_allowed_page_reads_every_answer_of_every_route_errors_too(at: Served, origin: str) -> None:
    for method, path, headers, body, status in REQUESTS:
        answer = await ask(at, f"{method} {path}", origin, headers, body)
        assert answer.status == status, (method, path, answer.body)
        assert answer.allowed == (origin, "true", "ETag, Retry-After"), (method, path)
        assert answer.headers["vary"] == "Origin"


async def test_a_foreign_page_gets_nothing_of_any_route_and_no_header_that_lets_it_read_the_refusal(at: Served) -> None:
    for method, path, headers, body, _ in REQUESTS:
        answer = await ask(at, f"{method} {path}", FOREIGN, headers, body)
        assert answer.status == 403, (method, path, answer.body)
        assert json.loads(answer.body)["code"] == "not_allowed"
        assert answer.allowed == (None, None, None)
        assert answer.headers["vary"] == "Origin"
    assert (await ask(at, "GET /v1/sessions/s", None, {})).status == 404, "nothing was done for it"


async def test_without_an_origin_nothing_is_allowed_and_caches_are_told_what_an_answer_depends_on(at: Served) -> None:
    for method, path, headers, body, status in REQUESTS:
        answer = await ask(at, f"{method} {path}", None, headers, body)
        assert (answer.status, answer.allowed, answer.headers["vary"]) == (status, (None, None, None), "Origin"), (method, path)


async def test_a_preflight_is_answered_without_a_credential_and_kept(at: Served) -> None:
    asks = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "authorization,idempotency-key", "Authorization": ""}
    for path in {path for _, path, *_ in REQUESTS}:
        answer = await ask(at, f"OPTIONS {path}", PAGE, asks)
        assert (answer.status, answer.body, answer.allowed[:2]) == (204, b"", (PAGE, "true"))
        assert answer.headers["access-control-max-age"] == str(PREFLIGHT_S)
        assert set(answer.headers["access-control-allow-methods"].split(", ")) == {"GET", "POST", "PUT", "PATCH", "DELETE"}
        assert set(answer.headers["access-control-allow-headers"].split(", ")) == {
            "Authorization",
            "Content-Type",
            "Idempotency-Key",
            "If-Match",
            "Last-Event-ID",
        }
        refused = await ask(at, f"OPTIONS {path}", FOREIGN, asks)
        assert (refused.status, refused.allowed) == (403, (None, None, None))
        assert not [name for name in refused.headers if name.startswith("access-control")]


async def test_options_that_is_no_preflight_is_a_method_like_any_other(at: Served) -> None:
    assert (await ask(at, "OPTIONS /v1/sessions", PAGE, {})).status == 405


@pytest.mark.parametrize("transport", ["lean", "portable"])
async def test_everybody_is_answered_by_a_star_and_then_without_credentials_of_the_browser(transport: str) -> None:
    async with served(transport, origins=f"*,{PAGE}") as at:
        for headers in ({}, {"Accept": "text/event-stream"}):
            anybody = await ask(at, "GET /v1/sessions/s/events?wait=0", FOREIGN, headers)
            assert (anybody.status, anybody.allowed) == (200, ("*", None, "ETag, Retry-After"))
            named = await ask(at, "GET /v1/sessions/s/events?wait=0", PAGE, headers)
            assert (named.status, named.allowed) == (200, (PAGE, "true", "ETag, Retry-After"))


@pytest.mark.parametrize("transport", ["lean", "portable"])
async def test_a_page_of_the_same_host_needs_no_setting_and_all_others_are_foreign(transport: str) -> None:
    async with served(transport) as at:
        for headers in ({}, {"Accept": "text/event-stream"}):
            own = await ask(at, "GET /v1/sessions/s/events?wait=0", at.url, headers)
            assert (own.status, own.allowed[0]) == (200, at.url)
            assert (await ask(at, "GET /v1/sessions/s/events?wait=0", PAGE, headers)).status == 403


@pytest.mark.parametrize("transport", ["lean", "portable"])
async def test_a_stream_that_is_sent_away_can_be_read_by_its_page(transport: str) -> None:
    """An overloaded replica ends a stream in the stream: a page that may not read it would never hear the time to come again."""
    async with served(transport, origins=ORIGINS) as at:
        at.replica.layer.hub.is_leaving = True
        answer = await ask(at, "GET /v1/sessions/s/events", PAGE, {"Accept": "text/event-stream"})
        assert (answer.status, answer.allowed[0]) == (200, PAGE)
        assert b"retry:" in answer.body
