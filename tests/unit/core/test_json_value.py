"""What is a value that may travel, by examples and by properties against Python's own decoder."""

import gc
import json
import time
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from anypod.core.errors import AnypodError
from anypod.core.json_value import DEPTH_MAX, INTEGER_MAX, SHALLOW, Json, checked, compact, value_of

scalars = st.none() | st.booleans() | st.integers(-INTEGER_MAX, INTEGER_MAX) | st.floats(allow_nan=False, allow_infinity=False) | st.text()
values: st.SearchStrategy[Any] = st.recursive(scalars, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=20)
texts = st.builds(lambda value, indent: json.dumps(value, indent=indent).encode(), values, st.sampled_from([None, 0, 2, "\t"]))


def nested(levels: int, inside: bytes = b"1") -> bytes:
    return b"[" * levels + inside + b"]" * levels


def is_malformed(text: bytes) -> bool:
    try:
        value_of(text)
    except AnypodError as error:
        return error.code == "malformed"
    return False


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(texts)
def test_a_value_is_read_as_any_decoder_reads_it_and_travels_without_insignificant_white_space(text: bytes) -> None:
    assert value_of(text) == json.loads(text)
    assert checked(text) == json.dumps(json.loads(text), separators=(",", ":"), ensure_ascii=True).encode()


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.binary()
    | texts.flatmap(lambda text: st.builds(lambda at, byte: text[:at] + byte + text[at + 1 :], st.integers(0, 40), st.binary(max_size=2)))
)
def test_whatever_bytes_are_let_through_python_reads_too_and_alike(text: bytes) -> None:
    try:
        value = value_of(text)
    except AnypodError:
        return
    assert json.loads(text) == value
    assert json.loads(compact(text)) == value


@pytest.mark.parametrize(
    "text",
    [
        b"1e999",
        b"-1e999",
        b"1E400",
        b"1" * 400 + b".0",
        b"9007199254740992",
        b"-9007199254740992",
        b"18446744073709551616",
        b"1" * 5_000,
        b'"\\ud800"',
        b'"\\udc00\\ud800"',
        b'{"\\ud800":1}',
        b'"\xed\xa0\x80"',
        b'"\xff"',
        b"NaN",
        b"Infinity",
        b"01",
        b"",
        b" ",
        b"1 2",
        b'"a\nb"',
    ],
)
@pytest.mark.parametrize("levels", [0, 1, SHALLOW, SHALLOW + 1, DEPTH_MAX])
def test_a_value_out_of_bounds_is_malformed_however_deep_it_stands(text: bytes, levels: int) -> None:
    assert is_malformed(nested(levels, text)) or (levels > 0 and not text.strip())
    assert is_malformed(b'{"a":' * levels + text + b"}" * levels)


@pytest.mark.parametrize(
    "text", [b"9007199254740991", b"-9007199254740991", b"1.7976931348623157e308", b"1e-999", b"-0", b"0.30000000000000004"]
)
@pytest.mark.parametrize("levels", [0, SHALLOW, SHALLOW + 1, DEPTH_MAX])
def test_a_value_at_its_bound_is_let_through_as_it_is_written(text: bytes, levels: int) -> None:
    assert checked(nested(levels, text)) == nested(levels, text)


@pytest.mark.parametrize("inside", [b"", b"{}", b"[]", b"1"])
def test_objects_and_arrays_are_nested_at_most_so_deep(inside: bytes) -> None:
    is_container = inside in (b"{}", b"[]")
    assert not is_malformed(nested(DEPTH_MAX - is_container, inside))
    assert is_malformed(nested(DEPTH_MAX + 1 - is_container, inside))
    assert is_malformed(nested(100_000, inside))


def test_a_name_that_stands_twice_is_let_through_and_the_last_counts_as_in_every_decoder() -> None:
    assert value_of(b'{"a":1,"a":2}') == {"a": 2}


def seconds(text: bytes) -> float:
    """The least time of a processor, without the collector's: its cost is that of everything else in this process."""
    gc.disable()
    try:
        return min(_one_check(text) for _ in range(5))
    finally:
        gc.enable()


def _one_check(text: bytes) -> float:
    began = time.thread_time()
    is_malformed(text)
    return time.thread_time() - began


@pytest.mark.parametrize(
    "part",
    [b"[[[[[[[1]]]]]]],", b"[" * 60 + b"1" + b"]" * 60 + b",", b"9007199254740991,", b"1e308,", b'{"a":[{"b":[{"c":[{}]}]}]},', b"[],"],
)
def test_the_cost_of_a_check_grows_with_the_size_alone(part: bytes) -> None:
    """Nothing that a publisher can write makes it quadratic: eight times the bytes cost far less than 64 times as much."""
    count = 8_192 // len(part)
    small, large = (b"[" + part * times * count + b"1]" for times in (1, 8))
    assert seconds(large) < 32 * seconds(small) + 0.002


def test_a_bomb_is_refused_as_quickly_as_a_value_of_its_size_is_read() -> None:
    size = 65_536
    honest: list[Json] = [{"id": 1, "name": "a", "on": True}] * (size // 32)
    usual = seconds(json.dumps(honest).encode())
    for bomb in (b"[" * size, nested(size // 2), b'{"a":' * (size // 5), b"1" * size, b"[" + b"1," * (size // 2) + b"1e999]"):
        assert seconds(bomb) < 10 * usual + 0.005, bomb[:8]
