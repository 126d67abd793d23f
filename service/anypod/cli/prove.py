"""The command `anypod prove`.

Owns its options and what they mean, and its exit codes. Must not know how anything is proven.
"""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from anypod.core.errors import AnypodError
from anypod.prove.plan import (
    RATE,
    RATE_MAX,
    REPLICAS_MAX,
    SECONDS,
    SECONDS_MAX,
    SESSIONS,
    SESSIONS_MAX,
    SESSIONS_MIN,
    ProofPlan,
)

if TYPE_CHECKING:
    from anypod.prove.credentials import Credentials
    from anypod.prove.report import Signed

EXIT_CODES = {"proven": 0, "violated": 1, "unfinished": 2}
EXIT_CHANGED = 1
SEED_BYTES = 4
STEM_BYTES = 5  # eight letters: sessions of proofs that run at once do not meet
CREDENTIAL_BYTES_MAX = 64 << 10
STDIN = "-"


def prove(
    *,
    url: Annotated[str | None, typer.Option(help="Where clients reach the service: what comes before /v1/sessions.")] = None,
    credential: Annotated[
        str | None, typer.Option("--token", envvar="PROVE_TOKEN", help="A credential that may read and publish. Default: made.")
    ] = None,
    credential_file: Annotated[str | None, typer.Option("--token-file", help="The file that holds it; - for standard input.")] = None,
    foreign: Annotated[
        str | None, typer.Option("--foreign-token", envvar="PROVE_FOREIGN_TOKEN", help="A credential of another tenant.")
    ] = None,
    foreign_file: Annotated[str | None, typer.Option("--foreign-token-file", help="The file that holds that.")] = None,
    neighbour: Annotated[
        str | None, typer.Option("--neighbour-token", envvar="PROVE_NEIGHBOUR_TOKEN", help="One of another subject of the same tenant.")
    ] = None,
    neighbour_file: Annotated[str | None, typer.Option("--neighbour-token-file", help="The file that holds that.")] = None,
    narrowed: Annotated[
        str | None, typer.Option("--narrowed-token", envvar="PROVE_NARROWED_TOKEN", help="One that is narrowed to other sessions.")
    ] = None,
    narrowed_file: Annotated[str | None, typer.Option("--narrowed-token-file", help="The file that holds that.")] = None,
    seconds: Annotated[int, typer.Option(min=1, max=SECONDS_MAX, help="How long events are published.")] = SECONDS,
    sessions: Annotated[int, typer.Option(min=SESSIONS_MIN, max=SESSIONS_MAX, help="Sessions, each with four readers.")] = SESSIONS,
    rate: Annotated[int, typer.Option(min=1, max=RATE_MAX, help="Publishes a second, over all sessions.")] = RATE,
    replicas: Annotated[int, typer.Option(min=1, max=REPLICAS_MAX, help="Different replicas that must be met.")] = 1,
    seed: Annotated[int | None, typer.Option(help="Of the random choices; printed in any case.")] = None,
    report: Annotated[Path | None, typer.Option(help="A file for the report as JSON.")] = None,
    check: Annotated[str | None, typer.Option(help="Check that a report is as it was written (- for standard input), and show it.")] = None,
) -> None:
    """Check guarantees 1 to 5 of a running service from outside, with clients that are cut all the time."""
    if check is not None:
        sys.exit(_check(check))
    if url is None:
        raise AnypodError("malformed", "--url is missing: where clients reach the service")
    given = _credential(credential, credential_file, "--token")
    other = _credential(foreign, foreign_file, "--foreign-token")
    neighbours = _credential(neighbour, neighbour_file, "--neighbour-token")
    elsewhere = _credential(narrowed, narrowed_file, "--narrowed-token")
    if given is None:
        made = _own_credentials(seconds)
        given, other = made.credential, other or made.foreign
        neighbours, elsewhere = neighbours or made.neighbour, elsewhere or made.narrowed
    chosen_seed, stem = _chance(seed)
    plan = ProofPlan(url.rstrip("/"), given, other, neighbours, elsewhere, seconds, sessions, rate, replicas, chosen_seed, stem)
    plan.check()
    _run(plan, report)


def _run(plan: ProofPlan, report: Path | None) -> None:
    import uvloop

    from anypod.devcluster.environment import raise_descriptor_limit
    from anypod.prove.report import encode, sign
    from anypod.prove.scenario import run

    if report is not None:
        _write(report, b"")  # what cannot be written is better known before than afterwards
    raise_descriptor_limit()
    signed = sign(uvloop.run(run(plan)))
    if report is not None:
        _write(report, encode(signed))
    _show(signed)
    sys.exit(EXIT_CODES[signed.report.verdict])


def _check(name: str) -> int:
    from anypod.prove.report import REPORT_BYTES_MAX, verify

    signed = verify(_read(name, REPORT_BYTES_MAX))
    if signed is None:
        print("This is not the report that was signed off: its digest does not fit what it says.")
        return EXIT_CHANGED
    _show(signed)
    print("The report is as it was signed off.")
    return 0


def _show(signed: "Signed") -> None:
    from anypod.console import say
    from anypod.prove.render import lines_of

    for line in lines_of(signed):
        say(line)


def _credential(given: str | None, name: str | None, option: str) -> str | None:
    """Raises AnypodError, which never quotes it."""
    if name is not None:
        given = _read(name, CREDENTIAL_BYTES_MAX).decode(errors="replace")
    if given is None or not (given := given.strip()):
        return None
    if not given.isascii() or not given.isprintable() or " " in given:
        raise AnypodError("malformed", f"{option} takes one credential, without `Bearer` and without spaces")
    return given


def _own_credentials(seconds: int) -> "Credentials":
    from anypod.prove.credentials import own_credentials

    return own_credentials(seconds)


def _read(name: str, bytes_max: int) -> bytes:
    try:
        if name == STDIN:
            return sys.stdin.buffer.read(bytes_max)
        with Path(name).open("rb") as file:
            return file.read(bytes_max)
    except OSError as exc:
        raise AnypodError("malformed", f"{name} cannot be read: {exc.strerror}") from exc


def _write(path: Path, text: bytes) -> None:
    try:
        path.write_bytes(text)
    except OSError as exc:
        raise AnypodError("unavailable", f"{path} cannot be written: {exc.strerror}; choose another --report, or none") from exc


def _chance(seed: int | None) -> tuple[int, str]:
    """The seed, and what the sessions of this proof are called: never the same twice, whatever the seed."""
    from base64 import b32encode

    from anypod.clock import system_random

    rng = system_random()
    chosen = seed if seed is not None else int.from_bytes(rng.randbytes(SEED_BYTES), "big")
    return chosen, f"prove-{b32encode(rng.randbytes(STEM_BYTES)).decode().lower()}"
