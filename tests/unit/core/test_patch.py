import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from anypod.core.errors import AnypodError
from anypod.core.json_value import DEPTH_MAX, Json
from anypod.core.patch import merge_patch, patched


@pytest.mark.parametrize(
    ("target", "patch", "result"),
    [  # RFC 7396, appendix A.
        ({"a": "b"}, {"a": "c"}, {"a": "c"}),
        ({"a": "b"}, {"b": "c"}, {"a": "b", "b": "c"}),
        ({"a": "b"}, {"a": None}, {}),
        ({"a": "b", "b": "c"}, {"a": None}, {"b": "c"}),
        ({"a": ["b"]}, {"a": "c"}, {"a": "c"}),
        ({"a": "c"}, {"a": ["b"]}, {"a": ["b"]}),
        ({"a": {"b": "c"}}, {"a": {"b": "d", "c": None}}, {"a": {"b": "d"}}),
        ({"a": [{"b": "c"}]}, {"a": [1]}, {"a": [1]}),
        (["a", "b"], ["c", "d"], ["c", "d"]),
        ({"a": "b"}, ["c"], ["c"]),
        ({"a": "foo"}, None, None),
        ({"a": "foo"}, "bar", "bar"),
        ({"e": None}, {"a": 1}, {"e": None, "a": 1}),
        ([1, 2], {"a": "b", "c": None}, {"a": "b"}),
        ({}, {"a": {"bb": {"ccc": None}}}, {"a": {"bb": {}}}),
    ],
)
def test_the_examples_of_the_standard_hold(target: Json, patch: Json, result: Json) -> None:
    assert merge_patch(target, patch) == result


_json = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=12,
)


@given(_json, _json)
def test_patching_twice_is_the_same_as_once_and_leaves_the_arguments_as_they_were(target: Json, patch: Json) -> None:
    before = json.dumps([target, patch])
    once = merge_patch(target, patch)
    assert merge_patch(once, patch) == once
    assert json.dumps([target, patch]) == before


def test_texts_are_patched_to_text() -> None:
    assert (
        patched(b'{"lang": "de", "mood": 1}', b'{"mood": null, "name": "Zo\xc3\xab"}', bytes_max=100)
        == '{"lang":"de","name":"Zoë"}'.encode()
    )


def test_a_result_above_the_limit_is_too_large_however_small_the_patch() -> None:
    document = b'{"a":"%b"}' % (b"x" * 80)
    with pytest.raises(AnypodError) as refusal:
        patched(document, b'{"b":"yyyyyyyyyyyy"}', bytes_max=100)
    assert refusal.value.code == "too_large"
    assert patched(document, b'{"a":null,"b":"yyyyyyyyyyyy"}', bytes_max=100) == b'{"b":"yyyyyyyyyyyy"}'


@pytest.mark.parametrize(
    "patch", [b"", b"[]", b"1", b"null", b'{"a":', b'{"a":NaN}', b'{"a":"\xff"}', b'{"a":"\\ud800"}', b'{"a":' * 100_000, b"[" * 100_000]
)
def test_what_is_not_an_object_in_json_is_malformed_and_not_quoted(patch: bytes) -> None:
    with pytest.raises(AnypodError) as refusal:
        patched(b"{}", patch, bytes_max=100)
    assert refusal.value.code == "malformed"
    assert "ud800" not in refusal.value.message


@pytest.mark.parametrize("brackets", [(b'{"a":', b"}"), (b"[", b"]")])
def test_nesting_is_limited_in_objects_and_arrays_alike(brackets: tuple[bytes, bytes]) -> None:
    opening, closing = brackets
    inner = DEPTH_MAX - 1
    deep = b'{"a":%b1%b}' % (opening * inner, closing * inner)
    assert patched(b"{}", deep, bytes_max=1_000) == deep
    with pytest.raises(AnypodError) as refusal:
        patched(b"{}", b'{"a":%b1%b}' % (opening * DEPTH_MAX, closing * DEPTH_MAX), bytes_max=1_000)
    assert refusal.value.code == "malformed"
