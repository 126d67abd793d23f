"""Which texts name a trace, by the examples of the recommendation."""

import pytest

from anypod.core.traceparent import is_traceparent

GOOD = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


@pytest.mark.parametrize("text", [GOOD, GOOD[:-2] + "00", "cc" + GOOD[2:], f"cc{GOOD[2:]}-what-the-future-adds"])
def test_a_trace_is_named_by_version_trace_parent_and_flags(text: str) -> None:
    assert is_traceparent(text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "ff" + GOOD[2:],
        GOOD.upper(),
        GOOD + "-more",
        GOOD + "\n",
        GOOD[:-1],
        GOOD.replace("4bf92f3577b34da6a3ce929d0e0e4736", "0" * 32),
        GOOD.replace("00f067aa0ba902b7", "0" * 16),
        "cc" + GOOD[2:] + "-" + "x" * 500,
        GOOD.replace("-", "_"),
    ],
)
def test_anything_else_is_no_trace(text: str) -> None:
    assert not is_traceparent(text)
