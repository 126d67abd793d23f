"""What a verifier remembers of credentials that it has checked."""

from tests.unit.auth.kit import ALICE, ISSUER, NOW_S, SECRET, StandingClock, refusal_of, verifier

from anypod.auth import Principal, mint
from anypod.auth.verifier import CACHED_MAX, CACHED_S_MAX
from anypod.core.identity import Subject


async def test_a_checked_credential_is_remembered_until_it_expires() -> None:
    clock = StandingClock()
    checks = verifier(clock)
    credential = mint(Principal(ALICE.tenant, ALICE.subject, NOW_S + 60), SECRET, issuer=ISSUER)
    assert checks.cached(credential) is None
    principal = await checks.verify(credential)
    assert checks.cached(credential) is principal
    clock.now_s += 59.9
    assert checks.cached(credential) is principal
    clock.now_s += 0.1
    assert checks.cached(credential) is None
    assert "expired" in await refusal_of(credential, checks)


async def test_a_remembered_credential_is_checked_anew_in_time_for_its_key_to_be_taken_back() -> None:
    clock = StandingClock()
    checks = verifier(clock)
    credential = mint(ALICE, SECRET, issuer=ISSUER)
    await checks.verify(credential)
    clock.now_s += CACHED_S_MAX
    assert checks.cached(credential) is None
    assert await checks.verify(credential) == ALICE


async def test_the_memory_is_bounded_and_holds_no_credential() -> None:
    checks = verifier()
    first, second = (
        mint(ALICE, SECRET, issuer=ISSUER),
        mint(Principal(ALICE.tenant, Subject("bob"), ALICE.expires_at), SECRET, issuer=ISSUER),
    )
    await checks.verify(first)
    for number in range(CACHED_MAX):
        checks._remember(number.to_bytes(16), ALICE, ALICE.expires_at)
    assert checks.cached(first) is None
    await checks.verify(second)
    assert len(checks._cache) == CACHED_MAX
    assert all(len(digest) == 16 for digest in checks._cache)


async def test_a_refused_credential_is_not_remembered() -> None:
    checks = verifier()
    await refusal_of(mint(ALICE, SECRET + "!", issuer=ISSUER), checks)
    assert not checks._cache
