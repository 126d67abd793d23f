"""The supply chain: `python -m service.tools.supply_chain sbom` and `… audit`, which `make` runs.

Owns the list of what a replica is made of, as the lock file has it, and the question whether any of it is known to be
vulnerable. An audit that could not ask about every package has failed: it never looks like one that found nothing.
"""

import json
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

ROOT: Final = Path(__file__).parents[2]
SBOM: Final = ROOT / "dist/sbom.json"
TOOLS: Final = (ROOT / ".anypod/tools/uv/bin/uv", Path.home() / ".local/bin/uv")  # where `.ci/setup` may have put it
RUNTIME: Final = ("--frozen", "--no-dev", "--no-emit-project", "--quiet")
AUDIT_S_MAX: Final = 300.0
UNASKED: Final = "the vulnerability service could not be asked about every package, so nothing is proven"
AGAIN: Final = "run `make audit` again from where it can be reached, and do not release before it has passed"


def find_uv() -> str:
    found = shutil.which("uv") or next((str(path) for path in TOOLS if path.exists()), None)
    assert found is not None, "there is no uv: .ci/setup gets it"
    return found


def uv(*args: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([find_uv(), *args], cwd=ROOT, capture_output=True, text=True, timeout=AUDIT_S_MAX, check=False)


def write_sbom(path: Path) -> None:
    """What a replica needs, with versions and hashes, in CycloneDX."""
    path.parent.mkdir(exist_ok=True)
    made = uv("export", *RUNTIME, "--preview-features", "sbom-export", "--format", "cyclonedx1.5", "--output-file", str(path))
    assert made.returncode == 0, made.stderr


def requirements() -> str:
    """What a replica needs, each package with its hashes, as pip reads it."""
    made = uv("export", *RUNTIME, "--no-header", "--format", "requirements.txt")
    assert made.returncode == 0, made.stderr
    return made.stdout


def names_in(text: str) -> set[str]:
    """Packages of requirements that this machine's Python would install: those without a marker, or listed anyhow."""
    return set(re.findall(r"^([a-z0-9][a-z0-9._-]*)==", text, re.MULTILINE))


def audit() -> Sequence[str]:
    """What is wrong; nothing, when every package was asked about and none is known to be vulnerable."""
    asked = requirements()
    with tempfile.TemporaryDirectory() as folder:
        listed = Path(folder) / "requirements.txt"
        listed.write_text(asked)
        tool = ("run", "--frozen", "--isolated", "--quiet", "--only-group", "audit", "pip-audit")
        how = ("--strict", "--require-hashes", "--disable-pip", "--progress-spinner", "off", "--format", "json")
        done = uv(*tool, *how, "--requirement", str(listed))
    wrong = judged(done.stdout, done.stderr, expected={name for name in names_in(asked) if not is_elsewhere(name, asked)})
    return wrong or ([unproven(f"the tool ended with {done.returncode}")] if done.returncode else [])


def is_elsewhere(name: str, text: str) -> bool:
    """Is the package for another system or Python only? The tool leaves these out."""
    line = re.search(rf"^{re.escape(name)}==[^;\\\n]*;", text, re.MULTILINE)
    return line is not None


def judged(report: str, errors: str, *, expected: set[str]) -> Sequence[str]:
    """What the tool's report says, held against what it was asked."""
    try:
        told: list[dict[str, Any]] = json.loads(report)["dependencies"]
    except (ValueError, KeyError, TypeError):
        last = errors.strip().splitlines()[-1:] or ["it said nothing"]
        return [unproven(last[0][:300])]
    found = [
        f"{item['name']} {item['version']} is vulnerable: {flaw['id']}, mended in {', '.join(flaw['fix_versions']) or 'no version yet'}"
        for item in told
        for flaw in item.get("vulns", ())
    ]
    skipped = {item["name"] for item in told if "skip_reason" in item} | (expected - {item["name"] for item in told})
    return found + ([unproven(", ".join(sorted(skipped)))] if skipped else [])


def unproven(cause: str) -> str:
    return f"{UNASKED} ({cause}): {AGAIN}"


def main(task: str) -> int:
    match task:
        case "sbom":
            write_sbom(SBOM)
            print(f"{SBOM.relative_to(ROOT)} lists {len(json.loads(SBOM.read_text())['components'])} packages.")
            return 0
        case "audit":
            wrong = audit()
            print(
                "\n".join(f"audit: {line}" for line in wrong) or "audit: every package was asked about, and none is known to be vulnerable."
            )
            return 1 if wrong else 0
        case _:
            print("usage: python -m service.tools.supply_chain sbom | audit")
            return 2


if __name__ == "__main__":
    sys.exit(main(sys.argv[1] if len(sys.argv) == 2 else ""))
