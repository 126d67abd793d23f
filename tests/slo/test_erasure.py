"""Erasure over HTTP, on real replicas: who may ask, what is left, and that a replica's death does not stop it."""

import http.client
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from tests.support.redis_servers import LOOPBACK, RedisServer, running
from tests.support.replica_process import Replica, credential

ADMIN = credential("acme", "root", can=["read", "publish", "admin"], sessions=["*"])
DONE_S_MAX = 60.0


def ask(replica: Replica, method: str, path: str, shown: str, body: object = None) -> tuple[int, Any]:
    connection = http.client.HTTPConnection(LOOPBACK, replica.port, timeout=10.0)
    try:
        headers = {"Authorization": f"Bearer {shown}", "Content-Type": "application/json"}
        connection.request(method, path, None if body is None else json.dumps(body), headers)
        answer = connection.getresponse()
        text = answer.read()
        return answer.status, json.loads(text) if text else None
    finally:
        connection.close()


def until_done(replica: Replica, erasure: str, shown: str = ADMIN) -> Any:
    give_up_at = time.monotonic() + DONE_S_MAX
    while True:
        status, view = ask(replica, "GET", f"/v1/admin/erasures/{erasure}", shown)
        assert status == 200
        if view["status"] == "done":
            return view
        assert time.monotonic() < give_up_at, view
        time.sleep(0.1)


def fill(replica: Replica, tenant: str, subject: str, count: int) -> list[str]:
    shown = credential(tenant, subject)
    made = [insist(replica, "/v1/sessions", shown, {"state": {"of": subject}})["session_id"] for _ in range(count)]
    for session in made:
        insist(replica, f"/v1/sessions/{session}/events", shown, {"kind": "message", "data": subject})
    return made


def insist(replica: Replica, path: str, shown: str, body: object) -> Any:
    """As often as the limits of a subject ask for."""
    while (answer := ask(replica, "POST", path, shown, body))[0] == 429:
        time.sleep(0.1)
    assert answer[0] == 201, answer
    return answer[1]


@pytest.fixture
def redis(tmp_path: Path) -> Iterator[RedisServer]:
    with running("valkey", tmp_path / "redis") as server:
        yield server


@pytest.fixture
def pair(redis: RedisServer, tmp_path: Path) -> Iterator[list[Replica]]:
    made = [Replica(name, {"redis_url": redis.url}, tmp_path) for name in ("one", "two")]
    try:
        for replica in made:
            replica.start()
        yield made
    finally:
        for replica in made:
            if replica.is_running:
                replica.kill()


def keys_of(redis: RedisServer) -> list[bytes]:
    found = redis.command("KEYS", "*")
    assert isinstance(found, list)
    return [name for name in found if isinstance(name, bytes)]


def everything_in(redis: RedisServer) -> bytes:
    """All that a dump of the server would show."""
    return b"".join(bytes(redis.command("DUMP", name) or b"") + name for name in keys_of(redis))  # type: ignore[arg-type]


def test_a_subject_is_erased_and_nothing_of_theirs_is_left_in_redis(pair: list[Replica], redis: RedisServer) -> None:
    one, two = pair
    subject = "ann of/wonder land"
    fill(one, "acme", subject, 5)
    kept = fill(one, "acme", "bob", 2)
    status, view = ask(one, "DELETE", f"/v1/admin/subjects/{quote(subject, safe='')}", ADMIN)
    assert (status, view["status"]) == (202, "running")
    done = until_done(two, view["erasure"])
    assert done["erased"] == 5
    assert subject.encode() not in everything_in(redis)
    assert ask(two, "GET", "/v1/sessions", credential("acme", subject)) == (200, {"sessions": []})
    for session in kept:
        assert len(ask(two, "GET", f"/v1/sessions/{session}/events?after=start", credential("acme", "bob"))[1]["events"]) == 1
    lines = [line for replica in pair for line in replica.output.splitlines() if "erasure" in line]
    assert len([line for line in lines if "was asked for by" in line]) == 1
    assert len([line for line in lines if "5 sessions" in line]) == 1
    assert not [line for line in lines if subject in line or "root" in line], "names are hashed"
    assert not [line for replica in pair for line in replica.failures()]


