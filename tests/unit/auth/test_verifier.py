"""What a credential must be (RFC 8725), and what a refusal tells."""

import json
from base64 import urlsafe_b64encode
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from joserfc.jwk import ECKey, OKPKey, RSAKey
from pydantic import SecretStr
from tests.fast_transport.frames import UNHURRIED
from tests.unit.auth.kit import (
    ALICE,
    CLAIMS,
    EC,
    ED,
    ISSUER,
    NOW_S,
    RSA,
    SECRET,
    URL,
    StandingClock,
    key_set,
    refusal_of,
    sign,
    sign_by_hand,
    sign_hs,
    unsigned,
    verifier,
)

from anypod.auth import RIGHTS, Fetcher, Principal, Verifier, mint, verifier_of
from anypod.auth.base64url import CREDENTIAL_BYTES_MAX
from anypod.auth.hs256 import SecretRing
from anypod.auth.key_set import RemoteKeySet
from anypod.core.errors import AnypodError
from anypod.core.identity import Subject, TenantId
from anypod.settings import DEV_SECRET, Settings, SigningSecret

_names = st.from_regex(r"\A[A-Za-z0-9_.:-]{1,64}\Z")
_patterns = st.none() | st.lists(st.builds("".join, st.tuples(_names, st.sampled_from(["", "*"]))) | st.just("*"), max_size=3).map(tuple)


@UNHURRIED
@given(
    tenant=st.from_regex(r"\A[A-Za-z0-9_.-]{1,64}\Z"),
    subject=st.text(st.characters(exclude_categories=["C", "Z"]), min_size=1, max_size=256),
    can=st.frozensets(st.sampled_from(sorted(RIGHTS))),
    sessions=_patterns,
    kinds=_patterns,
    expires_at=st.integers(int(NOW_S) + 1, int(NOW_S) + 10**8),
)
async def test_a_minted_credential_is_read_back_as_the_same_principal(tenant: str, subject: str, **rest: Any) -> None:
    principal = Principal(TenantId(tenant), Subject(subject), **rest)
    assert await verifier().verify(mint(principal, SECRET, issuer=ISSUER)) == principal


@pytest.mark.parametrize(("algorithm", "key"), [("RS256", RSA), ("ES256", EC), ("Ed25519", ED)])
async def test_a_credential_may_be_signed_with_a_published_key(algorithm: str, key: RSAKey | ECKey | OKPKey) -> None:
    assert await verifier().verify(sign(CLAIMS, key, alg=algorithm, kid=key.kid)) == ALICE
    assert await verifier().verify(sign(CLAIMS, key, alg=algorithm)) == ALICE, "without a kid: one key alone has this algorithm"


async def test_providers_may_still_call_ed25519_by_its_older_name() -> None:
    with pytest.warns(match="EdDSA is deprecated"):  # where we sign, not where we check
        credential = sign(CLAIMS, ED, alg="EdDSA", kid="ed")
    assert await verifier().verify(credential) == ALICE


@pytest.mark.parametrize("algorithm", ["none", "None", "nOnE", ""])
async def test_a_credential_without_a_signature_is_refused(algorithm: str) -> None:
    await refusal_of(unsigned({"alg": algorithm}, CLAIMS))


@pytest.mark.parametrize("name", ["rsa", "ec", None])
async def test_a_public_key_is_no_secret_however_it_is_written(name: str | None) -> None:
    for public in (RSA.as_pem(private=False), RSA.as_der(private=False), json.dumps(RSA.as_dict(private=False)).encode()):
        credential = sign_by_hand({"alg": "HS256", "kid": name} if name else {"alg": "HS256"}, CLAIMS, public)
        await refusal_of(credential)
        await refusal_of(credential, verifier(secret=None))


async def test_a_key_is_good_for_its_own_algorithm_alone() -> None:
    assert "not known" in await refusal_of(sign(CLAIMS, RSA, alg="PS256", kid="rsa"))
    assert "not known" in await refusal_of(sign(CLAIMS, RSA, alg="RS256", kid="ec"))


async def test_an_algorithm_that_the_settings_leave_out_is_refused() -> None:
    ring = SecretRing(lambda: [SigningSecret(SECRET)], None, StandingClock())
    checks = Verifier(StandingClock(), audience="anypod", algorithms=["RS256"], secrets=ring, key_sets=[])
    assert "algorithm" in await refusal_of(mint(ALICE, SECRET), checks)


async def test_a_foreign_key_under_a_known_kid_is_refused() -> None:
    foreign = RSAKey.generate_key(2_048, {"kid": "rsa"})
    assert "signature" in await refusal_of(sign(CLAIMS, foreign, alg="RS256", kid="rsa"))


