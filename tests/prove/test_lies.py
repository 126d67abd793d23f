"""A proof finds each lie that a path to honest replicas tells once, and says which it was."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.prove.front import Front, Lie, standing
from tests.prove.running import Ended, narrowed, neighbour, prove, prover, report_in
from tests.support.replica_process import Replica, credential

SECONDS = "4"

# Each lie, the guarantees that it may break, and the words by which it is called.
FOUND: dict[Lie, dict[int, str]] = {
    "drop": {1: "lost: "},
    "repeat": {1: "duplicate: came twice"},
    "swap": {1: "out of order: came after"},
    # It depends on whether the publish was a new event, or one that was asked about again.
    "pretend": {2: "was acknowledged, and the log has", 3: "id "},
}


@pytest.fixture
def report(tmp_path: Path) -> Callable[[], Any]:
    return lambda: report_in(tmp_path / "report.json")


async def proven_through(front: Front, tmp_path: Path, **outsiders: str) -> Ended:
    async with standing(front) as url:
        options = ("--url", url, "--seconds", SECONDS, "--sessions", "2", "--report", str(tmp_path / "report.json"))
        return await prove(*options, shown=prover(), **outsiders)


@pytest.mark.parametrize("lie", FOUND)
async def test_the_proof_finds_and_names_one(lie: Lie, replicas: list[Replica], tmp_path: Path, report: Callable[[], Any]) -> None:
    front = Front(lambda: [replica.port for replica in replicas], lie)
    ended = await proven_through(front, tmp_path)
    assert front.lies == 1
    names = FOUND[lie]
    assert ended.code == 1, ended.output
    seen = report()["violations"]
    assert {one["guarantee"] for one in seen} <= names.keys()
    assert any(names[one["guarantee"]] in one["what"] and one["seq"] is not None for one in seen), ended.output
    assert seen[0]["what"] in ended.output
    assert report()["verdict"] == "violated"


async def test_a_credential_that_reaches_our_sessions_breaks_isolation(
    replicas: list[Replica], tmp_path: Path, report: Callable[[], Any]
) -> None:
    """What another tenant's would do, were tenants not kept apart."""
    front = Front(lambda: [replica.port for replica in replicas])
    ended = await proven_through(front, tmp_path, foreign=credential("acme", "other", sessions=["prove-*"], can=["read"]))
    assert ended.code == 1, ended.output
    assert {seen["guarantee"] for seen in report()["violations"]} == {5}
    assert any("GET /events by another tenant was answered with 200" in seen["what"] for seen in report()["violations"])


OUTSIDERS = {
    "neighbour": (neighbour, "another subject of the tenant"),
    "narrowed": (narrowed, "a credential that is narrowed to other sessions"),
}


@pytest.mark.parametrize("name", OUTSIDERS)
async def test_one_write_of_a_credential_that_does_not_reach_the_session_is_found(
    replicas: list[Replica], tmp_path: Path, report: Callable[[], Any], name: str
) -> None:
    """As on a replica of which one route forgets to ask who may."""
    made, who = OUTSIDERS[name]
    admitted = made()
    front = Front(lambda: [replica.port for replica in replicas], "admit", admits=(admitted, prover()))
    ended = await proven_through(front, tmp_path, **{name: admitted})
    assert front.lies == 1
    assert ended.code == 1, ended.output
    seen = report()["violations"]
    assert {one["guarantee"] for one in seen} == {5}
    assert any(f"POST /events by {who} was answered with 201" in one["what"] for one in seen), ended.output
    assert any("id stranger was published by somebody else" in one["what"] for one in seen), ended.output
