"""The cluster as a process: what it leaves, restarts and ends. Its replicas are tiny ones, its Redis is real."""

import fcntl
import json
import os
import signal
import socket
import subprocess
import sys
import termios
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from tests.support.pids import is_alive, kill
from tests.support.waiting import wait_for

from anypod.devcluster.ports import LOOPBACK, bind

TINY_CLUSTER = Path(__file__).with_name("tiny_cluster.py")
START_S_MAX = 20.0
STOP_S_MAX = 15.0
RESTART_S_MAX = 2.0  # promised


@dataclass(frozen=True)
class Running:
    process: subprocess.Popen[str]
    record_path: Path

    @property
    def record(self) -> Any:
        return json.loads(self.record_path.read_text())

    @property
    def pids(self) -> list[int]:
        record = self.record
        return [replica["pid"] for replica in record["replicas"]] + [pid for pid in [record["redis"]["pid"]] if pid]

    def end(self, number: int) -> str:
        kill(self.process.pid, number)
        output, _ = self.process.communicate(timeout=STOP_S_MAX)
        return output


def start(folder: Path, *arguments: str, **options: Any) -> Running:
    command = [sys.executable, str(TINY_CLUSTER), str(folder / "data"), *(arguments or ("0", "3"))]
    process = subprocess.Popen(command, **{"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True, **options})
    running = Running(process, folder / "dev.json")
    wait_for(lambda: running.record_path.exists() or process.poll() is not None, "dev.json", START_S_MAX)
    return running


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Running]:
    running = start(tmp_path)
    yield running
    if running.process.poll() is None:
        running.end(signal.SIGTERM)
    if running.process.stdout:
        running.process.stdout.close()


def say_name(url: str) -> str:
    host, _, port = url.removeprefix("http://").partition(":")
    with socket.create_connection((host, int(port)), timeout=5) as connection:
        connection.sendall(b"name\n")
        return connection.makefile().readline()


def test_the_record_names_everything_that_runs(cluster: Running) -> None:
    record = cluster.record
    assert record["pid"] == cluster.process.pid
    assert [replica["name"] for replica in record["replicas"]] == ["replica-1", "replica-2", "replica-3"]
    assert all(is_alive(pid) for pid in cluster.pids)
    assert {say_name(record["url"]).split()[0] for _ in range(3)} == {"replica-1", "replica-2", "replica-3"}
    assert say_name(record["replicas"][1]["url"]) == f"replica-2 {record['replicas'][1]['pid']}\n"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_ends_every_process_and_leaves_only_the_data_directory(tmp_path: Path, number: int) -> None:
    running = start(tmp_path)
    pids = running.pids
    output = running.end(number)
    assert running.process.returncode == 0
    assert not any(is_alive(pid) for pid in pids)
    assert [path.name for path in tmp_path.iterdir()] == ["data"]
    assert f"The data is in {tmp_path / 'data'}" in output


def test_a_second_signal_does_not_wait_for_what_will_not_end(tmp_path: Path) -> None:
    running = start(tmp_path, env=os.environ | {"ANYPOD_TEST_STUBBORN": "yes"})
    pids = running.pids
    kill(running.process.pid, signal.SIGTERM)
    wait_for(lambda: not is_listening(running.record["url"]), "the balancer ends", 2.0)
    assert all(is_alive(pid) for pid in pids)
    running.end(signal.SIGTERM)
    assert running.process.returncode == 0
    assert not any(is_alive(pid) for pid in pids)


def test_a_replica_that_dies_is_there_again_within_two_seconds(cluster: Running) -> None:
    before = cluster.record["replicas"][0]
    kill(before["pid"], signal.SIGKILL)

    wait_for(lambda: cluster.record["replicas"][0]["pid"] != before["pid"], "the replica's successor", RESTART_S_MAX)
    after = cluster.record["replicas"][0]
    wait_for(lambda: is_listening(after["url"]), "the successor listens", START_S_MAX)  # how soon depends on the machine's load
    assert say_name(after["url"]) == f"replica-1 {after['pid']}\n"


def test_the_redis_that_dies_is_there_again_with_its_data(cluster: Running) -> None:
    before = cluster.record["redis"]
    assert redis(before["url"], b"SET key kept\r\n") == b"+OK\r\n"
    assert redis(before["url"], b"WAITAOF 1 0 5000\r\n").startswith(b"*")
    kill(before["pid"], signal.SIGKILL)
    wait_for(lambda: cluster.record["redis"]["pid"] != before["pid"], "the Redis' successor", RESTART_S_MAX)
    wait_for(lambda: redis(before["url"], b"GET key\r\n") == b"$4\r\nkept\r\n", "the key", START_S_MAX)


def test_killing_the_cluster_itself_kills_all_its_processes(tmp_path: Path) -> None:
    running = start(tmp_path)
    pids = running.pids
    running.end(signal.SIGKILL)
    wait_for(lambda: not any(is_alive(pid) for pid in pids), "nothing is left", 2.0)


def test_a_cluster_starts_over_a_record_that_a_killed_one_left(tmp_path: Path) -> None:
    killed = start(tmp_path)
    stale = killed.record
    killed.end(signal.SIGKILL)
    assert killed.record_path.exists()
    second = start(tmp_path)
    wait_for(lambda: second.record_path.exists() and second.record != stale, "the new record", START_S_MAX)
    assert second.record["pid"] == second.process.pid
    second.end(signal.SIGTERM)


def test_a_second_cluster_on_the_same_data_is_refused_and_told_where_the_first_is(cluster: Running, tmp_path: Path) -> None:
    command = [sys.executable, str(TINY_CLUSTER), str(tmp_path / "data"), "0", "1"]
    second = subprocess.run(command, capture_output=True, text=True, timeout=START_S_MAX, check=False)
    assert second.returncode != 0
    assert f"at {cluster.record['url']} (pid {cluster.process.pid})" in second.stderr
    assert all(is_alive(pid) for pid in cluster.pids)


def test_a_taken_port_is_refused_before_anything_starts(tmp_path: Path) -> None:
    with bind(21_300) as taken:
        taken.listen()
        refused = start(tmp_path, "21300", "1")
        output, _ = refused.process.communicate(timeout=START_S_MAX)
    assert "port 21300 of 127.0.0.1 is taken by another program: stop that, or choose another port: anypod dev --port 21301" in output
    assert not refused.record_path.exists()


def test_a_redis_that_was_there_before_is_used_and_left_alone(cluster: Running, tmp_path: Path) -> None:
    url, pid = cluster.record["redis"]["url"], cluster.record["redis"]["pid"]
    (tmp_path / "other").mkdir()
    guest = start(tmp_path / "other", "0", "1", url)
    assert guest.record["redis"] == {"url": url, "pid": None}
    guest.end(signal.SIGTERM)
    assert is_alive(pid)


def test_a_terminal_that_goes_away_ends_everything(tmp_path: Path) -> None:
    ours, theirs = os.openpty()
    arguments = [sys.executable, str(TINY_CLUSTER), str(tmp_path / "data"), "0", "2"]
    take_terminal = f"import fcntl, os; fcntl.ioctl(0, {termios.TIOCSCTTY}, 0); os.execv({sys.executable!r}, {arguments!r})"
    process = subprocess.Popen([sys.executable, "-c", take_terminal], stdin=theirs, stdout=theirs, stderr=theirs, start_new_session=True)
    os.close(theirs)
    fcntl.fcntl(ours, fcntl.F_SETFL, os.O_NONBLOCK)
    record_path = tmp_path / "dev.json"
    wait_for(record_path.exists, "dev.json", START_S_MAX)
    pids = Running(process, record_path).pids  # type: ignore[arg-type]
    os.close(ours)
    assert process.wait(timeout=STOP_S_MAX) == 0
    assert not any(is_alive(pid) for pid in pids)
    assert [path.name for path in tmp_path.iterdir()] == ["data"]


def test_a_reader_of_its_output_that_goes_away_does_not_stop_it(tmp_path: Path) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    running = start(tmp_path, stdout=writing, stderr=writing)
    os.close(writing)
    pids = running.pids
    kill(pids[0], signal.SIGKILL)  # which it says, to nobody
    wait_for(lambda: running.pids[0] != pids[0], "the replica's successor", RESTART_S_MAX)
    running.end(signal.SIGTERM)
    assert running.process.returncode == 0
    assert not any(is_alive(pid) for pid in pids)


def is_listening(url: str) -> bool:
    port = int(url.rpartition(":")[2].partition("/")[0])
    try:
        socket.create_connection((LOOPBACK, port), timeout=1).close()
    except OSError:
        return False
    return True


def redis(url: str, command: bytes) -> bytes:
    port = int(url.rpartition(":")[2].partition("/")[0])
    try:
        with socket.create_connection((LOOPBACK, port), timeout=5) as connection:
            connection.sendall(command)
            return connection.recv(1_024)
    except OSError:
        return b""
