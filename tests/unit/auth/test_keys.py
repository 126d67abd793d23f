"""Which published keys are taken, and what for."""

from typing import Any

import pytest
from joserfc.jwk import ECKey, OctKey, OKPKey, RSAKey
from tests.unit.auth.kit import document

from anypod.auth.keys import _CURVE_ALGORITHMS, _RSA_ALGORITHMS, ALGORITHMS, KEYS_MAX, parse_key_set

EC = ECKey.generate_key("P-256", {"kid": "old"}).as_dict(private=False)
NEW = ECKey.generate_key("P-256", {"kid": "new"}).as_dict(private=False)
RSA = RSAKey.generate_key(2_048, {"kid": "rsa"}).as_dict(private=False)


def algorithms_of(*keys: dict[str, Any]) -> list[str]:
    return [key.algorithm for found in parse_key_set(document(*keys), None).values() for key in found]


@pytest.mark.parametrize(
    ("key", "algorithm"),
    [
        (RSA, "RS256"),
        (RSA | {"alg": "PS512"}, "PS512"),
        (RSA | {"use": "sig"}, "RS256"),
        (RSA | {"key_ops": ["verify"]}, "RS256"),
        (EC, "ES256"),
        (EC | {"alg": "ES256"}, "ES256"),
        (ECKey.generate_key("P-384").as_dict(private=False), "ES384"),
        (OKPKey.generate_key("Ed25519").as_dict(private=False) | {"alg": "EdDSA"}, "EdDSA"),
        (OKPKey.generate_key("Ed25519").as_dict(private=False) | {"alg": "Ed25519"}, "EdDSA"),
    ],
)
def test_a_key_is_pinned_to_one_algorithm(key: dict[str, Any], algorithm: str) -> None:
    assert algorithms_of(key) == [algorithm]


@pytest.mark.parametrize(
    "key",
    [
        OctKey.generate_key(256).as_dict(private=True) | {"alg": "HS256"},  # a published secret is none
        RSA | {"alg": "HS256"},
        RSA | {"alg": "ES256"},
        RSA | {"alg": "none"},
        RSA | {"use": "enc"},
        RSA | {"key_ops": ["encrypt"]},
        RSA | {"n": RSA["n"][:170]},  # 1,020 bits
        RSA | {"n": RSA["n"] * 5},
        RSA | {"n": "?" * 342},
        EC | {"alg": "RS256"},
        EC | {"crv": "P-192"},
        EC | {"x": EC["y"]},  # not on the curve
        {"kty": "EC", "crv": "P-256"},
        OKPKey.generate_key("X25519").as_dict(private=False),
        {"kty": "unheard-of"},
        {"kid": 7, "kty": "RSA"},
        {},
    ],
)
def test_a_key_that_cannot_be_used_is_left_out_and_the_others_stay(key: dict[str, Any]) -> None:
    assert algorithms_of(key, NEW) == ["ES256"]


def test_every_algorithm_that_may_be_set_is_some_keys() -> None:
    pinned = {"HS256", *_CURVE_ALGORITHMS.values(), *_RSA_ALGORITHMS}
    assert pinned == ALGORITHMS


@pytest.mark.parametrize("text", [b"", b"[]", b"{}", b'{"keys":{}}', b"<html>", b"\xff", b'{"keys":' + b"[" * 100_000])
def test_what_is_no_key_set_is_refused(text: bytes) -> None:
    with pytest.raises(ValueError, match="not a JWKS"):
        parse_key_set(text, None)


def test_the_number_of_keys_is_bounded() -> None:
    assert len(algorithms_of(*[EC | {"kid": str(number)} for number in range(KEYS_MAX + 50)])) == KEYS_MAX
