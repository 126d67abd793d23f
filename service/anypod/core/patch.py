"""Change a JSON object by a merge patch (RFC 7396): members replace members, null removes one, objects merge.

Owns the merge and its limits. Must not know what is patched: state, live or metadata.
"""

from typing import Final, TypeAlias

import msgspec

from anypod.core.errors import AnypodError

DEPTH_MAX: Final = 32  # nested objects and arrays; a person's data has five, and every level costs a call

Json: TypeAlias = "bool | int | float | str | list[Json] | dict[str, Json] | None"

_encode: Final = msgspec.json.Encoder().encode
_decode: Final = msgspec.json.Decoder().decode


def patched(document: bytes, patch: bytes, *, bytes_max: int) -> bytes:
    """The text of the object `document` after `patch`.

    Raises AnypodError `malformed` when the patch is not an object or too deep, `too_large` when the result exceeds `bytes_max`.
    """
    merged = merge_patch(parse_object(document), parse_object(patch))
    text = _encode(merged)
    if len(text) > bytes_max:
        raise AnypodError("too_large", f"after the patch the object would have {len(text)} bytes; at most {bytes_max} are kept")
    return text


def parse_object(text: bytes) -> dict[str, Json]:
    """Raises AnypodError `malformed` for anything but a JSON object of at most DEPTH_MAX levels; its content is not quoted."""
    try:
        value = _decode(text)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as exc:
        raise AnypodError("malformed", "this is not JSON") from exc
    if not isinstance(value, dict):
        raise AnypodError("malformed", "this must be a JSON object")
    _check_depth(value, DEPTH_MAX)
    return value


def merge_patch(target: Json, patch: Json) -> Json:
    """The patched value; neither argument is changed, though the result may share parts of both."""
    _check_depth(patch, DEPTH_MAX)
    return _merge(target, patch)


def _merge(target: Json, patch: Json) -> Json:
    if not isinstance(patch, dict):
        return patch
    merged = dict(target) if isinstance(target, dict) else {}
    for name, value in patch.items():
        if value is None:
            merged.pop(name, None)
        else:
            merged[name] = _merge(merged.get(name), value)
    return merged


def _check_depth(value: Json, levels: int) -> None:
    if not isinstance(value, dict | list):
        return
    if levels == 0:
        raise AnypodError("malformed", f"objects and arrays may be nested at most {DEPTH_MAX} deep")
    for item in value.values() if isinstance(value, dict) else value:
        _check_depth(item, levels - 1)
