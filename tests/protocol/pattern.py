"""What a case expects, compared with what came.

Owns the language of `gets`: an object names the members that matter, a list is as long as it says, and these strings stand for more
than themselves: `<any>`, `<text>`, `<int>`, `<cursor>`, `<missing>` (no such member), `$name` (kept before).
An object with one member `$of` compares the text of a pattern's regular expression, with `$includes` a list that holds at
least these elements, with `$one_of` any of several patterns, with `$from` and `$to` a number.
"""

import re
from collections.abc import Mapping
from typing import Any, Final

from anypod.core.cursor import Cursor

_NAME: Final = re.compile(r"\$\{(\w+)\}")
MISSING: Final = object()


def filled(template: Any, kept: Mapping[str, Any]) -> Any:
    """The template with what was kept in the place of names. `{"$times": [text, n]}` is a long text."""
    match template:
        case str() if template.startswith("$") and template[1:] in kept:
            return kept[template[1:]]
        case str():
            return _NAME.sub(lambda found: str(kept[found[1]]), template)
        case {"$times": [str() as text, int() as count]}:
            return text * count
        case dict():
            return {name: filled(value, kept) for name, value in template.items()}
        case list():
            return [filled(value, kept) for value in template]
        case _:
            return template


def difference(pattern: Any, value: Any, path: str = "it") -> str | None:
    """What does not fit, None when all does. `pattern` is already filled."""
    match pattern:
        case dict() if len(pattern) == 1 and next(iter(pattern)).startswith("$"):
            return _special(pattern, value, path)
        case {"$from": low, "$to": high}:
            return None if isinstance(value, int | float) and low <= value <= high else f"{path} is {value!r}, not {low} to {high}"
        case dict():
            return _members(pattern, value, path)
        case list():
            return _elements(pattern, value, path)
        case str() if pattern.startswith("<") and pattern.endswith(">"):
            return None if _fits(pattern, value) else f"{path} is {_shown(value)}, not {pattern}"
        case _:
            is_same = value == pattern and isinstance(value, bool) == isinstance(pattern, bool)
            return None if is_same else f"{path} is {_shown(value)}, not {_shown(pattern)}"


def _special(pattern: dict[str, Any], value: Any, path: str) -> str | None:
    match pattern:
        case {"$of": str() as expression}:
            is_it = isinstance(value, str) and re.fullmatch(expression, value, re.DOTALL) is not None
            return None if is_it else f"{path} is {_shown(value)}, not of {expression}"
        case {"$includes": list() as wanted}:
            held = value if isinstance(value, list) else []
            lacking = [one for one in wanted if all(difference(one, item) for item in held)]
            return f"{path} is {_shown(value)}, which lacks {lacking}" if lacking else None
        case {"$one_of": list() as choices}:
            fits = any(difference(one, value) is None for one in choices)
            return None if fits else f"{path} is {_shown(value)}, none of {choices}"
        case _:
            raise AssertionError(f"{pattern} is no pattern")


def _members(pattern: dict[str, Any], value: Any, path: str) -> str | None:
    if not isinstance(value, dict):
        return f"{path} is {_shown(value)}, not an object"
    for name, wanted in pattern.items():
        there = value.get(name, MISSING)
        if wanted == "<missing>":
            found = f"{path}.{name} is there: {_shown(there)}" if there is not MISSING else None
        elif there is MISSING:
            found = f"{path}.{name} is missing from {_shown(value)}"
        else:
            found = difference(wanted, there, f"{path}.{name}")
        if found:
            return found
    return None


def _elements(pattern: list[Any], value: Any, path: str) -> str | None:
    if not isinstance(value, list) or len(value) != len(pattern):
        return f"{path} is {_shown(value)}, not a list of {len(pattern)}"
    found = (difference(wanted, item, f"{path}[{index}]") for index, (wanted, item) in enumerate(zip(pattern, value, strict=True)))
    return next((text for text in found if text), None)


def _fits(pattern: str, value: Any) -> bool:
    match pattern:
        case "<any>":
            return True
        case "<text>":
            return isinstance(value, str) and value != ""
        case "<int>":
            return isinstance(value, int) and not isinstance(value, bool)
        case "<cursor>":
            return isinstance(value, str) and Cursor.parse(value) is not None
        case _:
            raise AssertionError(f"{pattern} is no pattern")


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 400 else f"{text[:400]}…"
