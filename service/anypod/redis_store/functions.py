"""The function library: its text and the names of its functions.

Owns the order of the scripts and the name, which holds a digest of the text: replicas of two versions each call their own.
Must not know what the functions do.
"""

from collections.abc import Mapping, Sequence
from hashlib import blake2b
from importlib.resources import files
from typing import Final, Literal

# The scripts in the order of the library, each with those whose names it uses. What none other uses stands in a block of its own, because
# Lua has room for 200 local names in one.
SCRIPTS: Final[Mapping[str, Sequence[str]]] = {
    "fields": (),
    "base": ("fields",),
    "repair": ("fields",),
    "part_ranges": (),
    "calendar": ("base",),
    "housekeeping": ("fields", "base", "repair", "part_ranges", "calendar"),
    "append/mint": ("fields",),
    "append/verdicts": ("fields", "base", "part_ranges", "housekeeping", "append/mint"),
    "append/general": ("fields", "base", "repair", "part_ranges", "housekeeping", "append/mint", "append/verdicts"),
    "append/fast": ("fields", "base", "repair", "housekeeping", "append/mint", "append/general"),
    "sessions": ("fields", "base", "repair", "part_ranges", "housekeeping", "append/mint"),
    "devices": ("fields", "base"),
    "presence": ("fields", "base"),
    "index": ("base",),
    "erasure": ("fields", "base"),
    "members": ("base",),
}

PREFIX: Final = "anypod_"  # of the names of all libraries of ours

Function = Literal[
    "announce",
    "append",
    "append_delta",
    "append_one",
    "bury",
    "claim",
    "create",
    "delete",
    "due",
    "end",
    "erase",
    "history",
    "forget_deleted",
    "idle",
    "join",
    "keep",
    "keep_life",
    "leave",
    "list",
    "measure",
    "present",
    "raise_fence",
    "read",
    "ready",
    "release",
    "reserve",
    "schedule",
    "settled",
    "swap_erasure",
    "tally",
    "tidy",
    "touch",
    "use",
    "withdraw",
]


class FunctionLibrary:
    """`source` is what FUNCTION LOAD takes, `library` its name."""

    def __init__(self, incarnation: Literal["info", "process"] = "info") -> None:
        self.incarnation: Final = incarnation
        text = "\n".join((f"local INCARNATION = '{incarnation}'", *map(_block, SCRIPTS)))
        self._digest = blake2b(text.encode(), digest_size=4).hexdigest()
        self.library: Final = f"{PREFIX}{self._digest}".encode()
        self.source: Final = f"#!lua name={PREFIX}{self._digest}\nlocal SUFFIX = '_{self._digest}'\n{text}".encode()

    def name(self, function: Function) -> bytes:
        return f"{function}_{self._digest}".encode()


def idle_function(library: bytes) -> bytes:
    """Of another version's library."""
    return b"idle_" + library.removeprefix(PREFIX.encode())


def script(name: str) -> str:
    return files("anypod.redis_store").joinpath("scripts", f"{name}.lua").read_text("utf-8")


def _block(name: str) -> str:
    is_needed = any(name in needs for needs in SCRIPTS.values())
    return script(name) if is_needed else f"do\n{script(name)}end"
