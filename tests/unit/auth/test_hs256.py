"""The check of HS256 with the standard library, against joserfc as the oracle: they differ where we are named to be stricter."""

import codecs
import hmac
import json
from base64 import urlsafe_b64encode
from collections.abc import Callable
from typing import Final

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from joserfc import jws
from joserfc.errors import JoseError
from joserfc.jwk import OctKey
from joserfc.util import urlsafe_b64decode
from tests.fast_transport.frames import UNHURRIED

from anypod.auth import Principal, Verifier
from anypod.auth.base64url import CREDENTIAL_BYTES_MAX
from anypod.auth.claims import principal_of
from anypod.auth.hs256 import SecretRing
from anypod.auth.jose_header import HEADERS_MAX, parse_header
from anypod.core.errors import AnypodError
from anypod.settings import SigningSecret

NOW_S: Final = 1_800_000_000.0
SECRET: Final = b"a secret of at least thirty-two bytes"
KEY: Final = OctKey.import_key(SECRET)
HEADER: Final = b'{"alg":"HS256","typ":"JWT","kid":"a key of ours","other":"of somebody else"}'
CLAIMS: Final = b'{"sub":"alice","aud":"anypod","exp":1800000600,"anypod":{"tenant":"acme","sessions":["a-*"]},"jti":"a name of its own"}'


class StandingClock:
    def now(self) -> float:
        return NOW_S

    def wall_ms(self) -> int:
        return int(NOW_S * 1_000)

    async def sleep(self, seconds: float) -> None:
        raise AssertionError("nothing waits here")


class Registry(jws.JWSRegistry):
    max_header_length = CREDENTIAL_BYTES_MAX


REGISTRY: Final = Registry(algorithms=["HS256"], strict_check_header=False)


def ours(credential: str) -> Principal | None:
    secret = SecretRing(lambda: [SigningSecret(SECRET.decode())], None, StandingClock())
    try:
        return Verifier(StandingClock(), audience="anypod", algorithms=["HS256"], secrets=secret, key_sets=[]).known(credential)
    except AnypodError:
        return None


def librarys(credential: str) -> Principal | None:
    try:
        payload = jws.deserialize_compact(credential, KEY, registry=REGISTRY).payload
        return principal_of(payload or b"", issuer=None, audience="anypod", now_s=NOW_S)
    except (JoseError, AnypodError, ValueError, TypeError, AttributeError, RecursionError):
        return None


def segment(raw: bytes) -> bytes:
    return urlsafe_b64encode(raw).rstrip(b"=")


def signed(header: bytes, body: bytes) -> str:
    """Signed well, whatever the two segments are."""
    content = header + b"." + body
    return (content + b"." + segment(hmac.digest(SECRET, content, "sha256"))).decode("latin-1")


# Where we are stricter than the library. Each is a header that nobody needs and that readers disagree about.


def members(header: bytes) -> list[tuple[str, object]]:
    pairs: list[tuple[str, object]] = []

    def keep(found: list[tuple[str, object]]) -> dict[str, object]:
        pairs[:] = found  # the outermost object ends last
        return dict(found)

    json.loads(header, object_pairs_hook=keep)
    return pairs


def stands_twice(header: bytes) -> bool:
    found = False

    def look(pairs: list[tuple[str, object]]) -> dict[str, object]:
        nonlocal found
        found |= len(dict(pairs)) < len(pairs)
        return dict(pairs)

    json.loads(header, object_pairs_hook=look)
    return found


def is_another_type(header: bytes) -> bool:
    return str(dict(members(header)).get("typ", "")).lower().removeprefix("application/") not in {"", "jwt", "at+jwt"}


def is_no_utf8(header: bytes) -> bool:
    try:
        return header.startswith(codecs.BOM_UTF8) or "\0" in header.decode()
    except UnicodeDecodeError:
        return True


def has_half_a_letter(header: bytes) -> bool:
    """JSON can escape one half of a surrogate pair, which no encoding can write."""
    names = [name for name, _ in members(header)]
    return any("\ud800" <= letter <= "\udfff" for name in names for letter in name)


STRICTER: Final[dict[str, Callable[[bytes], bool]]] = {
    "an extension is asked for, even one that the library knows": lambda header: "crit" in dict(members(header)),
    "the payload's form is spoken of, even as the usual one": lambda header: "b64" in dict(members(header)),
    "it is of another type": is_another_type,
    "a name stands twice": stands_twice,
    "it is not in UTF-8": is_no_utf8,
    "a name is no text": has_half_a_letter,
}

REFUSED_BY_US: Final = {
    "an extension is asked for, even one that the library knows": b'{"alg":"HS256","crit":["kid"],"kid":"k"}',
    "the payload's form is spoken of, even as the usual one": b'{"alg":"HS256","b64":true}',
    "it is of another type": b'{"alg":"HS256","typ":"logout+jwt"}',
    "a name stands twice": b'{"alg":"none","alg":"HS256"}',
    "it is not in UTF-8": '{"alg":"HS256"}'.encode("utf-16"),
    "a name is no text": b'{"alg":"HS256","\\ud800":1}',
}


@pytest.mark.parametrize("reason", STRICTER)
def test_we_are_stricter_than_the_library_where(reason: str) -> None:
    credential = signed(segment(REFUSED_BY_US[reason]), segment(CLAIMS))
    assert STRICTER[reason](REFUSED_BY_US[reason])
    assert librarys(credential) is not None
    assert ours(credential) is None


def assert_agreement(credential: str) -> None:
    mine, theirs = ours(credential), librarys(credential)
    if mine is None and theirs is not None:
        header = urlsafe_b64decode(credential.partition(".")[0].encode())
        assert any(applies(header) for applies in STRICTER.values()), f"refused by us alone: {header!r}"
    else:
        assert mine == theirs


