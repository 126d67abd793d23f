"""What a person is told when a proof cannot be run: one sentence, what to do, and the exit code 2."""

from pathlib import Path

import pytest
from tests.prove.front import Front, standing
from tests.prove.running import Ended, prove, prover
from tests.support.replica_process import SECRET, Replica, credential

from anypod.devcluster.ports import LOOPBACK, Ports

QUICK = ("--seconds", "1", "--sessions", "2")


async def prove_quickly(replicas: list[Replica], *options: str, shown: str | None, foreign: str | None = None) -> Ended:
    async with standing(Front(lambda: [replica.port for replica in replicas])) as url:
        return await prove("--url", url, *QUICK, *options, shown=shown, foreign=foreign)


def refused(ended: Ended, says: str) -> bool:
    assert ended.code == 2, ended.output
    assert says in ended.output, ended.output
    assert "Traceback" not in ended.output
    return True


async def test_a_url_where_nobody_listens_is_told() -> None:
    ports = Ports()
    ended = await prove("--url", f"http://{LOOPBACK}:{ports.claim(23_300)}", shown=prover())
    ports.close()
    assert refused(ended, "nobody answers there")


async def test_a_url_of_something_else_is_told(replicas: list[Replica]) -> None:
    ended = await prove("--url", replicas[0].admin_url, shown=prover())
    assert refused(ended, "whoever answers there serves no sessions")


async def test_an_expired_credential_is_told_with_its_end(replicas: list[Replica]) -> None:
    assert refused(await prove_quickly(replicas, shown=credential("acme", "prover", ttl_s=-60)), "the credential has expired at 20")


async def test_a_credential_that_ends_before_the_proof_does_is_told(replicas: list[Replica]) -> None:
    ended = await prove_quickly(replicas, "--seconds", "900", "--rate", "10", shown=credential("acme", "prover", ttl_s=600))
    assert refused(ended, "the credential ends in")


async def test_a_credential_of_a_foreign_key_is_told(replicas: list[Replica]) -> None:
    shown = credential("acme", "prover", secret=SECRET[::-1])
    assert refused(await prove_quickly(replicas, shown=shown), "signed by somebody this service does not trust")


async def test_what_is_no_credential_is_told(replicas: list[Replica]) -> None:
    assert refused(await prove_quickly(replicas, shown="hunter2"), "does not look like a JWT")


async def test_a_credential_that_may_only_read_is_told_what_it_lacks(replicas: list[Replica]) -> None:
    ended = await prove_quickly(replicas, shown=credential("acme", "prover", can=["read"]))
    assert refused(ended, "needs the rights read and publish")


async def test_a_credential_for_other_sessions_is_told_which_are_needed(replicas: list[Replica]) -> None:
    assert refused(await prove_quickly(replicas, shown=prover(sessions=("orders-*",))), "or one with prove-*")


async def test_a_foreign_credential_that_nobody_accepts_proves_nothing(replicas: list[Replica]) -> None:
    ended = await prove_quickly(replicas, shown=prover(), foreign=credential("globex", "prover", ttl_s=-60))
    assert refused(ended, "the foreign credential is no use")


@pytest.mark.timeout(180)
async def test_fewer_replicas_than_asked_for_are_told(replicas: list[Replica]) -> None:
    assert refused(await prove_quickly(replicas, "--replicas", "3", shown=prover()), "2 of 3 replicas were met")


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ((), "--url is missing"),
        (("--url", "localhost:8080"), "--url is where clients reach the service"),
        (("--url", "http://me:secret@localhost"), "a plain address"),
        (("--url", "http://localhost", "--seconds", "3600", "--rate", "200"), "choose fewer --seconds"),
        (("--url", "http://localhost", "--token", "Bearer x"), "without `Bearer`"),
        (("--url", "http://localhost", "--token-file", "nowhere"), "nowhere cannot be read"),
        (("--url", "http://localhost"), "a credential is missing"),
        (("--check", "nowhere"), "nowhere cannot be read"),
    ],
)
async def test_options_that_cannot_be_are_told(options: tuple[str, ...], says: str) -> None:
    shown = None if says == "a credential is missing" else prover()
    assert refused(await prove(*options, shown=shown), says)


async def test_a_report_that_cannot_be_written_is_told_before_anything_is_done(tmp_path: Path) -> None:
    ended = await prove("--url", "http://localhost", "--report", str(tmp_path / "missing/report.json"), shown=prover())
    assert refused(ended, "cannot be written")


async def test_what_is_no_report_is_told(tmp_path: Path) -> None:
    path = tmp_path / "report.json"
    path.write_text("{}")
    assert refused(await prove("--check", str(path)), "that is no report")
