"""A rolling upgrade from the newest release to this tree, and a rollback to it, under clients.

For a while replicas of both versions serve the same sessions over the same Redis: nothing is lost, doubled, reordered or silently skipped,
by either.
"""

import asyncio
import json
import urllib.request
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager
from importlib.metadata import version
from pathlib import Path

import pytest
from tests.support.redis_servers import RedisServer, running
from tests.support.replica_process import Replica, credential
from tests.versions.crowd import Client, Crowd
from tests.versions.released import FOLDER, VersionedReplica, newest_wheel, number, unpacked

from anypod.client import open_http
from anypod.devcluster.balancer import Balancer, Upstream
from anypod.devcluster.ports import LOOPBACK, bind

REPLICAS = 3
SESSIONS = 6
CALM_S = 0.6  # between two replicas that are replaced
BOTH_S = 1.5  # once all are replaced


@pytest.fixture
def server(tmp_path: Path) -> Iterator[RedisServer]:
    with running("redis", tmp_path / "redis") as started:
        yield started


@pytest.fixture
def replicas(server: RedisServer, tmp_path: Path) -> Iterator[Sequence[VersionedReplica]]:
    made = [VersionedReplica(f"side-{index}", {"redis_url": server.url}, tmp_path) for index in range(REPLICAS)]
    yield made
    for replica in made:
        if replica.is_running:
            replica.stop()


@asynccontextmanager
async def balanced(replicas: Sequence[Replica]) -> AsyncIterator[str]:
    """In front of those that are ready, as a readiness probe would tell."""
    ready: list[Replica] = list(replicas)

    async def look() -> None:
        while True:
            for replica in replicas:
                is_ready = replica.is_running and await asyncio.to_thread(replica.is_ready)
                if is_ready is not (replica in ready):
                    (ready.append if is_ready else ready.remove)(replica)
            await asyncio.sleep(0.2)

    with bind(0) as listener:
        balancer = Balancer(lambda: [Upstream(LOOPBACK, replica.port) for replica in ready])
        tasks = [asyncio.create_task(balancer.run(listener)), asyncio.create_task(look())]
        try:
            yield f"http://{LOOPBACK}:{listener.getsockname()[1]}"
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)


async def replace_all(replicas: Sequence[VersionedReplica], code: Path | None) -> None:
    """One after the other, each once its successor is ready."""
    for replica in replicas:
        assert await asyncio.to_thread(replica.stop) == 0
        replica.run_code(code)
        await asyncio.to_thread(replica.start)
        await asyncio.sleep(CALM_S)
    await asyncio.sleep(BOTH_S)


@pytest.mark.timeout(150)
async def test_nothing_is_lost_doubled_reordered_or_silent_while_two_versions_serve_the_same_sessions(
    replicas: Sequence[VersionedReplica], server: RedisServer, tmp_path: Path
) -> None:
    release = unpacked(tmp_path / "release")
    for replica in replicas:
        replica.run_code(release)
        replica.start(is_awaited=False)
    for replica in replicas:
        replica.until_ready()

    async def roll() -> None:
        await asyncio.sleep(CALM_S)
        await replace_all(replicas, None)
        await replace_all(replicas, release)

    async with balanced(replicas) as url:
        crowd = Crowd(url, SESSIONS)
        await crowd.run(asyncio.ensure_future(roll()))
        assert crowd.wrongs() == []
        assert all(client.sent for client in crowd.clients)
        for session, count in crowd.patches.items():
            assert await asyncio.to_thread(state_of, url, session) == {"count": count}, session
    assert [line for replica in replicas for line in replica.failures()] == []
    assert len(libraries(server)) == 2, "each version called functions of its own"


def libraries(server: RedisServer) -> set[bytes]:
    found = server.command("FUNCTION", "LIST")
    assert isinstance(found, list)
    return {library[1] for library in found if isinstance(library, list) and isinstance(library[1], bytes)}


def state_of(url: str, session: str) -> object:
    headers = {"Authorization": f"Bearer {credential('acme', 'judge', sessions=('side-*',))}"}
    with urllib.request.urlopen(urllib.request.Request(f"{url}/v1/sessions/{session}", headers=headers), timeout=10.0) as answer:
        return json.loads(answer.read())["state"]


def test_the_release_is_not_newer_than_this_tree() -> None:
    assert number(newest_wheel()) <= tuple(map(int, version("anypod").split(".")))
    assert newest_wheel().name in (FOLDER / "README.md").read_text()


def lose(client: Client) -> None:
    client.events.pop()


def double(client: Client) -> None:
    client.events.append(client.events[0])


def reorder(client: Client) -> None:
    client.events[:2] = [(1, client.events[1][1]), (2, client.events[0][1])]


def skip(client: Client) -> None:
    client.events[-1] = (9, client.events[-1][1])


def reset(client: Client) -> None:
    client.resets.append("rolled_back")


def deafen(client: Client) -> None:
    client.signals.clear()


def hide(client: Client) -> None:
    client.present.clear()


@pytest.mark.parametrize("spoil", [lose, double, reorder, skip, reset, deafen, hide])
async def test_what_no_client_may_see_is_seen_by_the_verdict(spoil: Callable[[Client], None]) -> None:
    async with open_http() as http:
        crowd = Crowd("http://127.0.0.1:1", 1)
        crowd.make(http)
        for client in crowd.clients:
            client.events = [(1, "a"), (2, "b"), (3, "c")]
            client.signals["last"] = 1
            client.present = {"one", "two"}
        crowd.clients[0].sent = ["a", "b", "c"]
        assert crowd.wrongs() == []
        spoil(crowd.clients[0])
        assert crowd.wrongs()
