"""Secrets are rotated under a crowd on three transports, step by step as the operations document tells: nobody is lost.

Each ends by taking the old one back, and by looking that it is good for nothing any more.
"""

import asyncio
import http.client
import shutil
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from tests.slo.crowd import Crowd, Outcome
from tests.store.certificates import certificate_for_localhost
from tests.support.redis_servers import LOOPBACK, RedisServer, free_port, running
from tests.support.replica_process import Replica, credential

CLIENTS, SESSIONS = 12, 4
OLD, NEW = "the old secret, of at least thirty-two bytes", "the new secret, of at least thirty-two bytes"
TTL_S = 4.0  # of a credential
LOOK_S = 2.5  # the replicas look at their files once a second
ACL = ("~anypod:*", "&anypod:*", "+@all")


class Stage:
    """Two replicas, and a crowd that comes in by both."""

    def __init__(self, replicas: list[Replica]) -> None:
        self.replicas = replicas
        self.signer = OLD

    def sign(self, session: str, signer: str | None = None, ttl_s: float = TTL_S) -> str:
        return credential("crowd", session, sessions=[session], secret=signer or self.signer, ttl_s=ttl_s)

    def status(self, shown: str, replica: Replica) -> int:
        connection = http.client.HTTPConnection(LOOPBACK, replica.port, timeout=10.0)
        try:
            connection.request("GET", "/v1/sessions", headers={"Authorization": f"Bearer {shown}"})
            return connection.getresponse().status
        finally:
            connection.close()

    async def run(self, name: str, rotate: Callable[[], None]) -> Outcome:
        urls = iter([replica.url for replica in self.replicas] * CLIENTS)

        def fresh(session: str) -> Callable[[], Awaitable[str]]:
            async def give() -> str:
                return self.sign(session)

            return give

        crowd = Crowd(lambda: next(urls), CLIENTS, SESSIONS, name, credential=fresh)
        outcome = await crowd.run(lambda: asyncio.ensure_future(asyncio.to_thread(rotate)))
        print(outcome)
        assert outcome.is_clean, str(outcome)
        assert outcome.acknowledged > 10 * CLIENTS
        assert not [line for replica in self.replicas for line in replica.failures()]
        return outcome


@contextmanager
def staged(folder: Path, **settings: str) -> Iterator[Stage]:
    """Both find their signing secret in a file of its own."""
    secrets = folder / "secrets"
    secrets.mkdir()
    write(secrets, "jwt", OLD)
    replicas = [
        Replica(
            name,
            {
                "jwt_secret": "",
                "jwt_secret_file": str(secrets / "jwt"),
                "jwt_previous_secret_file": str(secrets / "previous"),
                **settings,
            },
            folder,
        )
        for name in ("one", "two")
    ]
    try:
        for replica in replicas:
            replica.start()
        yield Stage(replicas)
    finally:
        for replica in replicas:
            if replica.is_running:
                replica.kill()


def write(folder: Path, name: str, text: str) -> None:
    """All at once, as Kubernetes does."""
    (made := folder / f".{name}").write_text(text)
    made.replace(folder / name)


def cut_all(server: RedisServer) -> None:
    """Every connection of the replicas: they connect anew."""
    for kind in ("normal", "pubsub"):
        server.command("CLIENT", "KILL", "TYPE", kind, "SKIPME", "yes")
    time.sleep(LOOK_S)


@pytest.mark.timeout(180)
async def test_the_signing_secret_is_rotated_and_no_client_is_stranded(tmp_path: Path) -> None:
    secrets = tmp_path / "secrets"
    with running("valkey", tmp_path / "redis") as redis, staged(tmp_path, redis_url=redis.url) as stage:
        before = stage.sign("mine", OLD, ttl_s=3_600)

        def rotate() -> None:
            assert [stage.status(before, replica) for replica in stage.replicas] == [200] * 2
            time.sleep(TTL_S)  # credentials are refreshed in place
            write(secrets, "previous", NEW)  # 1. accepted everywhere, before anything is signed with it
            time.sleep(LOOK_S)
            write(secrets, "previous", f"{OLD}\n{NEW}")  # 2. it becomes the current one; the files are not swapped in one instant
            write(secrets, "jwt", NEW)
            stage.signer = NEW
            time.sleep(TTL_S + LOOK_S)
            assert [stage.status(before, replica) for replica in stage.replicas] == [200] * 2
            (secrets / "previous").unlink()  # 3. what the old one has signed is over, or ends now
            time.sleep(TTL_S + LOOK_S)

        await stage.run("signing", rotate)
        assert [stage.status(before, replica) for replica in stage.replicas] == [401] * 2
        assert [stage.status(stage.sign("mine"), replica) for replica in stage.replicas] == [200] * 2


