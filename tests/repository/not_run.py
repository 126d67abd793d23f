"""What of the tests did not run, and why: the last thing that `make test` says. `python -m tests.repository.not_run`.

Owns the two reasons that there may be, the list, and what fails a run of CI. Must not know the tests. A test that does not run says why in
words that a program can read:

- `missing TOOL: …`: this machine has no such tool. A check of `TOOLS` says whether that is so; where the tool is there, the skip is wrong.
- `elsewhere COMMAND: …`: another command runs it, by design.

With CI=true it is a failure when anything has another reason, or when its tool is there. Elsewhere it is told.
"""

import json
import os
import re
import shutil
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final, Literal, NamedTuple

from loadtests.bench.bench import NO_CENTRIFUGO
from loadtests.bench.centrifugo import find_centrifugo

ROOT: Final = Path(__file__).parents[2]
RECORD: Final = "NOT_RUN_RECORD"  # names the file that a run of all tests writes to
BENCH: Final = ROOT / ".bench/short.json"
SHOWN_MAX: Final = 3  # tests of one reason that are named

Tool = Literal["helm", "helm-unittest", "checkov", "actionlint", "go", "libfaketime", "cluster", "cluster kit", "centrifugo"]
_REASON: Final = re.compile(r"(?:Skipped: )?(missing|elsewhere) ([^:]+): .+", re.DOTALL)


class NotRun(NamedTuple):
    what: str
    why: str


def missing(tool: Tool, hint: str) -> str:
    """Why a test is skipped that needs it."""
    return f"missing {tool}: {hint}"


def elsewhere(command: str, what: str) -> str:
    return f"elsewhere {command}: {what}"


def record(one: NotRun) -> None:
    """Where a run of all tests asks for it."""
    if path := os.environ.get(RECORD):
        with Path(path).open("a") as file:
            file.write(json.dumps(one._asdict()) + "\n")


def recorded(path: Path) -> Sequence[NotRun]:
    lines = path.read_text().splitlines() if path.exists() else []
    return list(dict.fromkeys(NotRun(**json.loads(line)) for line in lines))


def of_bench(path: Path = BENCH) -> Iterator[NotRun]:
    """Rows without a figure or a reference, from the results of the short benchmark."""
    if not path.exists():
        return
    results = json.loads(path.read_text())
    for check in results["runs"][-1]:
        for failure in check["failures"]:
            why = missing("centrifugo", failure) if failure == NO_CENTRIFUGO else failure
            yield NotRun(f"benchmark: {check['name']}", why)
    for name, reason in results["not_measured"].items():
        yield NotRun(f"benchmark: {name}", elsewhere("a later version", reason))


def wrong(found: Sequence[NotRun], tools: "Mapping[str, Callable[[], bool]] | None" = None) -> Sequence[str]:
    """What CI fails over."""
    are_there = tools or TOOLS
    told: list[str] = []
    for one in found:
        match = _REASON.fullmatch(one.why)
        if match is None:
            told.append(f"{one.what} did not run for no reason that a program can check: {one.why}")
        elif match[1] == "missing" and (match[2] not in are_there or are_there[match[2]]()):
            told.append(f"{one.what} did not run, although {match[2]} is here: {one.why}")
    return told


def listed(found: Sequence[NotRun]) -> str:
    """By reason, the most frequent first."""
    if not found:
        return "Everything ran."
    by_reason = Counter(one.why.removeprefix("Skipped: ") for one in found)
    lines = [f"{len(found)} did not run:"]
    for why, count in by_reason.most_common():
        names = [one.what for one in found if one.why.removeprefix("Skipped: ") == why]
        more = f" and {count - SHOWN_MAX} more" if count > SHOWN_MAX else ""
        lines += [f"  {count:4} {why}", f"         {', '.join(names[:SHOWN_MAX])}{more}"]
    return "\n".join(lines)


def _has(name: str) -> Callable[[], bool]:
    def is_there() -> bool:
        from tests.chart.tools import find  # late: the tools' own tests import this

        return find(name) is not None

    return is_there


def _has_faketime() -> bool:
    from tests.chaos.wall_clock import library

    return library() is not None


def _has_cluster() -> bool:
    from service.tools.image import find_builder
    from tests.kubernetes.machine import find_machine

    return not isinstance(find_machine(), str) and find_builder() is not None


def _has_kit() -> bool:
    from service.tools.image import KIT

    return (KIT / "cluster").exists()


TOOLS: Final[Mapping[str, Callable[[], bool]]] = {
    "helm": _has("helm"),
    "helm-unittest": _has("helm-unittest"),
    "checkov": _has("checkov"),
    "actionlint": _has("actionlint"),
    "go": lambda: shutil.which("go") is not None,
    "libfaketime": _has_faketime,
    "cluster": _has_cluster,
    "cluster kit": _has_kit,
    "centrifugo": lambda: find_centrifugo(None, ROOT) is not None,
}


def main() -> int:
    found = [*recorded(Path(os.environ.get(RECORD, ROOT / ".anypod/not-run.jsonl"))), *of_bench()]
    print(listed(found))
    faults = wrong(found) if os.environ.get("CI") == "true" else []
    for line in faults:
        print(f"FAILED: {line}")
    return bool(faults)


if __name__ == "__main__":
    sys.exit(main())
