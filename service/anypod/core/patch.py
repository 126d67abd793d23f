"""Change a JSON object by a merge patch (RFC 7396): members replace members, null removes one, objects merge.

Owns the merge. Must not know what is patched: state, live or metadata.
"""

from typing import Final

import msgspec

from anypod.core.errors import AnypodError
from anypod.core.json_value import Json, value_of

_encode: Final = msgspec.json.Encoder().encode
_decode: Final = msgspec.json.Decoder(dict[str, object]).decode


def patched(document: bytes, patch: bytes, *, bytes_max: int) -> bytes:
    """The text of the object `document` after `patch`.

    Raises AnypodError `malformed` when the patch is not an object within the bounds, `too_large` when the result exceeds `bytes_max`.
    The document is taken as it is: one from before the bounds were checked must be mendable.
    """
    merged = merge_patch(_decode(document), parse_object(patch))  # type: ignore[arg-type]
    text = _encode(merged)
    if len(text) > bytes_max:
        raise AnypodError("too_large", f"after the patch the object would have {len(text)} bytes; at most {bytes_max} are kept")
    return text


def parse_object(text: bytes) -> dict[str, Json]:
    """Raises AnypodError `malformed` for anything but a JSON object within the bounds of values; its content is not quoted."""
    value = value_of(text)
    if not isinstance(value, dict):
        raise AnypodError("malformed", "this must be a JSON object")
    return value


def merge_patch(target: Json, patch: Json) -> Json:
    """The patched value; neither argument is changed, though the result may share parts of both. Both are as deep as a value may be."""
    if not isinstance(patch, dict):
        return patch
    merged = dict(target) if isinstance(target, dict) else {}
    for name, value in patch.items():
        if value is None:
            merged.pop(name, None)
        else:
            merged[name] = merge_patch(merged.get(name), value)
    return merged
