"""A proof against replicas that keep their word, whole and while they are killed."""

import asyncio
import json
import signal
from pathlib import Path

import pytest
from tests.prove.front import Front, standing
from tests.prove.running import end, narrowed, neighbour, prove, prover, report_in, start
from tests.support.replica_process import SECRET, Replica, credential

from anypod.clock import SystemClock
from anypod.prove.http_probe import HttpProbe

SHORT = ("--seconds", "4", "--sessions", "2")
KILL_EVERY_S = 1.5
POLL_S = 0.1  # lists take permits, which the proof shares


def ports_of(replicas: list[Replica]) -> list[int]:
    return [replica.port for replica in replicas]


async def listed(url: str, shown: str) -> list[str]:
    answer = await HttpProbe(url, shown, SystemClock()).ask("GET", "/v1/sessions")
    assert answer.status == 200, answer
    return [line["session_id"] for line in answer.json["sessions"]]


async def test_a_cluster_that_keeps_its_word_is_proven_and_nothing_is_left_behind(replicas: list[Replica], tmp_path: Path) -> None:
    path, other = tmp_path / "report.json", credential("globex", "prover")
    outsiders = {"foreign": other, "neighbour": neighbour(), "narrowed": narrowed()}
    async with standing(Front(lambda: ports_of(replicas))) as url:
        ended = await prove("--url", url, *SHORT, "--replicas", "2", "--report", str(path), shown=prover(), **outsiders)
        assert ended.code == 0, ended.output
        assert [await listed(url, shown) for shown in (prover(), other)] == [[], []]
    report = report_in(path)
    assert report["verdict"] == "proven"
    assert [one["status"] for one in report["guarantees"]] == ["kept"] * 5
    assert set(report["replicas_met"]) == {"north", "south"}
    assert min(report["transports"][name] for name in ("websocket", "sse", "poll")) > 2
    counts = {name: count for one in report["guarantees"] for name, count in one["counts"].items()}
    checked = ("compared", "cut", "late", "acknowledged", "repeated", "contradicted", "unhonoured", "anonymous", "foreign", "outside")
    assert [name for name in checked if not counts[name]] == []
    assert report["recovery"]["count"] > 5


async def test_whoever_runs_the_service_proves_it_with_the_secret_alone(replicas: list[Replica], tmp_path: Path) -> None:
    """And without a disk to write to: the report is what is printed."""
    async with standing(Front(lambda: ports_of(replicas))) as url:
        ended = await prove("--url", url, "--seconds", "1", "--sessions", "2", "--replicas", "2", secret=SECRET)
    assert ended.code == 0, ended.output
    assert "another tenant's credential, none of which reached anything" in ended.output
    assert SECRET not in ended.output


async def test_no_credential_stands_in_what_is_said_or_written(replicas: list[Replica], tmp_path: Path) -> None:
    path, shown, other = tmp_path / "report.json", prover(), credential("globex", "prover")
    async with standing(Front(lambda: ports_of(replicas))) as url:
        ended = await prove("--url", url, "--seconds", "1", "--sessions", "2", "--report", str(path), shown=shown, foreign=other)
    for secret in (shown, other, shown.rsplit(".", 1)[1], other.rsplit(".", 1)[1]):
        assert secret not in ended.output
        assert secret not in path.read_text()


@pytest.mark.timeout(180)
async def test_a_cluster_whose_replicas_are_killed_is_proven_too(replicas: list[Replica], tmp_path: Path) -> None:
    path = tmp_path / "report.json"
    async with standing(Front(lambda: ports_of(replicas))) as url:
        proving = asyncio.create_task(prove("--url", url, "--seconds", "12", "--sessions", "3", "--report", str(path), shown=prover()))
        kills = 0
        while not proving.done():
            replica = replicas[kills % len(replicas)]
            await asyncio.to_thread(replica.until_ready)  # never both at once
            await asyncio.wait([proving], timeout=KILL_EVERY_S)
            if not proving.done():
                replica.kill()
                replica.start(is_awaited=False)
                kills += 1
                await asyncio.to_thread(replica.until_ready)
        ended = await proving
    assert ended.code == 0, ended.output
    counts = {name: count for one in report_in(path)["guarantees"] for name, count in one["counts"].items()}
    assert kills >= 2
    assert counts["broken"] > 0, "the kills did not reach the readers"


async def test_a_report_that_was_changed_is_not_what_was_signed_off(replicas: list[Replica], tmp_path: Path) -> None:
    path = tmp_path / "report.json"
    async with standing(Front(lambda: ports_of(replicas))) as url:
        await prove("--url", url, "--seconds", "1", "--sessions", "2", "--report", str(path), shown=prover())
    signed = json.loads(path.read_text())
    path.write_text(json.dumps(signed))  # pasted by something that lays it out otherwise
    checked = await prove("--check", str(path))
    assert (checked.code, "as it was signed off" in checked.output) == (0, True)
    signed["report"]["guarantees"][1]["counts"]["acknowledged"] += 1
    path.write_text(json.dumps(signed))
    checked = await prove("--check", str(path))
    assert (checked.code, "does not fit" in checked.output) == (1, True)


async def test_a_proof_that_somebody_ends_leaves_no_session(replicas: list[Replica]) -> None:
    async with standing(Front(lambda: ports_of(replicas))) as url:
        process = await start("--url", url, "--seconds", "60", "--sessions", "3", shown=prover())
        try:
            while len(await listed(url, prover())) < 3:
                assert process.returncode is None
                await asyncio.sleep(POLL_S)
        finally:
            process.send_signal(signal.SIGINT)
            ended = await end(process)
        assert await listed(url, prover()) == []
    assert ended.code == 2
    assert "UNFINISHED" in ended.output
    assert "somebody ended it" in ended.output
