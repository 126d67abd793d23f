"""Published keys: when they are fetched, and how long they are good."""

import asyncio
from typing import Any

import pytest
from joserfc.jwk import ECKey, RSAKey
from tests.unit.auth.kit import URL, document

from anypod.auth.key_set import FRESH_S, REFRESH_S_MIN, STALE_S_MAX, RemoteKeySet
from anypod.core.errors import AnypodError

EC = ECKey.generate_key("P-256", {"kid": "old"}).as_dict(private=False)
NEW = ECKey.generate_key("P-256", {"kid": "new"}).as_dict(private=False)
RSA = RSAKey.generate_key(2_048, {"kid": "rsa"}).as_dict(private=False)


class Issuer:
    """Publishes keys, and a clock that stands still unless it is moved."""

    def __init__(self, *keys: dict[str, Any]) -> None:
        self.keys = keys
        self.fetches = 0
        self.is_away = False
        self.asked = asyncio.Event()
        self.answers = asyncio.Event()
        self.answers.set()
        self.now_s = 1_000.0

    def now(self) -> float:
        return self.now_s

    def wall_ms(self) -> int:
        raise AssertionError("the age of keys is not measured by a clock that may be stepped")

    async def sleep(self, seconds: float) -> None:
        raise AssertionError("nobody waits")

    async def fetch(self, url: str) -> bytes:
        assert url == URL
        self.fetches += 1
        self.asked.set()
        await self.answers.wait()
        if self.is_away:
            raise AnypodError("unavailable", "it cannot be reached")
        return document(*self.keys)

    def key_set(self) -> RemoteKeySet:
        return RemoteKeySet(URL, "https://login.example", fetch=self.fetch, clock=self)


async def is_known(keys: RemoteKeySet, kid: str | None) -> bool:
    return await keys.find("ES256", kid) is not None


async def test_keys_are_fetched_once_and_kept() -> None:
    issuer = Issuer(EC)
    keys = issuer.key_set()
    assert await is_known(keys, "old")
    issuer.now_s += FRESH_S
    assert await is_known(keys, "old")
    assert issuer.fetches == 1


async def test_everybody_who_needs_the_same_fetch_waits_for_one() -> None:
    issuer = Issuer(EC)
    issuer.answers.clear()
    keys = issuer.key_set()
    async with asyncio.TaskGroup() as tasks:
        everybody = [tasks.create_task(is_known(keys, "old")) for _ in range(50)]
        await issuer.asked.wait()
        issuer.answers.set()
    assert all(task.result() for task in everybody)
    assert issuer.fetches == 1


async def test_an_unknown_kid_fetches_again_but_not_for_every_credential_that_shows_one() -> None:
    issuer = Issuer(EC)
    keys = issuer.key_set()
    assert await is_known(keys, "old")
    issuer.keys = (EC, NEW)
    assert not await is_known(keys, "new")
    assert issuer.fetches == 1
    issuer.now_s += REFRESH_S_MIN
    assert await is_known(keys, "new")
    assert not await is_known(keys, "forged")
    assert issuer.fetches == 2


async def test_a_key_that_its_issuer_took_back_is_gone_after_the_next_fetch() -> None:
    issuer = Issuer(EC)
    keys = issuer.key_set()
    assert await is_known(keys, "old")
    issuer.keys = (NEW,)
    issuer.now_s += FRESH_S + 1
    assert not await is_known(keys, "old")


async def test_while_the_issuer_is_away_old_keys_are_good_for_a_bounded_time() -> None:
    issuer = Issuer(EC)
    keys = issuer.key_set()
    assert await is_known(keys, "old")
    issuer.is_away = True
    issuer.now_s += STALE_S_MAX
    assert await is_known(keys, "old")
    issuer.now_s += REFRESH_S_MIN
    with pytest.raises(AnypodError) as refusal:
        await keys.find("ES256", "old")
    assert refusal.value.code == "unavailable"


async def test_an_unknown_kid_is_unavailable_rather_than_refused_while_nobody_can_tell() -> None:
    issuer = Issuer(EC)
    issuer.is_away = True
    keys = issuer.key_set()
    for _ in range(3):
        with pytest.raises(AnypodError) as refusal:
            await keys.find("ES256", "old")
        assert refusal.value.code == "unavailable"
        assert refusal.value.retry_after_ms == REFRESH_S_MIN * 1_000
    assert issuer.fetches == 1
    issuer.is_away = False
    issuer.now_s += REFRESH_S_MIN
    assert await is_known(keys, "old")


async def test_who_has_an_old_key_does_not_wait_while_another_fetches() -> None:
    issuer = Issuer(EC)
    keys = issuer.key_set()
    assert await is_known(keys, "old")
    issuer.now_s += FRESH_S + 1
    issuer.asked.clear()
    issuer.answers.clear()
    async with asyncio.TaskGroup() as tasks:
        first = tasks.create_task(is_known(keys, "old"))
        await issuer.asked.wait()
        assert await is_known(keys, "old")
        assert not first.done()
        issuer.answers.set()


async def test_a_fetch_that_is_cancelled_with_its_caller_is_made_by_the_next() -> None:
    issuer = Issuer(EC)
    issuer.answers.clear()
    keys = issuer.key_set()
    async with asyncio.TaskGroup() as tasks:
        first = tasks.create_task(is_known(keys, "old"))
        await issuer.asked.wait()
        second = tasks.create_task(is_known(keys, "old"))
        first.cancel()
        issuer.answers.set()
    assert second.result()


async def test_two_keys_of_one_algorithm_are_told_apart_by_kid_or_not_at_all() -> None:
    keys = Issuer(EC, NEW, RSA).key_set()
    assert not await is_known(keys, None)
    assert await is_known(keys, "new")
    assert await keys.find("RS256", None) is not None
