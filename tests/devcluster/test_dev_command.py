"""`anypod dev` as a newcomer runs it: real replicas, and the very lines that it tells to paste."""

import json
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import pytest
from tests.support.pids import is_alive, kill
from tests.support.waiting import wait_for

from anypod.devcluster.ports import Ports

README = Path(__file__).parents[2] / "README.md"
ANYPOD = (sys.executable, "-m", "anypod")
FIRST_PORT = 21_500
START_S_MAX = 60.0
STOP_S_MAX = 20.0
HEAR_S_MAX = 30.0
RESTART_S_MAX = 2.0  # promised


@dataclass(frozen=True)
class Dev:
    process: subprocess.Popen[bytes]
    folder: Path

    @property
    def record(self) -> Any:
        return json.loads((self.folder / ".anypod/dev.json").read_text())

    @property
    def said(self) -> str:
        return (self.folder / "said").read_text()


@pytest.fixture(scope="module")
def dev(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Dev]:
    folder, ports = tmp_path_factory.mktemp("dev"), Ports()
    with (folder / "said").open("wb") as said:
        command = [*ANYPOD, "dev", "--port", str(ports.claim(FIRST_PORT))]
        running = Dev(subprocess.Popen(command, cwd=folder, stdout=said, stderr=subprocess.STDOUT), folder)
    wait_for(lambda: "Ctrl-C ends" in running.said or running.process.poll() is not None, "the cluster", START_S_MAX)
    yield running
    if running.process.poll() is None:
        kill(running.process.pid, signal.SIGTERM)
        running.process.wait(STOP_S_MAX)
    ports.close()


def hear(command: list[str], text: str | None, expected: str) -> str:
    """Run a command until its output holds what is expected; all that it said."""
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
        assert process.stdin
        assert process.stdout
        process.stdin.write(text or "")
        process.stdin.close()
        heard = ""
        try:
            while expected not in heard and (line := process.stdout.readline()):
                heard += line
        finally:
            process.terminate()  # `timeout` passes it on to what it runs
    assert expected in heard, heard
    return heard


def test_the_curl_line_that_it_prints_streams_an_answer_word_by_word(dev: Dev) -> None:
    line = re.search(r"^curl .*$", dev.said, re.MULTILINE)
    assert line, dev.said
    heard = hear(["timeout", str(HEAR_S_MAX), "bash", "-c", line[0]], None, '"replaces":')
    assert re.search(r"^id: .*\nevent: event\ndata: .*\"kind\":\"token\"", heard, re.MULTILINE)


def test_the_python_lines_that_it_prints_iterate_the_session(dev: Dev) -> None:
    lines = re.search(r"^[^\n]* - <<'END'\n.*?^END$", dev.said, re.MULTILINE | re.DOTALL)
    assert lines, dev.said
    heard = hear(["timeout", str(HEAR_S_MAX), "bash", "-c", lines[0].replace("python -", "python -u -", 1)], None, " token ")
    assert re.match(r"1 message \{'role': 'user', 'text': ", heard)
    assert re.search(r"^\d+ token \{'text': ", heard, re.MULTILINE)


def readme_block(first_word: str) -> str:
    """The shell lines of the README that begin with this word, for a cluster on another port and an environment elsewhere."""
    blocks: list[str] = re.findall(r"^```sh\n(.*?)^```$", README.read_text(), re.MULTILINE | re.DOTALL)
    return next(block for block in blocks if block.startswith(first_word))


def run_readme(dev: Dev, first_word: str, expected: str) -> str:
    credential = readme_block("CREDENTIAL=").splitlines()[0]
    block = readme_block(first_word)
    lines = block if block.startswith(credential) else f"{credential}\n{block}"
    lines = lines.replace(".venv/bin/", f"{Path(sys.executable).parent}/").replace("http://127.0.0.1:8080", dev.record["url"])
    return hear(["timeout", str(HEAR_S_MAX), "env", "PYTHONUNBUFFERED=1", "bash", "-c", lines], None, expected)


def test_the_lines_of_the_readme_stream_publish_and_iterate(dev: Dev) -> None:
    run_readme(dev, "CREDENTIAL=", '"kind":"token"')
    run_readme(dev, "curl", '"duplicate":false')
    heard = run_readme(dev, ".venv/bin/python -", "data='hello from Python'")
    assert "data='hello'" in heard
    assert "author='me'" in heard


def test_every_replica_is_ready_on_the_admin_address_of_the_record(dev: Dev) -> None:
    for replica in dev.record["replicas"]:
        with urlopen(f"{replica['admin_url']}/healthz/ready", timeout=5) as answer:
            assert answer.status == 200


def test_a_killed_replica_is_there_again_within_two_seconds_of_work(dev: Dev) -> None:
    before = dev.record["replicas"][2]["pid"]
    kill(before, signal.SIGKILL)
    wait_for(lambda: dev.record["replicas"][2]["pid"] != before, "the replica's successor", RESTART_S_MAX)
    assert is_alive(dev.record["replicas"][2]["pid"])


def test_the_answers_go_on_although_every_replica_was_killed(dev: Dev) -> None:
    line = re.search(r"^curl .*$", dev.said, re.MULTILINE)
    assert line
    for replica in dev.record["replicas"]:
        kill(replica["pid"], signal.SIGKILL)
    again = f"until {line[0].replace('after=start', 'after=tail')} | grep -m 1 token; do :; done"
    hear(["timeout", str(HEAR_S_MAX), "bash", "-c", again], None, '"kind":"token"')


def test_at_the_end_nothing_is_left_but_the_data(dev: Dev) -> None:
    record = dev.record
    pids = [*(replica["pid"] for replica in record["replicas"]), record["redis"]["pid"]]
    kill(dev.process.pid, signal.SIGINT)
    assert dev.process.wait(STOP_S_MAX) == 0
    assert not any(is_alive(pid) for pid in pids)
    assert [path.name for path in (dev.folder / ".anypod").iterdir()] == ["data"]
