"""The servers of the tests do not get into each other's way."""

import subprocess
import sys

from tests.support.redis_servers import PORT_END, PORT_MIN, PORTS_KEPT, free_port

ASKED = 300
ASK = f"from tests.support.redis_servers import free_port; print(*(free_port() for _ in range({ASKED})))"


def test_no_port_is_given_twice_although_nobody_listens_yet() -> None:
    ports = [free_port() for _ in range(PORTS_KEPT)]
    assert len(set(ports)) == PORTS_KEPT
    assert min(ports) >= PORT_MIN
    assert max(ports) < PORT_END + PORTS_KEPT


def test_another_process_gets_other_ports() -> None:
    ours = {free_port() for _ in range(PORTS_KEPT)}
    theirs = {port for _ in range(8) for port in _ports_of_another_process()}
    assert len(theirs) > ASKED
    assert not ours & theirs


def _ports_of_another_process() -> set[int]:
    answer = subprocess.run([sys.executable, "-c", ASK], capture_output=True, check=True, text=True).stdout
    return set(map(int, answer.split()))
