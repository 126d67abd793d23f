"""What a replica writes about itself while clients do their worst: one line a record, and no secret in any of them."""

import asyncio
import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import aiohttp
import pytest
from tests.fast_transport.raw import INIT, KEY, RawClient, said
from tests.security.forged import FORGED, ours
from tests.support.redis_servers import RedisServer, running
from tests.support.replica_process import SECRET, Replica, credential
from tests.support.waiting import until

PASSWORD: Final = "hunter2-of-the-store"
PAYLOAD: Final = "what-ann-told-in-confidence"
ESCAPE: Final = "\x1b[31m"
LINE: Final = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}\+00:00 (DEBUG|INFO|WARNING|ERROR) +[\w.]+: \S.*")
HOSTILE: Final = "\r\n2026-01-01T00:00:00.000+00:00 ERROR anypod: forged"
HOSTILE_PATH: Final = "%0d%0a2026-01-01T00:00:00.000+00:00%20ERROR%20forged%1b%5b31m"


@pytest.fixture(params=["json", "text"])
def form(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def locked_redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    """It wants a password."""
    with running("redis", tmp_path_factory.mktemp("locked")) as server:
        server.command("CONFIG", "SET", "requirepass", PASSWORD)
        yield server


@pytest.fixture(params=["lean", "portable"])
def replica(request: pytest.FixtureRequest, form: str, locked_redis: RedisServer, tmp_path: Path) -> Iterator[Replica]:
    transport = request.param
    settings = {
        "redis_url": locked_redis.url,
        "redis_password": PASSWORD,
        "transport": transport,
        "log_level": "DEBUG",
        "log_format": form,
        "key_prefix": f"{transport}-{form}",
    }
    made = Replica(f"{transport}-{form}", settings, tmp_path)
    made.start()
    yield made
    made.kill()


def head(target: str, *lines: str) -> bytes:
    usual = (f"GET {target} HTTP/1.1", "Host: 127.0.0.1", "Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13")
    return "\r\n".join((*usual, f"Sec-WebSocket-Key: {KEY}", *lines, "", "")).encode("latin-1")


async def told(port: int, request: bytes, *pieces: bytes) -> bytes:
    """Say it, and hear until there is silence."""
    async with await RawClient.connect(port) as client:
        client.send(request)
        heard = await client.until_silent(0.1)
        client.send(*pieces)
        return heard + await client.until_silent(0.1)


async def tickets_of(replica: Replica, count: int) -> list[str]:
    async with aiohttp.ClientSession(headers={"Authorization": f"Bearer {credential('acme', 'ann')}"}) as http:
        made = []
        for _ in range(count):
            async with http.post(f"{replica.url}/v1/tickets") as response:
                made.append((await response.json())["ticket"])
        return made


def frames() -> list[bytes]:
    """What a client may say, with a line's end and a colour wherever there is text."""
    texts: Mapping[str, Any] = {"id": HOSTILE, "kind": f"x.{ESCAPE}", "ref": HOSTILE, "name": ESCAPE, "device": HOSTILE, "after": HOSTILE}
    return [
        said(type="publish", id="1", kind="message", data=PAYLOAD),
        said(type="publish", **texts, data=PAYLOAD),
        said(type="signal", name=HOSTILE, data=PAYLOAD),
        said(type="sync", after=HOSTILE, ref=ESCAPE),
        said(type="history", before=HOSTILE, limit=9),
        said(type="state.patch", state={"secret": PAYLOAD}),
        said(type="auth", token=ours(exp=1)),
        said(type=HOSTILE),
    ]


async def assail(replica: Replica, tickets: list[str]) -> list[str]:
    """Everything that might end up in a line; the credentials that were shown."""
    shown = [credential("acme", "ann"), *(make() for make in FORGED.values())]
    port, good = replica.port, f"Authorization: Bearer {shown[0]}"
    attempts = [told(port, head("/v1/sessions/s1/ws", good), INIT, *frames()[:7])]
    attempts += [told(port, head("/v1/sessions/s1/ws", good), INIT, frame) for frame in frames()]
    for path in (f"/v1/sessions/{HOSTILE_PATH}/ws", f"/{HOSTILE_PATH}", f"/v1/sessions/s1/events?after={HOSTILE_PATH}"):
        attempts.append(told(port, head(path, good, f"X-Request-Id: {ESCAPE}", f"Idempotency-Key: {ESCAPE}")))
        attempts.append(told(port, f"GET {path} HTTP/1.1\r\nHost: {ESCAPE}\r\n{good}\r\nUser-Agent: {ESCAPE}\r\n\r\n".encode()))
    for bad in shown[1:]:
        protocols = f"Sec-WebSocket-Protocol: anypod.v1, bearer.{bad}"
        attempts.append(told(port, head(f"/v1/sessions/s1/ws?access_token={bad}", protocols)))
    for ticket in tickets:
        protocols = f"Sec-WebSocket-Protocol: anypod.v1, ticket.{ticket}"
        attempts.append(told(port, head(f"/v1/sessions/s1/ws?ticket={ticket}", protocols), INIT))
        attempts.append(told(port, f"GET /v1/tickets/{ticket} HTTP/1.1\r\nHost: x\r\nAuthorization: Ticket {ticket}\r\n\r\n".encode()))
    attempts.append(told(port, b"\x16\x03\x01 no HTTP at all \x1b[31m\r\n\r\n"))
    await asyncio.gather(*attempts)
    return shown


def check(output: str, form: str, secrets: list[str]) -> None:
    lines = output.splitlines()
    assert any("serving on" in line for line in lines), "it says at least that it serves"
    for line in output.removesuffix("\n").split("\n"):
        assert line.isprintable(), f"a control character: {line!r}"
        if form == "json":
            assert {"time", "level", "logger", "message"} <= json.loads(line).keys()
        else:
            assert LINE.fullmatch(line), f"not a line of ours: {line!r}"
    found = [secret for secret in secrets if secret in output]
    assert not found, f"these stand in the log: {found}: {[line for line in lines if any(secret in line for secret in found)][:3]}"


async def test_no_client_forges_a_line_and_no_secret_is_written(replica: Replica, form: str) -> None:
    tickets = await tickets_of(replica, 3)
    shown = [text for text in await assail(replica, tickets) if len(text) > 20]
    replica.stop()
    check(replica.output, form, [SECRET, PASSWORD, PAYLOAD, *shown, *tickets, "access_token"])
    assert not replica.failures()


def test_the_check_finds_a_forged_line_and_a_secret() -> None:
    good = "2026-01-01T00:00:00.000+00:00 INFO    anypod.server: serving on 127.0.0.1:1\n"
    check(good, "text", [PASSWORD])
    for bad in ("forged\n", f"{good[:-1]} {ESCAPE}\n", f"{good[:-1]} {PASSWORD}\n"):
        with pytest.raises(AssertionError):
            check(good + bad, "text", [PASSWORD])
    with pytest.raises(json.JSONDecodeError):
        check(good, "json", [])


async def test_a_store_that_refuses_the_password_is_told_without_it(locked_redis: RedisServer, tmp_path: Path) -> None:
    wrong = "not-the-password-of-the-store"
    at = locked_redis.url.removeprefix("redis://")
    for number, settings in enumerate(
        ({"redis_url": locked_redis.url, "redis_password": wrong}, {"redis_url": f"redis://default:{wrong}@{at}"})
    ):
        made = Replica(f"refused-{number}", {**settings, "log_level": "DEBUG"}, tmp_path)
        made.start(is_awaited=False)
        await until(lambda made=made: not made.is_running, "it gives up", 30.0)  # type: ignore[misc]
        assert made.wait() != 0
        assert made.output
        assert wrong not in made.output
