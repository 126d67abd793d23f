"""Which headers of a credential are usual, and which ask for more than is done."""

from typing import Any

import pytest
from tests.unit.auth.kit import ALICE, CLAIMS, refusal_of, sign_by_hand, sign_hs, verifier


@pytest.mark.parametrize(
    "header", [{"crit": ["b64"], "b64": False}, {"crit": []}, {"crit": ["kid"], "kid": "any"}, {"typ": "logout+jwt"}, {"typ": "JWE"}]
)
async def test_a_header_that_asks_for_more_than_a_jwt_is_refused(header: dict[str, Any]) -> None:
    assert await verifier().verify(sign_by_hand({"alg": "HS256"}, CLAIMS)) == ALICE
    message = await refusal_of(sign_by_hand({"alg": "HS256", **header}, CLAIMS))
    assert ("extension" if "crit" in header else "type") in message


@pytest.mark.parametrize(
    "header",
    [
        {"kid": None},
        {"kid": 7},
        {"typ": None},
        {"jku": "file:///keys"},
        {"jku": 7},
        {"x5u": ""},
        {"x5c": "abc"},
        {"jwk": "abc"},
        {"alg": None},
    ],
)
async def test_a_header_with_a_member_of_a_wrong_type_is_refused(header: dict[str, Any]) -> None:
    assert "not a JWT" in await refusal_of(sign_by_hand({"alg": "HS256", **header}, CLAIMS))


@pytest.mark.parametrize("header", [{"typ": "at+jwt"}, {"typ": "jwt"}, {"typ": "application/at+jwt"}, {"x5t": "abc"}, {"kid": "any"}])
async def test_these_headers_are_usual(header: dict[str, Any]) -> None:
    assert await verifier().verify(sign_hs(CLAIMS, **header)) == ALICE
