import dataclasses
import os
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr, ValidationError

from anypod.core.timing import Proxy
from anypod.settings import DEV_SECRET, ClassSettings, KeySetSource, SettingError, Settings, load_settings, setting_rows
from anypod.store import SessionClass

SECRET = "a secret of at least thirty-two bytes"
SAFE = {"ANYPOD_JWT_SECRET": SECRET}


def problem(**variables: str) -> str:
    with pytest.raises(SettingError) as error:
        load_settings({**SAFE, **variables})
    line = str(error.value)
    assert "\n" not in line
    assert SECRET not in line
    return line


def test_a_secret_is_all_that_must_be_set() -> None:
    settings = load_settings(SAFE)
    assert [item.secret for item in settings.signing_secrets] == [SECRET]
    assert (settings.port, settings.admin_address) == (8_000, ("0.0.0.0", 9_000))
    assert settings.timing.heartbeat_ms == 25_000


def test_every_setting_is_a_variable_of_its_name() -> None:
    settings = load_settings({**SAFE, "ANYPOD_PORT": "8001", "ANYPOD_TAIL_BYTES_MAX": "1000", "anypod_drain_s": "2.5", "PORT": "1"})
    assert (settings.port, settings.tail_bytes_max, settings.drain_s) == (8_001, 1_000, 2.5)


