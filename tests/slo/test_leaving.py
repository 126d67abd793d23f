"""A replica that leaves keeps nobody by a connection that was kept open for the next request."""

import http.client
import json
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests.support.replica_process import Replica, credential

from anypod.devcluster.ports import LOOPBACK

CREDENTIAL = credential("acme", "ann")
WAIT_S = 20.0


@pytest.fixture(params=["lean", "portable"])
def replica(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Replica]:
    """Its drain takes a while when several clients are attached."""
    replica = Replica("leaves", {"store": "memory", "transport": request.param, "drain_s": "3", "grace_s": "30"}, tmp_path)
    replica.start()
    yield replica
    assert replica.stop() == 0
    assert not replica.failures()


class Kept:
    """A connection that is kept between requests."""

    def __init__(self, replica: Replica) -> None:
        self._connection = http.client.HTTPConnection(LOOPBACK, replica.port, timeout=WAIT_S)

    def ask(self, method: str = "GET", path: str = "/v1/sessions", body: object = None) -> http.client.HTTPResponse:
        headers = {"Authorization": f"Bearer {CREDENTIAL}", "Content-Type": "application/json"}
        self._connection.request(method, path, json.dumps(body) if body is not None else None, headers)
        answer = self._connection.getresponse()
        answer.read()
        return answer

    def begin_poll(self, session: str) -> None:
        headers = {"Authorization": f"Bearer {CREDENTIAL}"}
        self._connection.request("GET", f"/v1/sessions/{session}/events?after=tail&wait=30", headers=headers)

    def answer(self) -> http.client.HTTPResponse:
        answer = self._connection.getresponse()
        answer.read()
        return answer

    def has_ended(self) -> bool:
        """Waits for whatever comes next."""
        return self._connection.sock is None or self._connection.sock.recv(1) == b""

    def close(self) -> None:
        self._connection.close()


@pytest.fixture
def connect(replica: Replica) -> Iterator[Callable[[], Kept]]:
    made: list[Kept] = []

    def connect() -> Kept:
        made.append(Kept(replica))
        return made[-1]

    yield connect
    for one in made:
        one.close()


def test_connections_between_two_requests_are_let_go_when_the_drain_begins(replica: Replica, connect: Callable[[], Kept]) -> None:
    kept = [connect() for _ in range(5)]
    for one in kept:
        answer = one.ask()
        assert answer.status == 200
        assert answer.headers["Connection"] is None
    replica.send(signal.SIGTERM)
    assert all(one.has_ended() for one in kept)


def test_while_it_drains_every_answer_is_the_last_of_its_connection(replica: Replica, connect: Callable[[], Kept]) -> None:
    first = connect()
    assert first.ask("POST", body={"session_id": "s"}).status == 201
    waiting = [connect() for _ in range(6)]  # sent away one after the other, over the drain's window
    for one in waiting:
        one.begin_poll("s")
    replica.send(signal.SIGTERM)
    assert first.has_ended()
    late = connect().ask()
    assert (late.status, late.headers["Connection"]) == (200, "close")
    assert [one.answer().headers["Connection"] for one in waiting] == ["close"] * 6


@pytest.mark.parametrize(("age_s", "ending"), [("0.1", "close"), ("0", None)])
def test_a_connection_of_polls_has_an_age_too(age_s: str, ending: str | None, tmp_path: Path) -> None:
    """A poll of a tenth of the age ends its connection one time in ten; this one takes longer than the whole age."""
    replica = Replica("ages", {"store": "memory", "max_connection_age_s": age_s}, tmp_path)
    replica.start()
    kept = Kept(replica)
    try:
        kept.ask("POST", body={"session_id": "s"})
        answer = kept.ask(path="/v1/sessions/s/events?after=tail&wait=0.2")
        assert (answer.status, answer.headers["Connection"]) == (200, ending)
    finally:
        kept.close()
        replica.stop()
