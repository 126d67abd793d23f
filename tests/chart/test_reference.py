"""The chart's documents and schema say what its values and the service's settings are, and nothing that they are not."""

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

import yaml
from service.tools.chart_docs import OWN, README, SCHEMA, VALUES, described, settings_schema, with_settings, with_table

from anypod.core.timing import EXIT_S, GRACE_SLACK_S, KEEP_ALIVE_SLACK_S, NOTICE_S, NOTICE_S_MIN, NOTICE_S_UNKNOWN
from anypod.settings import Settings


def test_the_table_of_values_is_made_from_the_values() -> None:
    assert README.read_text() == with_table(README.read_text()), "run `make docs`"


def test_a_table_that_the_values_have_outgrown_is_found() -> None:
    wrong = README.read_text().replace("| `replicaCount` | `3` |", "| `replicaCount` | `4` |")
    assert wrong != with_table(wrong)


def test_every_value_has_a_comment_over_it() -> None:
    assert not [value.path for value in described(VALUES.read_text()) if not value.meaning]


def test_a_value_without_a_comment_is_found() -> None:
    assert [value.meaning for value in described("# One.\none: 1\ntwo: 2\n")] == ["One.", ""]


def test_the_schema_knows_exactly_the_values_there_are() -> None:
    schema = json.loads(SCHEMA.read_text())
    assert set(paths(yaml.safe_load(VALUES.read_text()))) == set(known(schema, schema)) - {"global"}


def paths(values: Mapping[str, Any], before: str = "") -> Iterator[str]:
    for name, value in values.items():
        yield before + name
        if isinstance(value, dict) and name not in {"requests", "limits", "labels"}:
            yield from paths(value, f"{before}{name}.")


def known(schema: Mapping[str, Any], whole: Mapping[str, Any], before: str = "") -> Iterator[str]:
    for name, inner in schema.get("properties", {}).items():
        if before == "settings.":
            return
        yield before + name
        reference = inner.get("$ref", "").removeprefix("#/$defs/")
        below = whole["$defs"][reference] if reference else inner
        yield from (path for path in known(below, whole, f"{before}{name}.") if not path.endswith(".claims"))


def test_every_setting_is_either_the_charts_own_or_may_be_given() -> None:
    assert SCHEMA.read_text() == with_settings(SCHEMA.read_text()), "run `make docs`"
    assert settings_schema().keys() | OWN == Settings.model_fields.keys()
    assert not settings_schema().keys() & OWN


def test_a_setting_that_the_schema_does_not_know_is_found() -> None:
    schema = json.loads(SCHEMA.read_text())
    del schema["properties"]["settings"]["properties"]["publish_per_s"]
    text = json.dumps(schema, indent=2) + "\n"
    assert with_settings(text) != text


def test_the_readme_leads_somewhere_and_names_only_values_that_exist() -> None:
    text = README.read_text()
    assert not [link for link in re.findall(r"\]\(([^)#]+)\)", text) if "://" not in link and not (README.parent / link).exists()]
    prose = text.partition("## Values")[0]
    there = {value.path for value in described(VALUES.read_text())} | {"proxies"}
    named = set(re.findall(r"`([a-z]+\.[a-zA-Z.]+)(?:=\w+)?`", prose))
    assert not named - there - {"strategy.type"}


def test_the_readme_tells_the_durations_that_are_derived() -> None:
    text = README.read_text()
    assert NOTICE_S["nginx"] == NOTICE_S["haproxy"] == NOTICE_S["traefik"] == NOTICE_S_MIN
    for words in (
        f"the longest idle timeout + {KEEP_ALIVE_SLACK_S} s",
        f"{NOTICE_S['alb']} s with an ALB, {NOTICE_S['nlb']} s with an NLB, {NOTICE_S_MIN} s with nginx, haproxy, traefik or none",
        f"{NOTICE_S_UNKNOWN} s with others",
        f"preStop + drain window + store deadline + {EXIT_S + GRACE_SLACK_S:g} s",
    ):
        assert words in text, words
