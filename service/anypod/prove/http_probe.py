"""Plain HTTP requests of a proof: whatever is asked, the answer is looked at as it came.

Owns the requests and their limits. Must not know what an answer means to a guarantee.
"""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, TypeVar

import aiohttp
import msgspec
from aiohttp import hdrs

from anypod.client import open_http
from anypod.client.io.http import FOREIGN_ERRORS, body_of, reason_of
from anypod.clock import Clock
from anypod.core.errors import CLOSE_RETRIED, AnypodError
from anypod.core.frames import PROTOCOL, SUBPROTOCOL, InitFrame, encode

ANSWER_S_MAX: Final = 15.0  # a replica whose store is away refuses after 5 s
INSIST_S_MAX: Final = 30.0  # a replica restarts, a Redis fails over, within that time
AGAIN_S: Final = 0.3
# The service's own or a proxy's status, and what closes a WebSocket for a while: to be asked again.
PASSING: Final = frozenset({408, 429, 500, 502, 503, 504}) | CLOSE_RETRIED
BODY_BYTES_MAX: Final = 4 << 20

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Answer:
    """`code`: of a problem document, empty otherwise."""

    status: int
    content_type: str
    body: bytes

    @property
    def code(self) -> str:
        told = self.json
        return str(told.get("code", "")) if self.content_type == "application/problem+json" and isinstance(told, dict) else ""

    @property
    def json(self) -> Any:
        """None: it is not JSON."""
        try:
            return msgspec.json.decode(self.body)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            return None


class HttpProbe:
    """`credential` None: asks without the header."""

    def __init__(self, url: str, credential: str | None, clock: Clock) -> None:
        self._url = url.rstrip("/")
        self._clock = clock
        self._headers = {} if credential is None else {hdrs.AUTHORIZATION: f"Bearer {credential}"}

    async def insist(self, method: str, path: str, body: Any = None, *, params: Mapping[str, str] | None = None) -> Answer:
        """Retry until a replica that can has answered. Raises AnypodError `unavailable` after too long without one."""
        return await self._until_settled(lambda: self.ask(method, path, body, params=params), lambda answer: answer.status)

    async def greet(self, session_id: str) -> tuple[int, bytes]:
        """Attach by WebSocket: how it was refused (a close code or a status), 0 when it was not, and all that came. Insists, too."""
        return await self._until_settled(lambda: self._greet(session_id), lambda answer: answer[0])

    async def streams(self, session_id: str) -> int:
        """The status with which a stream of the session begins. Insists, too."""
        return await self._until_settled(lambda: self._stream_status(session_id), lambda status: status)

    async def _until_settled(self, ask: Callable[[], Awaitable[T]], status: Callable[[T], int]) -> T:
        give_up_s = self._clock.now() + INSIST_S_MAX
        while True:
            try:
                answer = await ask()
                if status(answer) not in PASSING:
                    return answer
            except AnypodError:
                if self._clock.now() > give_up_s:
                    raise
            if self._clock.now() > give_up_s:
                raise AnypodError("unavailable", f"the service has not answered a request for {INSIST_S_MAX:g} s: look at its readiness")
            await self._clock.sleep(AGAIN_S)

    async def ask(self, method: str, path: str, body: Any = None, *, params: Mapping[str, str] | None = None) -> Answer:
        """Raises AnypodError `unavailable` without an answer."""
        content = None if body is None else msgspec.json.encode(body)
        headers = {**self._headers, **({} if content is None else {hdrs.CONTENT_TYPE: "application/json"})}
        timeout = aiohttp.ClientTimeout(total=ANSWER_S_MAX)
        try:
            async with (
                open_http() as http,
                http.request(
                    method, self._url + path, params=params, data=content, headers=headers, timeout=timeout, allow_redirects=False
                ) as response,
            ):
                return Answer(response.status, response.content_type, await body_of(response, BODY_BYTES_MAX))
        except FOREIGN_ERRORS as exc:
            raise AnypodError("unavailable", reason_of(exc)) from exc

    async def _stream_status(self, session_id: str) -> int:
        path = f"{self._url}/v1/sessions/{session_id}/events"
        headers = {**self._headers, hdrs.ACCEPT: "text/event-stream"}
        timeout = aiohttp.ClientTimeout(total=ANSWER_S_MAX)
        try:
            async with open_http() as http, http.get(path, headers=headers, timeout=timeout, allow_redirects=False) as response:
                return response.status
        except FOREIGN_ERRORS as exc:
            raise AnypodError("unavailable", reason_of(exc)) from exc

    async def _greet(self, session_id: str) -> tuple[int, bytes]:
        path = f"{self._url}/v1/sessions/{session_id}/ws"
        try:
            async with open_http() as http, http.ws_connect(path, protocols=(SUBPROTOCOL,), headers=self._headers) as socket:
                await socket.send_str(encode(InitFrame(protocol=PROTOCOL)).decode())
                return await _replay(socket)
        except aiohttp.WSServerHandshakeError as exc:
            return exc.status, b""
        except FOREIGN_ERRORS as exc:
            raise AnypodError("unavailable", reason_of(exc)) from exc


async def _replay(socket: aiohttp.ClientWebSocketResponse[bool]) -> tuple[int, bytes]:
    heard = b""
    while len(heard) < BODY_BYTES_MAX and b'"sync.done"' not in heard:
        message = await socket.receive(ANSWER_S_MAX)
        if message.type is not aiohttp.WSMsgType.TEXT:
            return socket.close_code or 0, heard
        heard += message.data.encode()
    return 0, heard
