"""Pages of other origins (Fetch standard, "CORS protocol"): which may read what a replica answers, and what their browsers are told.

Owns the headers of an answer and the answer to a preflight. Must not know routes. It stands around the whole application, so that errors
carry the headers too; a page that does not see a status cannot tell a refusal from a broken network.
"""

from collections.abc import Sequence
from typing import Final

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from anypod.auth import ANY_ORIGIN, origin_allowed
from anypod.core.errors import AnypodError
from anypod.core.problems import MEDIA_TYPE, problem_body, problem_headers
from anypod.telemetry import Metrics

PREFLIGHT_S: Final = 7_200  # how long a browser remembers the answer: Chromium keeps none for longer
METHODS: Final = b"GET, POST, PUT, PATCH, DELETE"
REQUEST_HEADERS: Final = b"Authorization, Content-Type, Idempotency-Key, If-Match, Last-Event-ID"
RESPONSE_HEADERS: Final = b"ETag, Retry-After"

Headers = Sequence[tuple[bytes, bytes]]

_VARY: Final = (b"vary", b"Origin")  # in every answer: a cache must not give that of one origin to another
_EXPOSED: Final = (b"access-control-expose-headers", RESPONSE_HEADERS)
_NO_PAGE: Final[Headers] = (_VARY,)
_ANY_PAGE: Final[Headers] = (_VARY, (b"access-control-allow-origin", b"*"), _EXPOSED)
_PREFLIGHT: Final[Headers] = (
    (b"access-control-allow-methods", METHODS),
    (b"access-control-allow-headers", REQUEST_HEADERS),
    (b"access-control-max-age", b"%d" % PREFLIGHT_S),
)


def foreign_page() -> AnypodError:
    return AnypodError("not_allowed", "pages of this origin may not connect: it is not among ANYPOD_ORIGINS")


class Cors:
    """The origins of the settings, as headers."""

    def __init__(self, allowed: Sequence[str]) -> None:
        self._named = tuple(origin for origin in allowed if origin != ANY_ORIGIN)
        self._is_any_allowed = ANY_ORIGIN in allowed

    def allows(self, origin: str | None, host: str | None) -> bool:
        """May a page of this origin use the replica? What is no page may."""
        return origin is None or self._is_any_allowed or origin_allowed(origin, host, self._named)

    def headers(self, origin: str | None, host: str | None) -> Headers:
        """Of an answer to this page; a foreign one is told nothing.

        An origin that is named is answered by its name, and may send its browser's own credentials (the cookie of a balancer; none is read
        here). With `*` every page is answered by `*`, and browsers send no credentials but the header that the page itself sets.
        """
        if origin is None:
            return _NO_PAGE
        if origin_allowed(origin, host, self._named):
            name = (b"access-control-allow-origin", origin.encode("latin-1"))
            return (_VARY, name, (b"access-control-allow-credentials", b"true"), _EXPOSED)
        return _ANY_PAGE if self._is_any_allowed else _NO_PAGE

    def lines(self, origin: str | None, host: str | None) -> bytes:
        """The same as lines of a response's head."""
        return b"".join(b"%b: %b\r\n" % header for header in self.headers(origin, host))


class CorsMiddleware:
    def __init__(self, app: ASGIApp, cors: Cors, metrics: Metrics) -> None:
        self._app = app
        self._cors = cors
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":  # an upgrade is refused by a close code, where its page hears it
            await self._app(scope, receive, send)
            return
        asked = dict(scope["headers"])
        origin, host = (asked[name].decode("latin-1") if name in asked else None for name in (b"origin", b"host"))
        headers = self._cors.headers(origin, host)
        if not self._cors.allows(origin, host):
            await self._refuse(send, headers)
        elif scope["method"] == "OPTIONS" and origin is not None and b"access-control-request-method" in asked:
            await _answer(send, 204, (*headers, *_PREFLIGHT))
        else:
            await self._app(scope, receive, _with_headers(send, headers))

    async def _refuse(self, send: Send, headers: Headers) -> None:
        error = foreign_page()
        self._metrics.errors[error.code] += 1
        told = [(name.lower().encode(), value.encode()) for name, value in problem_headers(error).items()]
        await _answer(send, error.row.status, (*headers, *told, (b"content-type", MEDIA_TYPE.encode())), problem_body(error))


def _with_headers(send: Send, headers: Headers) -> Send:
    async def send_with(message: Message) -> None:
        if message["type"] == "http.response.start":
            message["headers"] = [*message.get("headers", ()), *headers]
        await send(message)

    return send_with


async def _answer(send: Send, status: int, headers: Headers, body: bytes = b"") -> None:
    length = [(b"content-length", b"%d" % len(body))] if body else []
    await send({"type": "http.response.start", "status": status, "headers": [*headers, *length]})
    await send({"type": "http.response.body", "body": body})