# Arbitrary credentials: changed before they are signed, so that much of it is accepted, and after.

_bytes = st.one_of(st.sampled_from(b'.=+/-_AQgw"{}[]:, \\'), st.integers(0, 255))


@st.composite
def mutated(draw: st.DrawFn, raw: bytes) -> bytes:
    """Bytes flipped, inserted or deleted."""
    changed = bytearray(raw)
    for deed in draw(st.lists(st.sampled_from(["flip", "insert", "delete"]), max_size=3)):
        at = draw(st.integers(0, max(len(changed) - 1, 0)))
        changed[at : at + (deed != "insert")] = b"" if deed == "delete" else bytes([draw(_bytes)])
    return bytes(changed)


_texts = st.sampled_from(["HS256", "none", "HS512", "RS256", "JWT", "at+jwt", "kid", "http://a", "", "\ud800"])
_values = st.one_of(_texts, st.none(), st.booleans(), st.integers(), st.floats(), st.lists(_texts, max_size=2), st.just({"kty": "oct"}))
_registered = ("alg", "kid", "typ", "cty", "jku", "jwk", "x5u", "x5c", "x5t", "x5t#S256", "crit", "b64", "other", "\ud800")
_odd = st.tuples(st.sampled_from(_registered), _values)
_usual = st.one_of(
    st.tuples(st.sampled_from(["kid", "cty", "x5t", "x5t#S256"]), _texts),
    st.tuples(st.sampled_from(["jku", "x5u"]), st.just("http://a")),
    st.tuples(st.just("typ"), st.sampled_from(["jwt", "JWT", "application/at+jwt", ""])),
    st.tuples(st.just("x5c"), st.lists(_texts, max_size=2)),
    st.tuples(st.just("jwk"), st.just({"kty": "oct"})),
    st.tuples(st.text(max_size=5), _values),
)
_pairs = st.one_of(st.lists(_usual, max_size=4), st.lists(_usual | _odd, max_size=3))


def header_of(pairs: list[tuple[str, object]]) -> bytes:
    """Written by hand: a name may stand twice."""
    return b"{%b}" % ",".join(f"{json.dumps(name)}:{json.dumps(value)}" for name, value in [("alg", "HS256"), *pairs]).encode()


_headers = st.one_of(st.just(HEADER), _pairs.map(header_of), mutated(HEADER), st.sampled_from(list(REFUSED_BY_US.values())))
_head_segments = st.one_of(_headers.map(segment), mutated(segment(HEADER)))
_body_segments = st.one_of(st.just(segment(CLAIMS)), mutated(segment(CLAIMS)), mutated(CLAIMS).map(segment))


@settings(UNHURRIED, max_examples=500)  # of which some forty are accepted, and as many by the library alone
@given(header=_head_segments, body=_body_segments)
@example(header=segment(HEADER), body=segment(CLAIMS))
@example(header=segment(HEADER), body=segment(CLAIMS) + b"=")
@example(header=segment(HEADER), body=segment(CLAIMS)[:-1] + b"R")  # the last letter's surplus bits
@example(header=segment(b'{"alg":"HS256","other":NaN}'), body=segment(CLAIMS))
@example(header=segment(b'{"alg":"HS256","kid":null}'), body=segment(CLAIMS))
@example(header=segment(b'{"alg":"HS256","jku":"file:///a"}'), body=segment(CLAIMS))
@example(header=segment(b'{"alg":"HS512"}'), body=segment(CLAIMS))
@example(header=segment(b'{"alg":"none"}'), body=segment(CLAIMS))
@example(header=segment(b'{"alg":"HS256","other":"\xff"}'), body=segment(CLAIMS))
@example(header=segment(b'{"alg":"HS256","other":' + b"[" * 3_000 + b"]" * 3_000 + b"}"), body=segment(CLAIMS))
@example(header=segment(HEADER), body=b"")
@example(header=b"", body=segment(CLAIMS))
def test_what_is_signed_well_is_accepted_when_the_library_accepts_it(header: bytes, body: bytes) -> None:
    assert_agreement(signed(header, body))


@UNHURRIED
@given(mutated(signed(segment(HEADER), segment(CLAIMS)).encode()))
def test_what_is_changed_after_signing_is_accepted_when_the_library_accepts_it(credential: bytes) -> None:
    assert_agreement(credential.decode("latin-1"))


@pytest.mark.parametrize("ending", ["=", ".", "A", " ", "\n", ".AAAA"])
def test_nothing_may_follow_a_signature(ending: str) -> None:
    credential = signed(segment(HEADER), segment(CLAIMS))
    assert ours(credential) is not None
    assert ours(credential + ending) is None


def test_a_signature_has_one_text() -> None:
    """43 letters hold two bits more than 32 bytes: four texts would be decoded to the same."""
    credential = signed(segment(HEADER), segment(CLAIMS))
    letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    accepted = [letter for letter in letters if ours(credential[:-1] + letter)]
    assert accepted == [credential[-1]]


def test_the_memory_of_headers_is_bounded_and_keeps_no_refusal() -> None:
    for number in range(2 * HEADERS_MAX):
        assert parse_header(segment(b'{"alg":"HS256","kid":"%d"}' % number)).kid == str(number)
    before = parse_header.cache_info()
    assert before.currsize == HEADERS_MAX
    for _ in range(2):
        with pytest.raises(AnypodError):
            parse_header(segment(b'{"alg":"HS256","crit":["exp"]}'))
    assert parse_header.cache_info().misses == before.misses + 2
