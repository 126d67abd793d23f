"""The replica's address for one session, and everything that is asked of it by HTTP.

Owns URLs, headers, time limits and the translation of refusals. Must not know why something is asked.
"""

from base64 import b64encode
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any, Final

import aiohttp
import msgspec
from aiohttp import hdrs

from anypod.client.io.decoding import decode_problem
from anypod.client.machine.transport_fallback import OPEN_S_MAX
from anypod.core import frames
from anypod.core.cursor import START
from anypod.core.errors import AnypodError

EVENT_STREAM: Final = "text/event-stream"
REQUEST_S_MAX: Final = 30.0  # a publish that waits out a short absence of the store, and the way there and back
CLOSE_S_MAX: Final = 1.0  # a peer that does not answer our close frame gets no more time
FRAME_BYTES_MAX: Final = 4 << 20  # four pages of state beside the largest event
PROBLEM_BYTES_MAX: Final = 1 << 20  # a reset carries the state
FOREIGN_ERRORS: Final = (aiohttp.ClientError, OSError, TimeoutError)


class HttpEndpoint:
    """`credential`: the latest one, set by the runner."""

    def __init__(self, http: aiohttp.ClientSession, url: str, session_id: str) -> None:
        scheme, separator, rest = url.rstrip("/").partition("://")
        if not separator:
            raise AnypodError("malformed", "the url has no scheme")
        self._http = http
        self._base = f"{ {'ws': 'http', 'wss': 'https'}.get(scheme, scheme) }://{rest}/v1/sessions/{session_id}"
        self.credential = ""

    async def upgrade(self) -> aiohttp.ClientWebSocketResponse[bool]:
        return await self._http.ws_connect(
            f"{self._base}/ws",
            protocols=(frames.SUBPROTOCOL,),
            headers=self._headers(),
            timeout=aiohttp.ClientWSTimeout(ws_receive=None, ws_close=CLOSE_S_MAX),  # silence is judged by the machine
            heartbeat=None,
            compress=0,
            max_msg_size=FRAME_BYTES_MAX,
            decode_text=False,
        )

    @asynccontextmanager
    async def stream(self, after: str | None, *, fold: bool | None) -> AsyncIterator[aiohttp.ClientResponse]:
        """An open SSE stream. Raises AnypodError for a refusal, FOREIGN_ERRORS for everything else."""
        headers = self._headers({hdrs.ACCEPT: EVENT_STREAM, **({"Last-Event-ID": after} if after is not None else {})})
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=OPEN_S_MAX, sock_read=None)  # silence is judged by the machine
        async with self._http.get(
            f"{self._base}/events", params=_fold(fold), headers=headers, timeout=timeout, allow_redirects=False
        ) as response:
            await _check(response)
            if response.content_type != EVENT_STREAM:
                raise _foreign(response, f"answered with {response.content_type}")
            yield response

    async def page(self, after: str | None, wait_s: int, *, fold: bool | None) -> bytes:
        """Events by polling. Raises as `stream` does."""
        params = {"after": after if after is not None else START, **_fold(fold)}
        params["wait"] = str(wait_s)  # 0 too: it makes the page a poll, which attaches
        timeout = aiohttp.ClientTimeout(total=wait_s + REQUEST_S_MAX, sock_connect=OPEN_S_MAX)
        url, headers = f"{self._base}/events", self._headers()
        async with self._http.get(url, params=params, headers=headers, timeout=timeout, allow_redirects=False) as response:
            await _check(response)
            return await response.read()

    async def ask(self, method: str, path: str, body: Any = None, *, params: Mapping[str, str] | None = None, expect: str = "") -> bytes:
        """One request and the whole answer. Raises AnypodError, `unavailable` when there is no answer."""
        headers = self._headers({hdrs.IF_MATCH: f'"{expect}"'} if expect else {})
        content = None
        if body is not None:
            headers[hdrs.CONTENT_TYPE] = "application/json"
            content = msgspec.json.encode(body)
        timeout = aiohttp.ClientTimeout(total=REQUEST_S_MAX, sock_connect=OPEN_S_MAX)
        try:
            async with self._http.request(
                method, self._base + path, params=params, data=content, headers=headers, timeout=timeout, allow_redirects=False
            ) as response:
                await _check(response)
                return await response.read()
        except FOREIGN_ERRORS as exc:
            raise AnypodError("unavailable", f"no answer: {reason_of(exc)}") from exc

    def _headers(self, more: Mapping[str, str] | None = None) -> dict[str, str]:
        return {hdrs.AUTHORIZATION: f"Bearer {self.credential}", **(more or {})}


def _fold(fold: bool | None) -> dict[str, str]:
    return {} if fold is None else {"fold": "true" if fold else "false"}


def open_http() -> aiohttp.ClientSession:
    """A client for any number of sessions; the caller closes it."""
    connector = aiohttp.TCPConnector(limit=0, keepalive_timeout=15.0)  # a session holds a connection for as long as it lives
    return aiohttp.ClientSession(connector=connector, cookie_jar=aiohttp.DummyCookieJar(), trust_env=False, auto_decompress=True)


def publish_body(publish: frames.PublishFrame, payload: bytes | None) -> dict[str, Any]:
    """The event as HTTP takes it: the frame's fields but for its reference, and `expect`, which is a header there."""
    fields = {name: getattr(publish, name) for name in publish.__struct_fields__ if name not in ("ref", "expect")}
    body = {name: value for name, value in fields.items() if value is not None and value is not msgspec.UNSET}
    if payload is not None:
        body["data_base64"] = b64encode(payload).decode()
    return body


def reason_of(exc: BaseException) -> str:
    """For a person; a library's text may be empty."""
    return str(exc) or type(exc).__name__


async def _check(response: aiohttp.ClientResponse) -> None:
    """Raises AnypodError for a refusal in our words, ClientResponseError for one that is not ours: a proxy's, most likely."""
    if response.status < 300:
        return
    if response.content_type == "application/problem+json":
        told_s = response.headers.get(hdrs.RETRY_AFTER, "")
        body = await body_of(response, PROBLEM_BYTES_MAX)
        error = decode_problem(body, int(told_s) * 1000 if told_s.isdigit() else None)
        if error is not None:
            raise error
    if response.status == 401:
        raise AnypodError("not_authenticated")
    raise _foreign(response, f"answered with status {response.status}")


async def body_of(response: aiohttp.ClientResponse, bytes_max: int) -> bytes:
    """All of it, in however many pieces it comes; of an endless page little more than `bytes_max`."""
    body = bytearray()
    async for piece in response.content.iter_any():
        body += piece
        if len(body) > bytes_max:
            break
    return bytes(body)


def _foreign(response: aiohttp.ClientResponse, message: str) -> aiohttp.ClientResponseError:
    return aiohttp.ClientResponseError(response.request_info, response.history, status=response.status, message=message)