def test_a_tenant_is_erased_and_its_neighbour_keeps_everything(pair: list[Replica], redis: RedisServer) -> None:
    one, two = pair
    fill(one, "acme", "ann", 3)
    fill(two, "acme", "bob", 3)
    kept = fill(one, "acme2", "ann", 2)
    before = {name for name in keys_of(redis) if b"/acme2/" in name}
    _, view = ask(two, "DELETE", "/v1/admin/tenants/acme", ADMIN)
    assert until_done(one, view["erasure"])["erased"] == 6
    assert not [name for name in keys_of(redis) if b"/acme/" in name]
    assert {name for name in keys_of(redis) if b"/acme2/" in name} >= before
    assert [ask(one, "GET", f"/v1/sessions/{session}", credential("acme2", "ann"))[0] for session in kept] == [200, 200]


@pytest.mark.parametrize(
    ("shown", "status"),
    [
        (credential("acme", "ann"), 403),  # without the right
        (credential("other", "root", can=["read", "publish", "admin"], sessions=["*"]), 202),  # another tenant: its own `bob`
        (credential("acme", "root", can=["read", "publish", "admin"], sessions=["mine-*"]), 403),  # narrowed
        (credential("acme", "root", can=["read", "publish", "admin"]), 403),  # reaches what it created alone
        (credential("acme", "root", can=["admin"], ttl_s=-10), 401),
    ],
)
def test_who_may_not_erases_nobody(shown: str, status: int, pair: list[Replica], redis: RedisServer) -> None:
    one, two = pair
    kept = fill(one, "acme", "bob", 2)
    found, view = ask(one, "DELETE", "/v1/admin/subjects/bob", shown)
    assert found == status
    assert ask(one, "DELETE", "/v1/admin/tenants/acme", shown)[0] == (403 if status == 202 else status)
    if status == 202:
        assert until_done(two, view["erasure"], shown)["erased"] == 0
        assert ask(one, "GET", f"/v1/admin/erasures/{view['erasure']}", ADMIN)[0] == 404, "nor is it told of another tenant's"
    assert [ask(two, "GET", f"/v1/sessions/{session}", credential("acme", "bob"))[0] for session in kept] == [200, 200]


@pytest.mark.timeout(180)
def test_a_replica_that_dies_in_the_midst_of_an_erasure_is_followed_by_another(
    pair: list[Replica], redis: RedisServer, tmp_path: Path
) -> None:
    one, two = pair
    fill(one, "acme", "ann", 60)
    for start in range(0, 30_000, 1_000):  # a walk that takes some seconds
        redis.pipeline([["SET", f"somebody:{number}", "x"] for number in range(start, start + 1_000)])
    _, view = ask(one, "DELETE", "/v1/admin/subjects/ann", ADMIN)
    assert ask(two, "DELETE", "/v1/admin/subjects/ann", ADMIN)[1]["erasure"] == view["erasure"], "it is asked for once"
    records = [name for name in keys_of(redis) if name.endswith(b"/erasures")]
    holder = ""
    while not holder:
        held = redis.command("HGET", records[0], view["erasure"])
        assert isinstance(held, bytes)
        holder = json.loads(held).get("holder", "")
    first, second = (one, two) if holder.startswith("one") else (two, one)
    first.kill()
    done = until_done(second, view["erasure"])
    assert done["erased"] >= 1
    assert "taken over from a replica that is gone" in second.output
    assert not [name for name in keys_of(redis) if b"/acme/" in name and not name.endswith(b"/b")]
    assert ask(second, "GET", "/v1/sessions", credential("acme", "ann")) == (200, {"sessions": []})
