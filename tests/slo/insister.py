"""A publisher without the client library: it sees every refusal, and insists under the same id.

Owns one session, what it has published there, and how it was answered. Must not know what is done to the cluster.
"""

import asyncio
from collections import Counter
from typing import Any, Final

import aiohttp

from anypod.devcluster.credentials import reader_credential

ANSWER_S_MAX: Final = 15.0  # a replica refuses after 5 s: longer means that nobody answers
AGAIN_S: Final = 0.2  # whatever the refusal says: the fault must meet many requests
PAUSE_S: Final = 0.05  # between two events
PAGE: Final = 500


class RefusedError(Exception):
    """`code`: of the problem document."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


class Insister:
    """One event at a time, each until it is accepted.

    `accepted`: ids in their order, with their seq. `answers`: how every request ended, by code. `repeated`: ids that had been
    refused or left without an answer, and were in the log all the same.
    """

    def __init__(self, url: str, session_id: str) -> None:
        self._sessions = f"{url}/v1/sessions"
        self._session_id = session_id
        self._headers = {"Authorization": f"Bearer {reader_credential(session_id)}"}
        self.accepted: dict[str, int] = {}
        self.answers: Counter[str] = Counter()
        self.repeated: list[str] = []

    @property
    def refused(self) -> int:
        """Requests answered with `unavailable`."""
        return self.answers["unavailable"]

    async def run(self) -> None:
        """Until it is cancelled."""
        async with self._http() as http:
            await self._request(http, "POST", self._sessions, {"session_id": self._session_id})
            while True:
                await self._insist(http, f"insisted-{len(self.accepted)}")
                await asyncio.sleep(PAUSE_S)

    async def say_all_again(self) -> list[tuple[str, int, bool]]:
        """Every accepted event once more: id, seq, and whether it was known."""
        async with self._http() as http:
            results = [await self._publish(http, event_id) for event_id in self.accepted]
        return [(result["id"], result["seq"], result["duplicate"]) for result in results]

    async def log(self) -> list[tuple[str, int]]:
        """Id and seq of everything in the session."""
        events: list[dict[str, Any]] = []
        async with self._http() as http:
            after = "start"
            while True:
                page = await self._request(http, "GET", f"{self._events}?after={after}&limit={PAGE}")
                events += page["events"]
                after = page["cursor"]
                if not page["more"]:
                    return [(event["id"], event["seq"]) for event in events]

    async def _insist(self, http: aiohttp.ClientSession, event_id: str) -> None:
        attempts = 0
        while True:
            attempts += 1
            try:
                result = await self._publish(http, event_id)
            except (RefusedError, aiohttp.ClientError, TimeoutError) as failure:
                self.answers[failure.code if isinstance(failure, RefusedError) else "no answer"] += 1
                await asyncio.sleep(AGAIN_S)
            else:
                self.answers["accepted"] += 1
                self.accepted[event_id] = result["seq"]
                if result["duplicate"]:
                    assert attempts > 1, f"{event_id} was sent once, and is said to be a duplicate"
                    self.repeated.append(event_id)
                return

    async def _publish(self, http: aiohttp.ClientSession, event_id: str) -> dict[str, Any]:
        answer = await self._request(http, "POST", self._events, {"id": event_id, "kind": "message", "data": event_id})
        (result,) = answer["results"]
        return dict(result)

    @property
    def _events(self) -> str:
        return f"{self._sessions}/{self._session_id}/events"

    def _http(self) -> aiohttp.ClientSession:
        timeout = aiohttp.ClientTimeout(total=ANSWER_S_MAX)
        return aiohttp.ClientSession(headers=self._headers, timeout=timeout)

    async def _request(self, http: aiohttp.ClientSession, method: str, url: str, body: Any = None) -> dict[str, Any]:
        async with http.request(method, url, json=body) as response:
            answer: dict[str, Any] = await response.json(content_type=None)  # a problem is JSON of another name
            if not response.ok:
                raise RefusedError(answer["code"])
            return answer