def test_a_real_process_reads_its_own_environment() -> None:
    code = "from anypod.settings import load_settings; print(load_settings().port)"
    environ = {name: value for name, value in os.environ.items() if not name.startswith("ANYPOD_")}
    done = subprocess.run(
        [sys.executable, "-c", code], env=environ | SAFE | {"ANYPOD_PORT": "8123"}, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "8123"


def test_settings_made_directly_do_not_read_the_environment_and_never_change() -> None:
    settings = Settings(jwt_secret=SecretStr(SECRET))
    assert settings.replica
    with pytest.raises(ValidationError):
        settings.port = 1


def test_an_empty_variable_is_as_good_as_none() -> None:
    assert load_settings({**SAFE, "ANYPOD_PORT": "", "ANYPOD_ADMIN_HOST": "", "ANYPOD_NO_SUCH": ""}).port == 8_000


def test_lists_are_separated_by_commas() -> None:
    settings = load_settings(
        {
            **SAFE,
            "ANYPOD_PROXIES": "alb:60000, nginx:75000,",
            "ANYPOD_ORIGINS": "https://App.example.com/, https://*.example.org:8443",
            "ANYPOD_JWT_ALGORITHMS": "RS256,ES256",
        }
    )
    assert settings.proxies == (Proxy("alb", 60_000), Proxy("nginx", 75_000))
    assert settings.timing.heartbeat_ms == 15_000
    assert settings.origins == ("https://app.example.com", "https://*.example.org:8443")
    assert settings.jwt_algorithms == ("RS256", "ES256")


def test_derived_limits_follow_the_ones_that_are_set() -> None:
    settings = load_settings({**SAFE, "ANYPOD_DATA_BYTES_MAX": "1048576", "ANYPOD_HOST": "10.0.0.1"})
    assert settings.frame_bytes_max == 1_048_576 + 8_192
    assert settings.admin_address == ("10.0.0.1", 9_000)


def test_a_key_set_speaks_for_the_issuer_that_is_named_with_it_or_for_the_one_of_all() -> None:
    one = load_settings({"ANYPOD_JWKS_URLS": "https://a.example/keys", "ANYPOD_JWT_ISSUER": "https://a.example"})
    assert one.key_set_sources == (KeySetSource("https://a.example/keys", "https://a.example"),)
    two = load_settings({"ANYPOD_JWKS_URLS": "https://a.example|https://a.example/keys, b|http://127.0.0.1:8081/keys"})
    assert two.key_set_sources == (
        KeySetSource("https://a.example/keys", "https://a.example"),
        KeySetSource("http://127.0.0.1:8081/keys", "b"),
    )
    assert not two.signing_secrets


@pytest.mark.parametrize(
    ("variable", "value", "word"),
    [
        ("ANYPOD_PORT", "http", "integer"),
        ("ANYPOD_PORT", "65536", "65535"),
        ("ANYPOD_DRAIN_S", "-1", "greater"),
        ("ANYPOD_DRAIN_S", "nan", "3600"),
        ("ANYPOD_MAX_STREAM_S", "0", "greater"),
        ("ANYPOD_STORE", "mysql", "'redis' or 'memory'"),
        ("ANYPOD_DEV", "maybe", "boolean"),
        ("ANYPOD_REDIS_URL", "localhost:6379", "redis://"),
        ("ANYPOD_KEY_PREFIX", "{a}", "pattern"),
        ("ANYPOD_REPLICA", "a b", "1 to 64"),
        ("ANYPOD_PROXIES", "alb", "name:idle_timeout_ms"),
        ("ANYPOD_PROXIES", "alb:60s", "name:idle_timeout_ms"),
        ("ANYPOD_PROXIES", "alb:60", "milliseconds"),
        ("ANYPOD_ORIGINS", "app.example.com", "https://app.example.com"),
        ("ANYPOD_ORIGINS", "https://app.example.com/path", "https://app.example.com"),
        ("ANYPOD_ORIGINS", "https://*", "https://app.example.com"),
        ("ANYPOD_JWKS_URLS", "http://login.example/keys", "https://"),
        ("ANYPOD_JWKS_URLS", "https://a/k,https://b/k", "issuer|url"),
        ("ANYPOD_JWKS_URLS", "a|https://a/k,a|https://b/k", "issuer|url"),
        ("ANYPOD_JWT_ALGORITHMS", "none", "HS256"),
        ("ANYPOD_JWT_ALGORITHMS", ",", "at least 1"),
        ("ANYPOD_SESSION_CLASSES", "voice", "JSON"),
        ("ANYPOD_SESSION_CLASSES", "[]", "JSON"),
        ("ANYPOD_SESSION_CLASSES", '{"voice": 7}', "JSON"),
        ("ANYPOD_SESSION_CLASSES", '{"a b": {}}', "name of a class"),
        ("ANYPOD_SESSION_CLASSES", '{"voice": {"ttl": 7}}', "voice.ttl"),
        ("ANYPOD_SESSION_CLASSES", '{"mail": {"ttl_ms": 7}}', "mail.live_ms"),
        ("ANYPOD_SESSION_CLASSES", '{"chat": {"dedup_ms": 1000}}', "600000"),
        ("ANYPOD_LOG_LEVEL", "verbose", "INFO"),
        ("ANYPOD_PORT", "8000\nANYPOD_DEV=true", "integer"),
        ("ANYPOD_PORT", "8" * 5_000, "…"),
    ],
)
def test_a_wrong_value_is_told_in_one_line_that_names_the_variable_and_what_it_should_be(variable: str, value: str, word: str) -> None:
    line = problem(**{variable: value})
    assert line.startswith(variable)
    assert word in line
    assert len(line) < 500


def test_a_wrong_secret_is_not_quoted() -> None:
    line = problem(ANYPOD_JWT_SECRET="short-secret")
    assert line.startswith("ANYPOD_JWT_SECRET is wrong: it should have at least 32 bytes")
    assert "short-secret" not in line
    assert "hunter2" not in problem(ANYPOD_REDIS_URL="rediss:/:hunter2@cache")


@pytest.mark.parametrize(
    ("wrong", "right"),
    [
        ("ANYPOD_DRIAN_S", "ANYPOD_DRAIN_S"),
        ("ANYPOD_JWT_SECRETFILE", "ANYPOD_JWT_SECRET_FILE"),
        ("ANYPOD_REDIS", "ANYPOD_REDIS_URL"),
        ("ANYPOD_HEARTBEAT_MS", "ANYPOD_HEARTBEAT_MS_MAX"),
    ],
)
def test_a_variable_that_is_no_setting_is_refused_with_the_nearest_name(wrong: str, right: str) -> None:
    assert problem(**{wrong: "1"}) == f"{wrong} is not a setting: did you mean {right}?"


def test_a_variable_that_resembles_nothing_is_refused_too() -> None:
    assert "anypod config" in problem(ANYPOD_QQQQQQQQ="1")


def test_only_secrets_are_read_from_files() -> None:
    assert "not a setting" in problem(ANYPOD_PORT_FILE="/etc/port")


def test_what_kubernetes_adds_for_a_service_called_anypod_is_no_mistake() -> None:
    links = {
        "ANYPOD_PORT": "tcp://10.0.0.7:80",
        "ANYPOD_SERVICE_HOST": "10.0.0.7",
        "ANYPOD_SERVICE_PORT": "80",
        "ANYPOD_SERVICE_PORT_HTTP": "80",
        "ANYPOD_PORT_80_TCP": "tcp://10.0.0.7:80",
        "ANYPOD_PORT_80_TCP_ADDR": "10.0.0.7",
        "ANYPOD_ADMIN_PORT": "tcp://10.0.0.8:9000",
        "ANYPOD_REDIS_SERVICE_HOST": "10.0.0.9",
        "ANYPOD_REDIS_PORT_6379_TCP_PROTO": "tcp",
    }
    settings = load_settings(SAFE | links)
    assert (settings.port, settings.admin_port) == (8_000, 9_000)


def test_without_any_way_to_check_credentials_nothing_starts() -> None:
    with pytest.raises(SettingError, match="ANYPOD_JWT_SECRET, ANYPOD_JWT_SECRET_FILE or ANYPOD_JWKS_URLS"):
        load_settings({})


@pytest.mark.parametrize(
    "hosts", [{}, {"ANYPOD_HOST": "0.0.0.0"}, {"ANYPOD_HOST": "::"}, {"ANYPOD_HOST": "10.1.2.3"}, {"ANYPOD_HOST": "example.com"}]
)
def test_development_refuses_every_address_but_loopback(hosts: dict[str, str]) -> None:
    with pytest.raises(SettingError, match="ANYPOD_DEV=true lets every client in"):
        load_settings({"ANYPOD_DEV": "true", **hosts})
    with pytest.raises(SettingError, match="ANYPOD_DEV=true lets every client in"):
        load_settings({"ANYPOD_DEV": "true", "ANYPOD_HOST": "127.0.0.1", "ANYPOD_ADMIN_HOST": hosts.get("ANYPOD_HOST", "0.0.0.0")})


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.8.8", "::1", "localhost"])
def test_development_has_a_secret_of_its_own_on_loopback(host: str) -> None:
    assert load_settings({"ANYPOD_DEV": "true", "ANYPOD_HOST": host}).signing_secrets[0].secret == DEV_SECRET


def test_the_secret_of_development_is_refused_outside_it() -> None:
    assert "which is public" in problem(ANYPOD_JWT_SECRET=DEV_SECRET)


def test_a_grace_period_that_ends_before_the_drain_is_refused_with_the_right_one() -> None:
    assert "at least 52" in problem(ANYPOD_DRAIN_S="40")
    assert load_settings({**SAFE, "ANYPOD_DRAIN_S": "40", "ANYPOD_GRACE_S": "52"}).grace_s == 52


def test_a_secret_may_stand_in_a_file_with_a_line_end(tmp_path: Path) -> None:
    file = tmp_path / "secret"
    file.write_text(SECRET + "\n")
    settings = load_settings({"ANYPOD_JWT_SECRET_FILE": str(file)})
    assert [item.secret for item in settings.signing_secrets] == [SECRET]
    assert settings.names_from_files == {"jwt_secret"}


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    (empty := tmp_path / "empty").write_text("\n")
    (binary := tmp_path / "binary").write_bytes(b"\xff" * 40)
    (large := tmp_path / "large").write_bytes(b"x" * 70_000)
    for path in (tmp_path / "none", tmp_path, empty, binary, large):
        with pytest.raises(SettingError) as error:
            load_settings({"ANYPOD_JWT_SECRET_FILE": str(path)})
        assert str(error.value).startswith(f"ANYPOD_JWT_SECRET_FILE={path}")


def test_a_secret_given_twice_is_refused() -> None:
    assert "unset one of them" in problem(ANYPOD_JWT_SECRET_FILE="/run/secret")


def test_classes_are_laid_over_the_standard_ones() -> None:
    text = '{"voice": {"ttl_ms": 600000}, "mail": {"ttl_ms": 5000, "live_ms": 6000, "events_max": 7}}'
    classes = load_settings({**SAFE, "ANYPOD_SESSION_CLASSES": text, "ANYPOD_EVENTS_PER_SESSION_MAX": "500"}).session_classes
    assert sorted(classes) == ["chat", "mail", "voice"]
    assert (classes["chat"].ttl_ms, classes["chat"].live_ms) == (7 * 24 * 3_600_000, 30_000)
    assert (classes["voice"].ttl_ms, classes["voice"].live_ms, classes["voice"].events_max) == (600_000, 30_000, 500)
    assert classes["mail"].events_max == 7


def test_a_class_says_what_the_store_takes() -> None:
    taken = {field.name: field.default for field in dataclasses.fields(SessionClass) if field.name not in ("name", "event_bytes")}
    said = {name: field.get_default() for name, field in ClassSettings.model_fields.items()}
    assert list(said) == list(taken)
    for name in ("retain_events", "retain_ms", "fold_after_ms", "dedup_ms"):
        assert said[name] == taken[name]
    settings = Settings(jwt_secret=SecretStr(SECRET))
    chat = SessionClass("chat", **settings.session_classes["chat"].model_dump())
    assert (chat.events_max, chat.deltas_max) == (taken["events_max"], taken["deltas_max"])


def test_the_table_shows_value_default_unit_and_source_of_every_setting(tmp_path: Path) -> None:
    (file := tmp_path / "password").write_text("hunter2")
    settings = load_settings({**SAFE, "ANYPOD_DRAIN_S": "2.5", "ANYPOD_REDIS_PASSWORD_FILE": str(file), "ANYPOD_PROXIES": "alb:60000"})
    rows = {row.name: row for row in setting_rows(settings)}
    assert rows.keys() == Settings.model_fields.keys()
    assert all(row.meaning.endswith(".") for row in rows.values())
    assert rows["drain_s"][1:6] == (("ANYPOD_DRAIN_S",), "2.5", "15", "s", "environment")
    assert rows["port"][1:6] == (("ANYPOD_PORT",), "8000", "8000", "", "default")
    assert rows["redis_password"][1:6] == (("ANYPOD_REDIS_PASSWORD", "ANYPOD_REDIS_PASSWORD_FILE"), "***", "", "", "file")
    assert rows["proxies"].value == "alb:60000"
    assert rows["replica"].default == "the host's name"
    assert [rows[name].unit for name in ("data_bytes_max", "heartbeat_ms_max", "publish_per_s", "append_queue_max")] == [
        "bytes",
        "ms",
        "1/s",
        "",
    ]


@given(password=st.from_regex(r"\Ahunter[a-zA-Z0-9]{0,20}\Z"), user=st.sampled_from(["", "default"]))
def test_no_secret_is_shown_in_the_table_or_in_the_settings_themselves(password: str, user: str) -> None:
    secret = f"{password}-as-long-as-a-secret-has-to-be"
    settings = load_settings({"ANYPOD_REDIS_URL": f"rediss://{user}:an@{password}@cache.internal:6379/0", "ANYPOD_JWT_SECRET": secret})
    rows = {row.name: row.value for row in setting_rows(settings)}
    assert rows["redis_url"] == f"rediss://{user}:***@cache.internal:6379/0"
    assert rows["jwt_secret"] == "***"
    assert not any(password in text for text in (*rows.values(), repr(settings), str(settings)))
