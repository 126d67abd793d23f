"""What a replica is made of: locked with hashes, listed, and audited without a gap."""

import json
import tomllib
from pathlib import Path
from typing import Any, Final

import pytest
from service.tools.supply_chain import ROOT, is_elsewhere, judged, names_in, requirements, unproven, write_sbom

GOOD: Final = {"name": "good", "version": "1", "vulns": []}
BAD: Final = {"name": "bad", "version": "1", "vulns": [{"id": "X-1", "fix_versions": ["2"]}]}
SKIPPED: Final = {"name": "odd", "skip_reason": "not found"}


def unhashed(package: dict[str, Any]) -> list[str]:
    """Files of a locked package that could be exchanged without anybody noticing."""
    files = [*package.get("wheels", ()), *([package["sdist"]] if "sdist" in package else ())]
    return (
        [file["url"] for file in files if not file.get("hash", "").startswith("sha256:")] if files else [f"{package['name']} has no files"]
    )


def locked() -> list[dict[str, Any]]:
    packages: list[dict[str, Any]] = tomllib.loads((ROOT / "uv.lock").read_text())["package"]
    return packages


def test_every_package_of_the_lock_file_comes_from_the_registry_with_hashes() -> None:
    packages = locked()
    assert len(packages) > 50
    assert [package["name"] for package in packages if set(package["source"]) != {"registry"}] == ["anypod"]
    assert not [file for package in packages if "registry" in package["source"] for file in unhashed(package)]


def test_a_package_without_a_hash_is_found() -> None:
    package = next(package for package in locked() if package["name"] == "msgspec")
    assert not unhashed(package)
    wheels = [{name: value for name, value in package["wheels"][0].items() if name != "hash"}, *package["wheels"][1:]]
    assert unhashed(package | {"wheels": wheels}) == [package["wheels"][0]["url"]]
    assert unhashed({"name": "empty"}) == ["empty has no files"]


def test_the_list_of_parts_names_every_package_that_a_replica_needs_and_no_tool(tmp_path: Path) -> None:
    write_sbom(tmp_path / "sbom.json")
    sbom = json.loads((tmp_path / "sbom.json").read_text())
    assert (sbom["bomFormat"], sbom["metadata"]["component"]["name"]) == ("CycloneDX", "anypod")
    parts = {part["name"]: part for part in sbom["components"]}
    assert parts.keys() == names_in(requirements())
    assert {"fastapi", "msgspec", "redis", "uvicorn", "starlette"} <= parts.keys()
    assert not {"pytest", "ruff", "mypy", "schemathesis", "pip-audit"} & parts.keys()
    hashes = [reference["hashes"] for part in parts.values() for reference in part["externalReferences"]]
    assert all(listed[0]["alg"] == "SHA-256" for listed in hashes)


def test_what_is_audited_is_held_to_its_hashes() -> None:
    text = requirements()
    assert len(names_in(text)) > 20
    blocks = text.split("\n" + " " * 4 + "#")
    assert all("--hash=sha256:" in block for block in blocks if "==" in block)
    assert is_elsewhere("a", "a==1 ; sys_platform == 'win32' \\\n    --hash=sha256:0\n")
    assert not is_elsewhere("a", "a==1 \\\n    --hash=sha256:0\n")


@pytest.mark.parametrize(
    ("report", "errors", "wrong"),
    [
        (json.dumps({"dependencies": [GOOD]}), "", []),
        (json.dumps({"dependencies": [GOOD, BAD]}), "", ["bad 1 is vulnerable: X-1, mended in 2"]),
        (json.dumps({"dependencies": [GOOD, SKIPPED]}), "", [unproven("odd")]),
        (json.dumps({"dependencies": []}), "", [unproven("good")]),
        ("", "Traceback …\nConnectionError: no such host\n", [unproven("ConnectionError: no such host")]),
        ("", "", [unproven("it said nothing")]),
        ("{}", "", [unproven("it said nothing")]),
    ],
    ids=["clean", "vulnerable", "skipped", "left out", "unreachable", "silent", "another form"],
)
def test_an_audit_succeeds_only_when_everything_was_asked_about(report: str, errors: str, wrong: list[str]) -> None:
    assert judged(report, errors, expected={"good"}) == wrong