@pytest.mark.timeout(180)
async def test_the_password_of_redis_is_rotated_and_nothing_is_lost(tmp_path: Path) -> None:
    with running("valkey", tmp_path / "redis") as redis:
        redis.command("ACL", "SETUSER", "anypod", "on", ">first", *ACL)
        (tmp_path / "password").write_text("first")
        url = f"redis://anypod@{LOOPBACK}:{redis.port}"
        with staged(tmp_path, redis_url=url, redis_password_file=str(tmp_path / "password")) as stage:

            def rotate() -> None:
                redis.command("ACL", "SETUSER", "anypod", ">second")  # 1. both are good
                cut_all(redis)
                write(tmp_path, "password", "second")  # 2. new connections show the new one
                cut_all(redis)
                redis.command("ACL", "SETUSER", "anypod", "<first")  # 3. the old one is good for nothing
                cut_all(redis)

            await stage.run("password", rotate)
            refused = ["redis://anypod:first@", f"{LOOPBACK}:{redis.port}"]
            late = Replica("late", {"redis_url": "".join(refused)}, tmp_path)
            late.start(is_awaited=False)
            assert late.wait() == 1


@pytest.mark.timeout(180)
async def test_a_password_that_comes_late_is_found_without_a_restart(tmp_path: Path) -> None:
    with running("valkey", tmp_path / "redis") as redis:
        redis.command("ACL", "SETUSER", "anypod", "on", ">first", *ACL)
        (tmp_path / "password").write_text("first")
        url = f"redis://anypod@{LOOPBACK}:{redis.port}"
        with staged(tmp_path, redis_url=url, redis_password_file=str(tmp_path / "password")) as stage:
            redis.command("ACL", "SETUSER", "anypod", "resetpass", ">second")
            cut_all(redis)
            assert not any(replica.is_ready() for replica in stage.replicas)
            write(tmp_path, "password", "second")
            for replica in stage.replicas:
                replica.until_ready()


@pytest.mark.timeout(180)
async def test_the_certificates_towards_redis_are_rotated_and_nothing_is_lost(tmp_path: Path) -> None:
    pairs = []
    for name in ("first", "second"):
        (folder := tmp_path / name).mkdir()
        pairs.append(certificate_for_localhost(folder))
    (first, first_key), (second, second_key) = pairs
    for source, name in ((first, "ca.crt"), (first, "tls.crt"), (first_key, "tls.key")):
        shutil.copy(source, tmp_path / name)
    both = first.read_text() + second.read_text()
    (server_ca := tmp_path / "server-ca.crt").write_text(both)
    port = free_port()
    options = (
        "--tls-port",
        str(port),
        "--tls-cert-file",
        str(first),
        "--tls-key-file",
        str(first_key),
        "--tls-ca-cert-file",
        str(server_ca),
    )
    files = {f"redis_tls_{name}_file": str(tmp_path / file) for name, file in (("ca", "ca.crt"), ("cert", "tls.crt"), ("key", "tls.key"))}
    with (
        running("redis", tmp_path / "redis", *options) as redis,
        staged(tmp_path, redis_url=f"rediss://{LOOPBACK}:{port}", **files) as stage,
    ):

        def rotate() -> None:
            write(tmp_path, "ca.crt", both)  # 1. both authorities are trusted
            cut_all(redis)
            redis.command("CONFIG", "SET", "tls-cert-file", str(second), "tls-key-file", str(second_key))  # 2. the server shows the new one
            write(tmp_path, "tls.crt", second.read_text())  # and so do we: the two files do not fit for a moment
            time.sleep(0.2)
            cut_all(redis)
            write(tmp_path, "tls.key", second_key.read_text())
            cut_all(redis)
            write(tmp_path, "ca.crt", second.read_text())  # 3. the old authority is trusted no more
            redis.command("CONFIG", "SET", "tls-ca-cert-file", str(second))  # nor by the server: the first certificate lets nobody in
            cut_all(redis)

        await stage.run("certificates", rotate)
        assert all(replica.is_ready() for replica in stage.replicas)
