"""Which claims a credential must make, and in which forms they count."""

from typing import Any

import pytest
from tests.unit.auth.kit import CLAIMS, NOW_S, refusal_of, sign_hs, verifier


@pytest.mark.parametrize("claim", ["sub", "aud", "exp"])
async def test_each_of_these_claims_is_needed(claim: str) -> None:
    await refusal_of(sign_hs({name: value for name, value in CLAIMS.items() if name != claim}))


@pytest.mark.parametrize(
    ("claims", "word"),
    [
        ({"exp": NOW_S}, "expired"),
        ({"exp": 0}, "expired"),
        ({"exp": "tomorrow"}, "claim"),
        ({"exp": True}, "claim"),
        ({"exp": None}, "claim"),
        ({"nbf": NOW_S + 60}, "not valid yet"),
        ({"aud": "another"}, "audience"),
        ({"aud": ["another", "more"]}, "audience"),
        ({"aud": []}, "audience"),
        ({"iss": "https://evil.example"}, "issuer"),
        ({"iss": None}, "issuer"),
        ({"sub": ""}, "sub"),
        ({"sub": "a" * 257}, "sub"),
        ({"sub": "a\nb"}, "sub"),
        ({"sub": 7}, "claim"),
        ({"anypod": {}}, "tenant"),
        ({"anypod": None}, "tenant"),
        ({"anypod": {"tenant": "a/b"}}, "tenant"),
        ({"anypod": {"tenant": ""}, "tenant": "acme"}, "tenant"),
        ({"anypod": {"tenant": "acme"}, "tenant": "other"}, "two tenants"),
        ({"anypod": {"tenant": "acme", "sessions": ["a*b"]}}, "sessions"),
        ({"anypod": {"tenant": "acme", "sessions": ["*a"]}}, "sessions"),
        ({"anypod": {"tenant": "acme", "sessions": [""]}}, "sessions"),
        ({"anypod": {"tenant": "acme", "sessions": "*"}}, "claim"),
        ({"anypod": {"tenant": "acme", "sessions": ["a"] * 101}}, "sessions"),
        ({"anypod": {"tenant": "acme", "kinds": ["a b"]}}, "kinds"),
        ({"anypod": {"tenant": "acme", "can": "read"}}, "claim"),
    ],
)
async def test_a_claim_that_is_wrong_is_named(claims: dict[str, Any], word: str) -> None:
    assert word in await refusal_of(sign_hs(CLAIMS | claims))


@pytest.mark.parametrize(
    "claims",
    [
        {"nbf": NOW_S + 4},  # the issuer's clock is ahead of ours
        {"aud": ["another", "anypod"]},
        {"exp": int(NOW_S) + 600},
        {"anypod": {}, "tenant": "acme"},
        {"anypod": {"tenant": "acme"}, "tenant": "acme"},
        {"iat": NOW_S, "jti": "1", "scope": "x"},  # claims of others are none of our business
    ],
)
async def test_these_claims_are_as_good(claims: dict[str, Any]) -> None:
    principal = await verifier().verify(sign_hs(CLAIMS | claims))
    assert (principal.tenant, principal.subject) == ("acme", "alice")


async def test_a_right_that_this_version_does_not_know_gives_nothing() -> None:
    principal = await verifier().verify(sign_hs(CLAIMS | {"anypod": {"tenant": "acme", "can": ["read", "levitate"]}}))
    assert principal.can == {"read"}
