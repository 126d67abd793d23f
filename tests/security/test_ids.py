"""Ids that a replica makes for others' events are not to be foreseen: who knows many of them takes none of the next."""

from collections.abc import AsyncIterator, Mapping
from typing import Any

import aiohttp
import pytest
import pytest_asyncio
from tests.fast_transport.served import Served, served
from tests.support.replica_process import credential

from anypod.hub.attach import ID_BYTES

pytestmark = pytest.mark.asyncio(loop_scope="module")

TRIED = 64  # ids around one that was seen, in a list of events each: the next that a counter would give, and many after it
MESSAGE: Mapping[str, Any] = {"kind": "message", "data": 1}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def at() -> AsyncIterator[Served]:
    async with served(publish_per_s=1_000) as replica, aiohttp.ClientSession() as http:
        await http.post(f"{replica.url}/v1/sessions", json={"session_id": "s1"}, headers={"Authorization": f"Bearer {replica.credential}"})
        yield replica


class Caller:
    """A subject that shares the session `s1` with others."""

    def __init__(self, at: Served, http: aiohttp.ClientSession, subject: str) -> None:
        self._http = http
        self._url = f"{at.url}/v1/sessions/s1"
        self._headers = {"Authorization": f"Bearer {credential('acme', subject, sessions=['s1'])}"}

    async def publishes(self, *events: Mapping[str, Any]) -> tuple[int, Any]:
        async with self._http.post(f"{self._url}/events", json=list(events), headers=self._headers) as response:
            return response.status, await response.json()

    async def patches(self) -> int:
        async with self._http.patch(self._url, json={"state": {"a": 1}}, headers=self._headers) as response:
            return response.status

    async def newest_id(self) -> str:
        async with self._http.get(f"{self._url}/history?limit=1", headers=self._headers) as response:
            return str((await response.json())["events"][-1]["id"])


def foreseen(seen: str, *, start: str) -> list[str]:
    """The ids that follow, were a replica to count: from anywhere within the number that it shows."""
    number = seen.removeprefix(start).partition(".")[0]
    return [f"{start}{int(number, 16) + step:x}" for step in range(1, TRIED + 1)]


async def test_nobody_takes_the_id_of_anothers_publish_before_the_replica_uses_it(at: Served) -> None:
    async with aiohttp.ClientSession() as http:
        eve, ann = (Caller(at, http, subject) for subject in ("eve", "ann"))
        assert (await eve.publishes(MESSAGE))[0] == 201
        taken = foreseen(await eve.newest_id(), start="http.")
        assert (await eve.publishes(*({"id": each, **MESSAGE, "data": "mine"} for each in taken)))[0] == 201
        assert (await ann.publishes(MESSAGE))[0] == 201


async def test_nobody_takes_the_id_of_anothers_patch_either(at: Served) -> None:
    async with aiohttp.ClientSession() as http:
        eve, ann = (Caller(at, http, subject) for subject in ("eve", "ann"))
        assert await eve.patches() == 200
        taken = foreseen(await eve.newest_id(), start="patch.")
        assert (await eve.publishes(*({"id": each, **MESSAGE} for each in taken)))[0] == 201
        assert await ann.patches() == 200


async def test_an_attachments_id_tells_nothing_of_the_next(at: Served) -> None:
    """Presence shows them to everybody in a session."""
    made = [at.replica.layer.attachments.new_id() for _ in range(1_000)]
    assert len(set(made)) == 1_000
    assert {len(each) for each in made} == {2 * ID_BYTES}
    assert min(len({each[place] for each in made}) for place in range(2 * ID_BYTES)) == 16, "every letter differs"
    assert 8 * ID_BYTES >= 96