async def test_a_key_that_the_credential_brings_along_is_not_looked_at() -> None:
    foreign = RSAKey.generate_key(2_048)
    header = {"alg": "RS256", "jwk": foreign.as_dict(private=False), "jku": "https://evil.example/jwks.json"}
    await refusal_of(sign(CLAIMS, foreign, **header, kid="evil"))
    await refusal_of(sign(CLAIMS, foreign, **header))


async def test_a_secret_of_another_length_or_content_signs_nothing() -> None:
    assert "signature" in await refusal_of(mint(ALICE, SECRET + "!", issuer=ISSUER))
    assert "not known" in await refusal_of(mint(ALICE, SECRET, issuer=ISSUER), verifier(secret=None))


async def test_a_changed_claim_breaks_the_signature() -> None:
    head, _, signature = sign_hs(CLAIMS).split(".")
    other = unsigned({}, CLAIMS | {"sub": "mallory"}).split(".")[1]
    assert "signature" in await refusal_of(f"{head}.{other}.{signature}")


async def test_what_many_credentials_say_alike_is_kept_once() -> None:
    grant = {"tenant": "acme", "can": ["read", "turn"], "sessions": ["a-*", "b"], "kinds": ["x.*"]}
    checks = verifier()
    first, second = [await checks.verify(sign_hs(CLAIMS | {"sub": name, "anypod": grant})) for name in ("alice", "bob")]
    assert first.subject != second.subject
    for fact in ("tenant", "can", "sessions", "kinds", "_kinds"):
        assert getattr(first, fact) is getattr(second, fact), fact


async def test_a_published_key_speaks_for_its_own_issuer_alone() -> None:
    other = "https://other.example"
    keys = {URL: key_set(RSA), other: key_set(RSAKey.generate_key(2_048, {"kid": "rsa"}))}

    async def fetch(url: str) -> bytes:
        return keys[url]

    clock = StandingClock()
    sets = [RemoteKeySet(url, issuer, fetch=fetch, clock=clock) for url, issuer in ((URL, ISSUER), (other, other))]
    checks = Verifier(clock, audience="anypod", algorithms=["RS256"], secrets=None, key_sets=sets)
    assert await checks.verify(sign(CLAIMS, RSA, alg="RS256", kid="rsa")) == ALICE
    assert "signature" in await refusal_of(sign(CLAIMS | {"iss": other}, RSA, alg="RS256", kid="rsa"), checks)
    assert "not known" in await refusal_of(sign(CLAIMS | {"iss": "https://third.example"}, RSA, alg="RS256", kid="rsa"), checks)


@pytest.mark.parametrize(
    "text", ["", ".", "..", "...", "a.b", "a.b.c.d", "ä.ö.ü", "e30.e30.", "W10.W10.AAAA", "bnVsbA.e30.AAAA", "\ud800.a.b"]
)
async def test_what_is_no_jwt_is_refused(text: str) -> None:
    await refusal_of(text)


async def test_a_credential_larger_than_a_proxy_would_pass_is_refused_unread() -> None:
    credential = sign_hs(CLAIMS | {"padding": "x" * CREDENTIAL_BYTES_MAX})
    assert "8192 bytes" in await refusal_of(credential)
    nested = urlsafe_b64encode(b"[" * 5_000).decode()
    await refusal_of(f"{nested}.e30.AAAA")


@UNHURRIED
@given(st.text() | st.builds(".".join, st.lists(st.binary().map(lambda raw: urlsafe_b64encode(raw).decode()), min_size=3, max_size=3)))
async def test_no_text_does_anything_but_be_refused(text: str) -> None:
    with pytest.raises(AnypodError) as refusal:
        await verifier().verify(text)
    assert refusal.value.code == "not_authenticated"


@UNHURRIED
@given(st.data())
async def test_no_single_changed_character_is_accepted(data: st.DataObject) -> None:
    credential = sign_hs(CLAIMS)
    index = data.draw(st.integers(0, len(credential) - 1))
    other = data.draw(st.characters(max_codepoint=127).filter(lambda letter: letter != credential[index]))
    await refusal_of(credential[:index] + other + credential[index + 1 :])


async def test_development_takes_what_is_signed_with_the_secret_that_everybody_knows() -> None:
    checks = verifier_of(Settings(dev=True, host="127.0.0.1"), StandingClock(), Fetcher())
    assert await checks.verify(mint(ALICE, DEV_SECRET)) == ALICE
    strict = verifier_of(Settings(jwt_secret=SecretStr(SECRET)), StandingClock(), Fetcher())
    assert "signature" in await refusal_of(mint(ALICE, DEV_SECRET), strict)
