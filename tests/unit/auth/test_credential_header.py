import pytest

from anypod.auth import credential_of, origin_allowed
from anypod.core.errors import AnypodError


@pytest.mark.parametrize(
    ("origin", "host", "allowed"),
    [
        (None, "api.example.com", ()),  # no browser
        ("https://api.example.com", "api.example.com", ()),
        ("https://api.example.com", "api.example.com:443", ()),
        ("http://127.0.0.1:8080", "127.0.0.1:8080", ()),
        ("http://[::1]:8080", "[::1]:8080", ()),
        ("https://API.example.com", "api.EXAMPLE.com", ()),
        ("https://app.example.com", "api.example.com", ("https://app.example.com",)),
        ("https://a.b.example.com", "api.example.org", ("https://*.example.com",)),
        ("https://a.example.com:8443", "api.example.org", ("https://*.example.com:8443",)),
        ("https://anywhere.example", "api.example.com", ("*",)),
        ("null", "api.example.com", ("*",)),
    ],
)
def test_these_pages_may_connect(origin: str | None, host: str, allowed: tuple[str, ...]) -> None:
    assert origin_allowed(origin, host, allowed)


@pytest.mark.parametrize(
    ("origin", "host", "allowed"),
    [
        ("https://evil.example", "api.example.com", ()),
        ("https://evil.example", None, ()),
        ("https://evil.example", "", ("https://app.example.com",)),
        ("null", "null", ()),
        ("", "", ()),
        ("file://", "", ()),
        ("https://app.example.com.evil.example", "api.example.com", ("https://app.example.com",)),
        ("http://app.example.com", "api.example.com", ("https://app.example.com",)),
        ("https://app.example.com:8443", "api.example.com", ("https://app.example.com",)),
        ("https://example.com", "api.example.org", ("https://*.example.com",)),
        ("https://evilexample.com", "api.example.org", ("https://*.example.com",)),
        ("http://a.example.com", "api.example.org", ("https://*.example.com",)),
        ("https://a.example.com:8443", "api.example.org", ("https://*.example.com",)),
        ("https://api.example.com:9000", "api.example.com:8000", ()),
        ("https://api.example.com@evil.example", "api.example.com", ("https://api.example.com",)),
        ("https://user@api.example.com", "api.example.com", ()),
        ("https://api.example.com/path", "api.example.com", ()),
        ("https://evil.example/https://a.example.com", "api.example.org", ("https://*.example.com",)),
        ("https://evil.example#.example.com", "api.example.org", ("https://*.example.com",)),
        ("https://[::1", "[::1", ()),
        ("https://api.example.com:99999", "api.example.com:99999", ()),
        (f"https://{'a' * 300}.example.com", f"{'a' * 300}.example.com", ()),  # no name is that long
    ],
)
def test_these_pages_may_not(origin: str, host: str | None, allowed: tuple[str, ...]) -> None:
    assert not origin_allowed(origin, host, allowed)


def test_a_credential_stands_in_the_authorization_header() -> None:
    assert credential_of("Bearer a.b.c") == "a.b.c"
    assert credential_of("bearer  a.b.c ") == "a.b.c"


def test_a_browser_names_it_as_a_subprotocol() -> None:
    assert credential_of(None, ["anypod.v1", "bearer.a.b.c"]) == "a.b.c"


def test_the_header_is_preferred_even_when_it_is_wrong() -> None:
    assert credential_of("Bearer a.b.c", ["bearer.d.e.f"]) == "a.b.c"
    with pytest.raises(AnypodError):
        credential_of("Basic xyz", ["bearer.d.e.f"])


@pytest.mark.parametrize("authorization", [None, "", "Bearer", "Bearer ", "Basic abc", "a.b.c"])
def test_without_one_the_answer_is_not_authenticated(authorization: str | None) -> None:
    with pytest.raises(AnypodError) as refusal:
        credential_of(authorization, ["anypod.v1", "bearer."])
    assert refusal.value.code == "not_authenticated"
