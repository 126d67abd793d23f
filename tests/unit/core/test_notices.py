"""Whom a signal is for."""

import pytest
from msgspec import Raw

from anypod.core.notices import SignalNotice

# Who listens: author and device. The names of devices are their own choice, and the worst is taken.
LISTENERS = [
    ("ann", None),
    ("ann", "phone"),
    ("ann", "bob"),
    ("bob", "phone"),
    ("bob", "ann"),
    ("eve", "bob"),
    ("ann/phone", None),
    ("a/b", "c"),
]


@pytest.mark.parametrize(
    ("to", "heard_by"),
    [
        (None, LISTENERS),
        ("bob", [("ann", "bob"), ("bob", "phone"), ("bob", "ann")]),
        ("phone", [("ann", "phone")]),
        ("bob/phone", [("bob", "phone")]),
        ("ann/phone", [("ann", "phone")]),
        ("ann/phone/", [("ann/phone", None)]),
        ("ann/", [("ann", None), ("ann", "phone"), ("ann", "bob")]),
        ("a/b/c", [("a/b", "c")]),
        ("a/b", []),
        ("/", []),
        ("", []),
    ],
)
def test_a_signal_by_ann_is_for(to: str | None, heard_by: list[tuple[str, str | None]]) -> None:
    signal = SignalNotice(Raw(b"{}"), to=to, sender="ann")
    assert [listener for listener in LISTENERS if signal.is_for(*listener)] == heard_by


def test_of_a_replica_that_does_not_say_who_sent_it_a_bare_name_means_an_author_alone() -> None:
    """During a rolling upgrade."""
    signal = SignalNotice(Raw(b"{}"), to="bob")
    assert [listener for listener in LISTENERS if signal.is_for(*listener)] == [("bob", "phone"), ("bob", "ann")]
