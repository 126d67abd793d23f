"""Replicas as processes over a real Redis, in whose channels and hashes somebody writes what they cannot read.

One bad payload costs no connection, no other payload, and no page of the cluster.
"""

import asyncio
import re
import urllib.request
from collections.abc import Iterator
from itertools import count

import aiohttp
import pytest
from tests.support.redis_servers import RedisServer, running
from tests.support.replica_process import Replica, credential
from tests.versions.strange import FELLOWS, MEMBERS, PAYLOADS

from anypod.auth.principal import Right
from anypod.client import Event, Session
from anypod.core.identity import SessionId, SessionKey, TenantId, partition
from anypod.redis_store.keys import Keyspace

NAMES = Keyspace("anypod")
RIGHTS: tuple[Right, ...] = ("read", "publish", "signal", "state", "admin")
TRANSPORTS = ("websocket", "sse", "poll")
WAIT_S = 20.0
_numbers = count(1)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    with running("redis", tmp_path_factory.mktemp("redis")) as started:
        yield started


@pytest.fixture(scope="module", params=["lean", "portable"])
def replica(request: pytest.FixtureRequest, server: RedisServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Replica]:
    settings = {"redis_url": server.url, "transport": request.param}
    replica = Replica(f"strange-{request.param}", settings, tmp_path_factory.mktemp("replica"))
    replica.start()
    yield replica
    assert replica.stop() == 0
    assert not replica.failures()


def metric(replica: Replica, name: str) -> dict[str, int]:
    """By the value of its label, "" where it has none."""
    with urllib.request.urlopen(f"{replica.admin_url}/metrics", timeout=WAIT_S) as answer:
        text = answer.read().decode()
    found = re.findall(rf'^anypod_{name}(?:{{\w+="([^"]*)"}})? ([0-9.e+]+)$', text, re.MULTILINE)
    return {label: int(float(value)) for label, value in found}


async def read_until(session: Session, last: str) -> list[str]:
    ids = []
    async with asyncio.timeout(WAIT_S):
        async for item in session:
            assert isinstance(item, Event), item
            ids.append(item.id)
            if item.id == last:
                return ids
    raise AssertionError(f"{last} never came")


@pytest.mark.parametrize("transport", TRANSPORTS)
async def test_payloads_that_no_replica_can_read_cost_neither_the_feed_nor_an_event(
    replica: Replica, server: RedisServer, transport: str
) -> None:
    name = f"strange-{next(_numbers)}"
    channel = NAMES.session(SessionKey(TenantId("acme"), SessionId(name))).channel
    before = metric(replica, "payloads_skipped_total")
    token = credential("acme", "ann", can=RIGHTS, sessions=("*",))
    session = Session(replica.url, name, credential=token, transport=transport)  # type: ignore[arg-type]
    async with session:
        reading = asyncio.create_task(read_until(session, "last"))
        await session.publish("message", "first", id="first")
        for index, (payload, _) in enumerate(PAYLOADS.values()):
            server.command("SPUBLISH", channel, payload)
            await session.publish("message", index, id=f"e{index}")
        await session.publish("message", "last", id="last")
        assert await reading == ["first", *(f"e{index}" for index in range(len(PAYLOADS))), "last"]
    after = metric(replica, "payloads_skipped_total")
    for what in ("event", "notice_unknown", "notice_broken"):
        wanted = sum(skipped == what for _, skipped in PAYLOADS.values())
        assert after[what] - before[what] == wanted, what
    assert metric(replica, "store_reconnects_total") == {"": 0}


async def test_members_that_no_replica_can_read_are_left_out_of_the_clusters_page(replica: Replica, server: RedisServer) -> None:
    key, later = NAMES.replicas(), b"9999999999999 "
    before = metric(replica, "payloads_skipped_total")["replica"]
    for index, (entry, _) in enumerate(FELLOWS.values()):
        server.command("HSET", key, f"strange-{index}", later + entry)
    server.command("HSET", key, "never-over", b"no time at all")
    try:
        async with aiohttp.ClientSession(headers={"Authorization": f"Bearer {credential('acme', 'ann', can=RIGHTS)}"}) as http:
            async with http.get(f"{replica.url}/v1/cluster") as answer:
                assert answer.status == 200
                seen = await answer.json()
            assert [one["replica"] for one in seen["replicas"] if not one["replica"].startswith("strange-")] == ["later"]
            skipped = sum(not readable for _, readable in FELLOWS.values()) + 1
            assert metric(replica, "payloads_skipped_total")["replica"] - before >= skipped
            assert server.command("HEXISTS", key, "never-over") == 0, "what can never be over is removed"
            server.command("DEL", key)
            server.command("SET", key, "of another type")
            async with http.get(f"{replica.url}/v1/cluster") as answer:
                assert answer.status == 200
    finally:
        server.command("DEL", key)


async def test_entries_of_presence_that_no_client_can_read_are_told_to_nobody(replica: Replica, server: RedisServer) -> None:
    name = f"strange-{next(_numbers)}"
    key = SessionKey(TenantId("acme"), SessionId(name))
    presence = NAMES.session(key).presence
    server.command("ZADD", NAMES.lives(partition(key)), b"9999999999999", "strange")
    headers = {"Authorization": f"Bearer {credential('acme', 'ann', can=RIGHTS, sessions=('*',))}"}
    async with aiohttp.ClientSession(headers=headers) as http:
        async with http.post(f"{replica.url}/v1/sessions", json={"session_id": name}) as answer:
            assert answer.status == 201
        for index, (entry, _) in enumerate(MEMBERS.values()):
            server.command("HSET", presence, f"m{index}", b"strange a%d " % index + entry)
        server.command("HSET", presence, "never-over", b"no time at all")
        async with http.get(f"{replica.url}/v1/sessions/{name}") as answer:
            assert answer.status == 200
            assert [one["author"] for one in (await answer.json())["presence"]] == ["zoe"]
        async with http.ws_connect(f"{replica.url}/v1/sessions/{name}/ws?after=tail&features=presence") as ws:
            async with asyncio.timeout(WAIT_S):
                while (frame := await ws.receive_json())["type"] != "presence":
                    pass
        assert {one["author"] for one in frame["joined"]} == {"ann", "zoe"}
