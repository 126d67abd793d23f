"""A report as a person reads it.

Owns the wording and the layout; plain lines, because they are pasted into tickets and read in the output of pods. Must not know
how a report comes about.
"""

from collections.abc import Iterator, Mapping
from typing import Final

from anypod.prove.guarantees import GUARANTEES
from anypod.prove.report import Signed, Times

VIOLATIONS_SHOWN: Final = 10  # the report's file has more

_VERDICTS: Final = {
    "proven": "PROVEN: every guarantee that can be seen from outside was kept",
    "violated": "VIOLATED",
    "unfinished": "UNFINISHED: nothing is proven",
}


def lines_of(signed: Signed) -> Iterator[str]:
    report = signed.report
    proof = report.proof
    yield f"anypod prove {proof.version} against {proof.url}"
    yield f"{proof.began} to {proof.ended}; {proof.seconds} s, {proof.sessions} sessions, {proof.rate} publishes/s, seed {proof.seed}"
    yield ""
    for found, one in zip(report.guarantees, GUARANTEES, strict=True):
        yield f"{found.number}. {found.name}: {found.status}"
        for name, says in one.counts:
            if count := found.counts.get(name, 0):
                yield f"   {count:>9,} {says}"
    yield ""
    yield f"recovery    {_times(report.recovery)}, from coming back (or being cut off by others) until everything was there"
    yield f"delivery    {_times(report.delivery)}, from the first attempt to publish until a connected reader had it"
    yield f"transports  {_listed(report.transports)}; times that a reader was brought up to date"
    yield f"replicas    {_listed(report.replicas_met)}; attaches to each (a poll is not told)"
    for note in report.notes:
        yield f"note        {note}"
    if report.violations:
        yield ""
        total = sum(found.violations for found in report.guarantees)
        yield f"{total} violations, the first of them:"
        for seen in report.violations[:VIOLATIONS_SHOWN]:
            seq = f" seq {seen.seq}" if seen.seq is not None else ""
            cursor = f" cursor {seen.cursor}" if seen.cursor is not None else ""
            yield f"   guarantee {seen.guarantee}, session {seen.session}{seq}{cursor}: {seen.what}"
    yield ""
    yield f"verdict     {_VERDICTS[report.verdict]}"
    if report.reason:
        yield f"reason      {report.reason}"
    yield f"digest      {signed.digest}"


def _times(times: Times) -> str:
    return f"{times.count:,}: p50 {times.p50_ms} ms, p95 {times.p95_ms} ms, max {times.max_ms} ms" if times.count else "none"


def _listed(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{name} {count:,}" for name, count in counts.items()) or "none"
