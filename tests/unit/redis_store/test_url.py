"""The forms of a Redis URL."""

import pytest
from tests.support.options import redis_options_of

from anypod.core.errors import AnypodError
from anypod.redis_store.url import Deployment, Endpoint


def parsed(url: str) -> Deployment:
    return Deployment.parse(redis_options_of(url))


@pytest.mark.parametrize(
    ("url", "shape", "endpoints", "database", "name"),
    [
        ("redis://cache", "single", [("cache", 6379)], 0, ""),
        ("redis://cache:7000/3", "single", [("cache", 7000)], 3, ""),
        ("redis://[::1]:7000/", "single", [("::1", 7000)], 0, ""),
        ("redis+sentinel://a,b:26380/orders", "sentinel", [("a", 26379), ("b", 26380)], 0, "orders"),
        ("redis+sentinel://a/orders%2F1/2", "sentinel", [("a", 26379)], 2, "orders/1"),
        ("redis+cluster://a:1,b:2,c", "cluster", [("a", 1), ("b", 2), ("c", 6379)], 0, ""),
        ("redis+cluster://a:1/0", "cluster", [("a", 1)], 0, ""),
    ],
)
def test_a_url_names_a_server_or_who_knows_where_the_servers_are(
    url: str, shape: str, endpoints: list[tuple[str, int]], database: int, name: str
) -> None:
    found = parsed(url)
    assert (found.shape, list(found.endpoints), found.database, found.name) == (
        shape,
        [Endpoint(*item) for item in endpoints],
        database,
        name,
    )
    assert found.access.tls is None


@pytest.mark.parametrize("url", ["rediss://a", "rediss+sentinel://a/x", "rediss+cluster://a"])
def test_with_tls_names_are_checked(url: str) -> None:
    tls = parsed(url).access.tls
    assert tls is not None
    assert tls.check_hostname


@pytest.mark.parametrize(
    "url",
    [
        "",
        "cache:6379",
        "http://cache",
        "redis://",
        "redis://a,b",
        "redis://a/x",
        "redis://a:x",
        "redis+ring://a",
        "redis+sentinel://a",
        "redis+sentinel://a/x/y",
        "redis+cluster://a/1",
        "redis+cluster://a,,b",
    ],
)
def test_anything_else_is_refused_with_the_forms_that_there_are(url: str) -> None:
    with pytest.raises(AnypodError, match=r"must look like redis://.*redis\+sentinel://.*redis\+cluster://"):
        parsed(url)


def test_user_and_password_are_for_the_servers_and_not_for_the_sentinels() -> None:
    found = parsed("redis+sentinel://us%40er:p%3Ass@a/orders/2")
    server = found.address(Endpoint("b", 1))
    assert (server.access.login(), server.database) == (("us@er", "p:ss"), 2)
    sentinel = found.sentinel(Endpoint("a", 2), lambda: "other")
    assert (sentinel.access.login(), sentinel.database) == ((None, "other"), 0)


def test_no_password_is_shown() -> None:
    options = redis_options_of("redis://:hunter2@cache", sentinel_password="hunter3")
    for text in map(repr, (options, Deployment.parse(options), parsed("redis://:hunter2@cache").address(Endpoint("a", 1)))):
        assert "hunter" not in text
