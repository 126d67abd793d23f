"""JSON values as they may travel: I-JSON (RFC 7493), compact.

Owns the bounds of a value, and how its text is made compact. Must not know where a value stands: data, state, a signal or presence.

Within these bounds every decoder of every language reads the same value: without them `1e999` is an error to one, infinity to another,
and an event that one client cannot decode would stop it for ever. A name that stands twice in one object is not looked for: every decoder
reads such an object, and to find the second name costs more than all other checks together (decision 0018).
"""

from typing import Annotated, Any, Final, TypeAlias, Union

import msgspec
from msgspec import Meta

from anypod.core.errors import AnypodError

DEPTH_MAX: Final = 64  # nested objects and arrays; a person's data has five
INTEGER_MAX: Final = (1 << 53) - 1  # what a double holds exactly: JavaScript has no other number
SHALLOW: Final = 6  # levels that the quick decoder knows; its table doubles with each

Json: TypeAlias = "bool | int | float | str | list[Json] | dict[str, Json] | None"

_Integer = Annotated[int, Meta(ge=-INTEGER_MAX, le=INTEGER_MAX)]
_LF, _CR, _TAB, _SPACE = b"\n\r\t "


def _of_levels(levels: int) -> Any:
    scalar = Union[None, bool, _Integer, float, str]  # noqa: UP007 - a union of values, not of types
    if levels == 0:
        return scalar
    inner = _of_levels(levels - 1)
    return Union[scalar, list[inner], dict[str, inner]]  # type: ignore[valid-type]  # noqa: UP007 - the same


# One pass in C: syntax, escapes, finite doubles, bounded integers, and a depth that nearly everything has.
_quick: Final = msgspec.json.Decoder(_of_levels(SHALLOW)).decode
_decode: Final = msgspec.json.Decoder().decode


def value_of(text: bytes) -> Json:
    """The value of a JSON text within the bounds. Raises AnypodError `malformed`, without quoting it. Its cost is linear in the size."""
    try:
        return _quick(text)  # type: ignore[no-any-return]
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return _looked_through(text)


def _looked_through(text: bytes) -> Json:
    """A value that is deeper than the quick decoder knows, or out of bounds: which of them, and why, is found by walking it."""
    try:
        value: Json = _decode(text)
    except msgspec.ValidationError as exc:
        raise AnypodError("malformed", "a number is out of range: doubles are finite, integers within 2^53 - 1") from exc
    except (msgspec.MsgspecError, UnicodeDecodeError) as exc:
        raise AnypodError("malformed", "this is not JSON, which is UTF-8 without lone surrogates") from exc
    except RecursionError as exc:
        raise _too_deep() from exc
    level: list[Json] = [value]
    for _ in range(DEPTH_MAX):
        if not level:
            return value
        level = _inner(level)
    if any(isinstance(item, dict | list) for item in level):
        raise _too_deep()
    _inner(level)
    return value


def _inner(level: list[Json]) -> list[Json]:
    """What stands in the objects and arrays of one level. Raises AnypodError for an integer of that level that is out of bounds."""
    inner: list[Json] = []
    for value in level:
        if isinstance(value, list):
            inner += value
        elif isinstance(value, dict):
            inner += value.values()
        elif type(value) is int and not -INTEGER_MAX <= value <= INTEGER_MAX:
            raise AnypodError("malformed", "an integer is beyond 2^53 - 1")
    return inner


def _too_deep() -> AnypodError:
    return AnypodError("malformed", f"objects and arrays may be nested at most {DEPTH_MAX} deep")


def compact(text: bytes) -> bytes:
    """A JSON text without the white space between its tokens: a line break there would end a line of an SSE frame."""
    if _SPACE in text or _LF in text or _CR in text or _TAB in text:
        return msgspec.json.format(text, indent=-1)
    return text


def checked(text: bytes) -> bytes:
    """The compact text of a value within the bounds. Raises AnypodError `malformed`."""
    value_of(text)
    return compact(text)
