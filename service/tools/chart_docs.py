"""The chart's documents, made from what they describe. `python -m service.tools.chart_docs` writes them.

Owns the README's table of values, which comes from values.yaml and the comments in it, and the schema's list of settings, which comes
from the service. Must not know what a value is for.
"""

import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final, NamedTuple

import yaml

from anypod.settings import Settings

CHART: Final = Path(__file__).parents[2] / "helm/anypod"
README: Final = CHART / "README.md"
SCHEMA: Final = CHART / "values.schema.json"
VALUES: Final = CHART / "values.yaml"

# What the chart sets itself, from values of its own.
OWN: Final = frozenset(
    {
        "store",
        "redis_url",
        "redis_password",
        "redis_sentinel_password",
        "redis_tls_ca_file",
        "redis_tls_cert_file",
        "redis_tls_key_file",
        "host",
        "port",
        "admin_host",
        "admin_port",
        "replica",
        "dev",
        "credentials",
        "jwt_secret",
        "jwt_previous_secret",
        "jwt_issuer",
        "jwt_audience",
        "jwks_urls",
        "jwt_algorithms",
        "origins",
        "proxies",
        "heartbeat_ms_max",
        "append_deadline_s",
        "ready_wait_s",
        "drain_s",
        "grace_s",
    }
)
KEPT: Final = ("type", "enum", "pattern", "minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "description")

_TABLE: Final = re.compile(r"(?<=<!-- table: values -->\n).*?(?=<!-- end -->)", re.DOTALL)


class Value(NamedTuple):
    path: str
    default: str
    meaning: str


def described(text: str) -> Iterator[Value]:
    """Every value with a comment above it, and every leaf; a leaf without a comment has an empty meaning."""
    path: list[str] = []
    comment: list[str] = []
    lines, values = text.splitlines(), yaml.safe_load(text)
    for number, line in enumerate(lines):
        indent = len(line) - len(line.lstrip())
        if (stripped := line.strip()).startswith("#"):
            comment.append(stripped.removeprefix("#").strip())
        elif match := re.match(r"([\w-]+):(.*)", stripped):
            del path[indent // 2 :]
            path.append(match[1])
            is_leaf = bool(match[2].strip()) or not _is_deeper(lines[number + 1 :], indent)
            if is_leaf or comment:
                yield Value(".".join(path), _default(path, values), " ".join(comment))
            comment = []
        else:
            comment = []


def values_table(text: str) -> str:
    """Values whose parent has the comment stand in the parent's row."""
    rows = [value for value in described(text) if value.meaning]
    lines = [f"| `{row.path}` | `{row.default}` | {_escaped(row.meaning)} |" for row in rows]
    return "\n".join(["| value | default | meaning |", "| --- | --- | --- |", *lines, ""])


def settings_schema() -> dict[str, Any]:
    """The settings of the service that the chart leaves to `settings`."""
    whole = Settings.model_json_schema()["properties"]
    return {name: _property(field) for name, field in sorted(whole.items()) if name not in OWN}


def with_table(readme: str) -> str:
    return _TABLE.sub(lambda _: values_table(VALUES.read_text()), readme)


def with_settings(schema: str) -> str:
    whole = json.loads(schema)
    whole["properties"]["settings"]["properties"] = settings_schema()
    return json.dumps(whole, indent=2) + "\n"


def _is_deeper(lines: list[str], indent: int) -> bool:
    following = next((line for line in lines if line.strip()), "")
    return len(following) - len(following.lstrip()) > indent


def _default(path: list[str], values: Any) -> str:
    for name in path:
        values = values[name]
    return json.dumps(values)


def _escaped(text: str) -> str:
    return text.replace("|", r"\|")


def _property(field: dict[str, Any]) -> dict[str, Any]:
    kept: dict[str, Any] = {name: field[name] for name in KEPT if name in field}
    return kept if "type" in kept else kept | {"type": ["string", "number", "boolean"]}


if __name__ == "__main__":
    README.write_text(with_table(README.read_text()))
    SCHEMA.write_text(with_settings(SCHEMA.read_text()))
    sys.stdout.write(f"{README.name} and {SCHEMA.name} of the chart are up to date.\n")
