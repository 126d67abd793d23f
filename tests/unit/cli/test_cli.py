"""The command line in a process of its own, as everybody meets it."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from joserfc import jwt
from joserfc.jwk import OctKey

from anypod import __version__
from anypod.settings import DEV_SECRET

RUN_S_MAX = 30.0


def anypod(*arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("ANYPOD_")} | variables
    return subprocess.run(
        [sys.executable, "-m", "anypod", *arguments], capture_output=True, text=True, env=environment, timeout=RUN_S_MAX, check=False
    )


def claims_of(credential: str, secret: str = DEV_SECRET) -> dict[str, object]:
    return jwt.decode(credential.strip(), OctKey.import_key(secret), algorithms=["HS256"]).claims


def test_without_a_command_it_lists_them() -> None:
    listed = anypod().stdout
    assert all(f" {command} " in listed for command in ("dev", "demo", "serve", "token", "config", "version"))


def test_version_is_that_of_the_package() -> None:
    assert anypod("version").stdout == f"{__version__}\n"


def test_a_credential_holds_what_was_asked_for_and_nothing_else() -> None:
    options = ("--can", "read,publish", "--can", "turn", "--kinds", "x.*", "--sessions", "a*,b", "--ttl", "60")
    claims = claims_of(anypod("token", "--tenant", "acme", "--subject", "ada", *options).stdout)
    assert claims["sub"] == "ada"
    assert claims["anypod"] == {"tenant": "acme", "can": ["publish", "read", "turn"], "kinds": ["x.*"], "sessions": ["a*", "b"]}


def test_a_credential_without_options_is_a_clients() -> None:
    claims = claims_of(anypod("token", "--tenant", "acme", "--subject", "ada").stdout)
    assert claims["anypod"] == {"tenant": "acme", "can": ["cancel", "publish", "read", "signal", "state"]}


def test_a_credential_may_be_signed_as_the_replicas_here_want_it(tmp_path: Path) -> None:
    (secret := tmp_path / "secret").write_text("s" * 40)
    options = ("token", "--configured", "--tenant", "acme", "--subject", "ada")
    ended = anypod(*options, ANYPOD_JWT_SECRET_FILE=str(secret), ANYPOD_JWT_ISSUER="me", ANYPOD_JWT_AUDIENCE="mine")
    claims = claims_of(ended.stdout, "s" * 40)
    assert (claims["iss"], claims["aud"], claims["sub"]) == ("me", "mine", "ada")


def test_a_credential_is_not_signed_with_a_secret_that_is_not_there() -> None:
    ended = anypod("token", "--configured", "--tenant", "acme", "--subject", "ada", ANYPOD_JWKS_URLS="https://login.example.com/keys")
    assert (ended.returncode, ended.stdout) == (2, "")
    assert "ANYPOD_JWT_SECRET_FILE" in ended.stderr


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--can", "fly"), "'fly' is not a right: there are admin, cancel, publish, read, signal, state, turn"),
        (("--tenant", "a/b"), "'a/b' is not a tenant"),
        (("--subject", ""), "a subject has 1 to 256 characters"),
    ],
)
def test_a_credential_that_no_replica_would_accept_is_refused_in_one_line(options: tuple[str, ...], said: str) -> None:
    ended = anypod("token", "--tenant", "acme", "--subject", "ada", *options)
    assert ended.returncode == 2
    assert ended.stdout == ""
    assert ended.stderr.startswith(f"anypod: {said}")
    assert ended.stderr.count("\n") == 1


def rows(output: str) -> dict[str, list[str]]:
    """Variable to value, default, unit, source and meaning."""
    return {variable: fields for variable, *fields in (line.split("\t") for line in output.splitlines())}


def test_config_tells_each_value_and_where_it_comes_from(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("s" * 40)
    ended = anypod("config", ANYPOD_JWT_SECRET_FILE=str(secret), ANYPOD_DRAIN_S="7")
    assert ended.returncode == 0
    listed = rows(ended.stdout)
    assert listed["ANYPOD_DRAIN_S"][:4] == ["7", "15", "s", "environment"]
    assert listed["ANYPOD_JWT_SECRET"][:4] == ["***", "", "", "file"]
    assert listed["ANYPOD_PORT"][:4] == ["8000", "8000", "", "default"]
    assert "ssss" not in ended.stdout


def test_config_lists_the_settings_even_when_one_of_them_is_wrong() -> None:
    ended = anypod("config", ANYPOD_DRAIN_S="soon", ANYPOD_JWT_SECRET="s" * 40)
    assert ended.returncode == 2
    assert "ANYPOD_DRAIN_S=soon is wrong" in ended.stderr
    assert rows(ended.stdout)["ANYPOD_DRAIN_S"][0] == "15"


@pytest.mark.parametrize("command", ["serve", "dev", "demo"])
def test_a_wrong_setting_stops_a_command_with_one_line(command: str, tmp_path: Path) -> None:
    arguments = ("dev", "--data-dir", str(tmp_path / "data")) if command == "dev" else (command,)
    ended = anypod(*arguments, ANYPOD_DRAINS_S="7")
    assert ended.returncode == 2
    assert ended.stderr == "anypod: ANYPOD_DRAINS_S is not a setting: did you mean ANYPOD_DRAIN_S?\n"
    assert not (tmp_path / "data").exists()
