"""The report of a proof, signed off: what was asked, what was checked, what was seen, and a digest over all of it.

Owns the form, the verdict and the digest. Must not know how anything was checked, nor print. The digest says that a report is
whole, as when it was written: it is no signature: every user of the command can write one.
"""

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any, Final, Literal

import msgspec

from anypod.core.errors import AnypodError
from anypod.core.statistics import percentile
from anypod.prove.guarantees import GUARANTEES
from anypod.prove.record import Evidence

FORMAT: Final = "anypod-proof-1"
REPORT_BYTES_MAX: Final = 1 << 20

Verdict = Literal["proven", "violated", "unfinished"]


class ReportHeader(msgspec.Struct, frozen=True, kw_only=True):
    """`began`, `ended`: UTC, ISO 8601. Whole numbers only: they have one text in every language's JSON."""

    version: str
    url: str
    began: str
    ended: str
    seconds: int
    sessions: int
    rate: int
    replicas: int
    seed: int


class Found(msgspec.Struct, frozen=True):
    """One guarantee. `status`: `kept`, `violated`, or `not checked`."""

    number: int
    name: str
    status: str
    counts: Mapping[str, int]
    violations: int


class Times(msgspec.Struct, frozen=True):
    count: int
    p50_ms: int
    p95_ms: int
    max_ms: int


class Seen(msgspec.Struct, frozen=True):
    guarantee: int
    session: str
    what: str
    seq: int | None
    cursor: str | None


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """`reason`: why it is unfinished."""

    format: str
    proof: ReportHeader
    verdict: Verdict
    reason: str
    guarantees: tuple[Found, ...]
    violations: tuple[Seen, ...]
    recovery: Times
    delivery: Times
    transports: Mapping[str, int]
    replicas_met: Mapping[str, int]
    notes: tuple[str, ...]


class Signed(msgspec.Struct, frozen=True):
    """`digest`: SHA-256 of the report's canonical JSON."""

    report: Report
    digest: str


def report_of(header: ReportHeader, evidence: Evidence, *, reason: str = "") -> Report:
    """`reason`: what kept the proof from its end, empty when it came to it."""
    found = tuple(
        Found(
            one.number,
            one.name,
            _status(evidence, one.number, one.counts[0][0]),
            {name: evidence.counts[name] for name, _ in one.counts},
            evidence.violated[one.number],
        )
        for one in GUARANTEES
    )
    unchecked = [one for one in found if one.status == "not checked"]
    if not reason and unchecked:
        reason = "; ".join(f"guarantee {one.number} ({one.name}) could not be checked" for one in unchecked)
    return Report(
        format=FORMAT,
        proof=header,
        verdict="violated" if evidence.violated.total() else "unfinished" if reason else "proven",
        reason=reason,
        guarantees=found,
        violations=tuple(Seen(one.guarantee, one.session, one.what, one.seq, one.cursor) for one in evidence.violations),
        recovery=_times(evidence.recoveries_s),
        delivery=_times(evidence.deliveries_s),
        transports=dict(sorted(evidence.synced.items())),
        replicas_met=dict(sorted(evidence.met.items())),
        notes=tuple(evidence.notes),
    )


def _status(evidence: Evidence, number: int, count: str) -> str:
    if evidence.violated[number]:
        return "violated"
    return "kept" if evidence.counts[count] else "not checked"


def _times(seconds: Sequence[float]) -> Times:
    if not seconds:
        return Times(0, 0, 0, 0)
    return Times(len(seconds), *(round(1000 * each) for each in (percentile(seconds, 50), percentile(seconds, 95), max(seconds))))


def sign(report: Report) -> Signed:
    return Signed(report, digest_of(msgspec.to_builtins(report)))


def digest_of(report: Any) -> str:
    """Over the JSON with sorted names and without spaces, so that a report may be reformatted on its way."""
    return f"sha256:{hashlib.sha256(msgspec.json.encode(report, order='sorted')).hexdigest()}"


def encode(signed: Signed) -> bytes:
    return msgspec.json.format(msgspec.json.encode(signed), indent=2) + b"\n"


def verify(text: bytes) -> Signed | None:
    """The report in this text, None when it is not what was signed off. Raises AnypodError `malformed` when there is none."""
    try:
        signed = msgspec.json.decode(text, type=Signed)
        told = msgspec.json.decode(text)  # what a later version has added is digested, too
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as exc:
        raise AnypodError("malformed", "that is no report of `anypod prove`") from exc
    return signed if digest_of(told["report"]) == signed.digest else None
