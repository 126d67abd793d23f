"""What a run found, for people and for programs.

Owns the text and the JSON. Must not know how anything was measured.
"""

import platform
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from statistics import median
from typing import Any, Final

from loadtests.bench.outcome import Outcome, Sample, Verdict, middle, spread

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


def as_markdown(outcomes: Sequence[Outcome]) -> str:
    """The table of the documents."""
    head = ("check", "anypod: min / median / max", "reference: min / median / max", "score", "bar", "stretch", "verdict")
    rows = [head, ("---",) * len(head), *map(_cells, outcomes)]
    return "".join(f"| {' | '.join(row)} |\n" for row in rows)


def _cells(outcome: Outcome) -> tuple[str, ...]:
    check, reference = outcome.check, outcome.reference
    bound = "≥" if check.goal.endswith("at least") else "≤"
    return (
        f"{check.name}: {check.title}",
        _range(outcome.ours, check.unit),
        f"{reference}: {_range(outcome.theirs, check.unit)}" if outcome.theirs else "",
        "" if outcome.score is None else f"{outcome.score:.3g}",
        f"{bound} {check.bar:g}",
        f"{check.stretch:g}",
        outcome.verdict.value,
    )


def _range(samples: Sequence[Sample], unit: str) -> str:
    return " / ".join(map(_number, spread([sample.value for sample in samples]))) + f" {unit}" if samples else "not measured"


def as_json(outcomes: Sequence[Outcome], machine: Mapping[str, str], absent: Mapping[str, str]) -> dict[str, Any]:
    return {
        "machine": dict(machine),
        "checks": [
            {
                **asdict(outcome.check),
                "reference": outcome.reference,
                "score": outcome.score,
                "verdict": outcome.verdict.value,
                "ours": [_sample(sample) for sample in outcome.ours],
                "theirs": [_sample(sample) for sample in outcome.theirs],
                "remarks": outcome.remarks,
                "failures": outcome.failures,
            }
            for outcome in outcomes
        ],
        "not_measured": dict(absent),
    }


def _sample(sample: Sample) -> dict[str, Any]:
    return {**sample._asdict(), "details": dict(sample.details)}


def machine(redis: Path, centrifugo: Path | None) -> dict[str, str]:
    """What the figures hold for."""
    memory_kib = int(_line("/proc/meminfo", "MemTotal").split()[0])
    return {
        "processor": _line("/proc/cpuinfo", "model name"),
        "cores": str(sum(line.startswith("processor") for line in Path("/proc/cpuinfo").read_text().splitlines())),
        "memory": f"{memory_kib / (1 << 20):.1f} GiB",
        "kernel": platform.release(),
        "python": platform.python_version(),
        "anypod": __version__,
        "store": _first_line(str(redis), "--version"),
        "centrifugo": "none" if centrifugo is None else _first_line(str(centrifugo), "version"),
    }


def _line(path: str, name: str) -> str:
    found = (line.partition(":") for line in Path(path).read_text().splitlines())
    return next((value.strip() for key, _, value in found if key.strip() == name), "unknown")


def _first_line(*command: str) -> str:
    done = subprocess.run(command, capture_output=True, text=True, timeout=ANSWER_S_MAX, check=False)
    return (done.stdout or done.stderr).strip().partition("\n")[0]
