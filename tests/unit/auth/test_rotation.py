"""The signing secret is rotated: files are read again, and what was signed before is accepted for as long as it should be."""

import logging
from pathlib import Path

import pytest
from tests.unit.auth.kit import ALICE, StandingClock, refusal_of

from anypod.auth import Fetcher, Verifier, mint, verifier_of
from anypod.auth.hs256 import RELOAD_S
from anypod.core.errors import AnypodError
from anypod.settings import DEV_SECRET, SettingError, load_settings

OLD = "the old secret, of at least thirty-two bytes"
NEW = "the new secret, of at least thirty-two bytes"


class Files:
    """Two files, swapped as Kubernetes swaps those of a Secret: by a symlink to another folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._number = 0
        self.link = folder / "..data"

    def write(self, current: str | None, previous: str | None = None) -> None:
        self._number += 1
        version = self._folder / f"..{self._number}"
        version.mkdir()
        for name, text in (("secret", current), ("previous", previous)):
            if text is not None:
                (version / name).write_text(text)
        swapped = self._folder / "..swapped"
        swapped.symlink_to(version)
        swapped.replace(self.link)

    def verifier(self, clock: StandingClock) -> Verifier:
        variables = {"ANYPOD_JWT_SECRET_FILE": str(self.link / "secret"), "ANYPOD_JWT_PREVIOUS_SECRET_FILE": str(self.link / "previous")}
        return verifier_of(load_settings(variables), clock, Fetcher())


@pytest.fixture
def files(tmp_path: Path) -> Files:
    return Files(tmp_path)


async def test_through_a_rotation_each_secret_is_accepted_as_long_as_it_stands_in_a_file(files: Files) -> None:
    clock = StandingClock()
    old, new = mint(ALICE, OLD), mint(ALICE, NEW)
    files.write(OLD + "\n")
    checks = files.verifier(clock)
    assert await checks.verify(old) == ALICE
    await refusal_of(new, checks)
    files.write(OLD, NEW)  # 1. the next one is accepted everywhere before anything is signed with it
    clock.now_s += RELOAD_S
    assert [await checks.verify(shown) for shown in (old, new)] == [ALICE] * 2
    files.write(NEW, OLD)  # 2. it signs
    clock.now_s += RELOAD_S
    assert [await checks.verify(shown) for shown in (old, new)] == [ALICE] * 2
    files.write(NEW)  # 3. the one before is no longer accepted, however lately it was
    clock.now_s += RELOAD_S
    assert checks.cached(old) is None
    await refusal_of(old, checks)
    assert await checks.verify(new) == ALICE


async def test_one_file_may_hold_several_secrets_of_which_the_first_one_signs(files: Files) -> None:
    files.write(f"{NEW}\n{OLD}\n")
    checks = files.verifier(StandingClock())
    assert [await checks.verify(mint(ALICE, secret)) for secret in (OLD, NEW)] == [ALICE] * 2
    settings = load_settings({"ANYPOD_JWT_SECRET_FILE": str(files.link / "secret")})
    assert settings.signing_secrets[0].secret == NEW


async def test_a_credential_that_names_a_secret_is_checked_with_that_one_alone(files: Files) -> None:
    files.write(f"kid=2026-12 {NEW}", f"kid=2026-11 {OLD}")
    checks = files.verifier(StandingClock())
    assert await checks.verify(mint(ALICE, OLD, kid="2026-11")) == ALICE
    assert await checks.verify(mint(ALICE, NEW, kid="2026-12")) == ALICE
    await refusal_of(mint(ALICE, OLD, kid="2026-12"), checks)
    assert await checks.verify(mint(ALICE, OLD)) == ALICE
    assert await checks.verify(mint(ALICE, OLD, kid="a name of the issuer's own")) == ALICE


async def test_a_removed_secret_lets_nobody_in_that_it_has_let_in_before_for_longer_than_a_second(files: Files) -> None:
    clock = StandingClock()
    files.write(NEW, OLD)
    checks = files.verifier(clock)
    old = mint(ALICE, OLD)
    await checks.verify(old)
    files.write(NEW)
    clock.now_s += RELOAD_S - 0.01
    assert checks.cached(old) == ALICE
    clock.now_s += 0.01
    assert checks.cached(old) is None


@pytest.mark.parametrize(
    "wrong", [None, "", "short", DEV_SECRET, "\n".join(f"a secret of at least thirty-two bytes {n}" for n in range(9))]
)
async def test_while_the_file_is_missing_or_wrong_the_last_secret_stays(
    wrong: str | None, files: Files, caplog: pytest.LogCaptureFixture
) -> None:
    clock = StandingClock()
    files.write(OLD)
    checks = files.verifier(clock)
    with caplog.at_level(logging.WARNING):
        files.write(wrong)
        for _ in range(3):
            clock.now_s += RELOAD_S
            assert await checks.verify(mint(ALICE, OLD)) == ALICE
    assert len(caplog.records) == 1
    assert "stays in use" in caplog.text
    assert OLD not in caplog.text


def test_a_previous_secret_alone_signs_nothing(tmp_path: Path) -> None:
    (path := tmp_path / "previous").write_text(OLD)
    with pytest.raises(SettingError, match="signs nothing"):
        load_settings({"ANYPOD_JWT_PREVIOUS_SECRET_FILE": str(path), "ANYPOD_DEV": "true", "ANYPOD_HOST": "127.0.0.1"})


async def test_without_any_secret_hs256_is_no_way_in() -> None:
    settings = load_settings({"ANYPOD_JWKS_URLS": "https://login.example/jwks.json"})
    with pytest.raises(AnypodError):
        await verifier_of(settings, StandingClock(), Fetcher()).verify(mint(ALICE, OLD))
