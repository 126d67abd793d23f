"""Base64url has one text for each sequence of bytes, with joserfc as the oracle."""

from base64 import urlsafe_b64encode
from binascii import Error as NotBase64

import pytest
from hypothesis import given
from hypothesis import strategies as st
from joserfc.util import urlsafe_b64decode
from tests.fast_transport.frames import UNHURRIED

from anypod.auth.base64url import decoded

_letters = st.text("ABCgwQ019-_+/=. \n", max_size=12).map(str.encode)


def librarys(text: bytes) -> bytes | None:
    try:
        return urlsafe_b64decode(text)
    except NotBase64:
        return None


def ours(text: bytes) -> bytes | None:
    try:
        return decoded(text)
    except ValueError:
        return None


@UNHURRIED
@given(st.binary(max_size=100))
def test_what_was_encoded_is_decoded(raw: bytes) -> None:
    assert decoded(urlsafe_b64encode(raw).rstrip(b"=")) == raw


@UNHURRIED
@given(st.one_of(_letters, st.binary(max_size=12)))
def test_any_text_means_what_it_means_to_the_library(text: bytes) -> None:
    assert ours(text) == librarys(text)


@UNHURRIED
@given(_letters)
def test_whatever_is_decoded_has_no_other_text(text: bytes) -> None:
    raw = ours(text)
    if raw is not None:
        assert urlsafe_b64encode(raw).rstrip(b"=") == text


@pytest.mark.parametrize("text", [b"A", b"AAAAA", b"AB", b"AAB", b"AA==", b"AAA=", b"A+AA", b"A/AA", b"AA A", b"AAAA\n", b"=", b"A.AA"])
def test_these_are_refused(text: bytes) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - which one it is says nothing
        decoded(text)
