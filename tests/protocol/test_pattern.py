"""What a case expects is compared as the data file's language says."""

import pytest
from tests.protocol.pattern import difference, filled

CURSOR = "abcdefghij-1abcdef-5-1234567890"


@pytest.mark.parametrize(
    ("pattern", "value"),
    [
        (1, 1),
        ({"a": 1}, {"a": 1, "b": 2}),
        ({"b": "<missing>"}, {"a": 1}),
        ([{"a": "<int>"}, "<text>"], [{"a": 5}, "t"]),
        ({"a": {"$from": 1, "$to": 2}}, {"a": 1.5}),
        ({"$of": "ab.*"}, "abc\nd"),
        ({"$includes": [{"a": 2}]}, [{"a": 1}, {"a": 2, "b": 3}]),
        ({"$one_of": [1, 2]}, 2),
        ("<cursor>", CURSOR),
        ("<any>", None),
    ],
)
def test_what_fits_has_no_difference(pattern: object, value: object) -> None:
    assert difference(pattern, value) is None


@pytest.mark.parametrize(
    ("pattern", "value"),
    [
        (1, 2),
        (1, True),
        (0, False),
        ({"a": 1}, {"b": 1}),
        ({"a": 1}, None),
        ({"a": "<missing>"}, {"a": None}),
        ([1, 2], [1]),
        ([1], [1, 2]),
        ({"$from": 1, "$to": 2}, 2.5),
        ({"$from": 1, "$to": 2}, None),
        ({"$of": "ab"}, "abc"),
        ({"$includes": [3]}, [1, 2]),
        ({"$one_of": [1, 2]}, 3),
        ("<cursor>", "start"),
        ("<int>", True),
        ("<text>", ""),
        ([{"a": [1, {"b": 2}]}], [{"a": [1, {"b": 3}]}]),
    ],
)
def test_what_does_not_fit_is_told(pattern: object, value: object) -> None:
    assert difference(pattern, value)


def test_names_stand_for_what_was_kept_whole_or_within_a_text() -> None:
    kept = {"head": CURSOR, "body": {"a": 1}}
    assert filled({"x": ["$head", "at ${head}", "$body", "$unknown", {"$times": ["ab", 2]}]}, kept) == {
        "x": [CURSOR, f"at {CURSOR}", {"a": 1}, "$unknown", "abab"]
    }
