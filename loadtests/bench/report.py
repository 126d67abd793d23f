"""What a run found, for people and for programs.

Owns the text and the JSON. Must not know how anything was measured.
"""

import subprocess
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from statistics import median
from typing import Any, Final

from loadtests import results
from loadtests.bench.outcome import Outcome, Sample, Spread, Verdict, middle, spread
from loadtests.bench.series import Series

from anypod import __version__

ANSWER_S_MAX: Final = 10.0
WORDS: Final = {
    Verdict.STRETCH: "reached, with its stretch",
    Verdict.MET: "reached",
    Verdict.MISSED: "MISSED",
    Verdict.BELOW_HALF: "MISSED BY MORE THAN HALF",
    Verdict.UNKNOWN: "NOT JUDGED",
}


def lines_of(outcome: Outcome) -> Iterator[str]:
    """One check, in a few lines."""
    check = outcome.check
    score = "" if outcome.score is None else f"{outcome.score:.3g}, "
    bound = "≥" if check.goal.endswith("at least") else "≤"
    goal = check.goal.removesuffix(" at least").removesuffix(" at most")
    yield f"{check.name}: {check.title}, {goal}: {score}bar {bound} {check.bar:g} (stretch {check.stretch:g}): {WORDS[outcome.verdict]}"
    for name, samples in (("anypod", outcome.ours), (outcome.reference, outcome.theirs)):
        if samples:
            yield f"    {name:22} {_side(samples, check.unit)}"
    for remark in (*outcome.remarks, *outcome.failures):
        yield f"    ! {remark}"


def _side(samples: Sequence[Sample], unit: str) -> str:
    parts = [_range(samples, unit)]
    if (server_us := middle([sample.server_us for sample in samples])) is not None:
        parts.append(f"server {server_us:.3g} µs an operation")
    if (load := middle([sample.load for sample in samples])) is not None:
        client = middle([sample.client for sample in samples])
        parts.append(f"client's core {load:.0%} (load {client:.0%})")
    parts += [f"{name} {_number(median(sample.details[name] for sample in samples))}" for name in samples[0].details]
    return "; ".join(parts)


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 1000 else f"{value:.3g}"


def as_markdown(series: Sequence[Series]) -> str:
    """The table of the documents."""
    head = ("check", "anypod", "reference", "score", "bar", "stretch", "met", "verdict")
    rows = [head, ("---",) * len(head), *map(_cells, series)]
    return "".join(f"| {' | '.join(row)} |\n" for row in rows)


def _cells(series: Series) -> tuple[str, ...]:
    check, score = series.check, series.score
    bound = "≥" if check.goal.endswith("at least") else "≤"
    reference = series.side(is_ours=False)
    return (
        f"{check.name}: {check.title}",
        _middle_and_range(series.side(is_ours=True), f" {check.unit}"),
        "" if reference is None else f"{series.runs[0].reference}: {_middle_and_range(reference, f' {check.unit}')}",
        "" if score is None else _middle_and_range(score),
        f"{bound} {check.bar:g}",
        f"{check.stretch:g}",
        f"{series.met} of {len(series.runs)}",
        series.verdict.value,
    )


def _middle_and_range(found: Spread | None, unit: str = "") -> str:
    if found is None:
        return "not measured"
    return f"{_number(found.middle)}{unit} ({_number(found.low)} to {_number(found.high)})"


def _range(samples: Sequence[Sample], unit: str) -> str:
    return " / ".join(map(_number, spread([sample.value for sample in samples]))) + f" {unit}" if samples else "not measured"


def as_json(
    runs: Sequence[Sequence[Outcome]], machine: Mapping[str, str], absent: Mapping[str, str], made: Mapping[str, str]
) -> dict[str, Any]:
    """`made`: where the figures come from."""
    return {
        "made": dict(made),
        "machine": dict(machine),
        "runs": [[_outcome(outcome) for outcome in outcomes] for outcomes in runs],
        "not_measured": dict(absent),
    }


def _outcome(outcome: Outcome) -> dict[str, Any]:
    return {
        **asdict(outcome.check),
        "reference": outcome.reference,
        "score": outcome.score,
        "verdict": outcome.verdict.value,
        "ours": [_sample(sample) for sample in outcome.ours],
        "theirs": [_sample(sample) for sample in outcome.theirs],
        "remarks": outcome.remarks,
        "failures": outcome.failures,
    }


def _sample(sample: Sample) -> dict[str, Any]:
    return {**sample._asdict(), "details": dict(sample.details)}


def machine(redis: Path, centrifugo: Path | None) -> dict[str, str]:
    """What the figures hold for."""
    return {
        **results.machine(),
        "anypod": __version__,
        "store": _first_line(str(redis), "--version"),
        "centrifugo": "none" if centrifugo is None else _first_line(str(centrifugo), "version"),
    }


def _first_line(*command: str) -> str:
    done = subprocess.run(command, capture_output=True, text=True, timeout=ANSWER_S_MAX, check=False)
    return (done.stdout or done.stderr).strip().partition("\n")[0]
