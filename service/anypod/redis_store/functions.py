"""The function library: its text and the names of its functions.

Owns the order of the scripts and the name, which holds a digest of the text: replicas of two versions each call their own.
Must not know what the functions do.
"""

from hashlib import blake2b
from importlib.resources import files
from typing import Final, Literal

_SCRIPTS: Final = (
    "base",
    "mend",
    "parts",
    "calendar",
    "tidy",
    "judge",
    "write",
    "append",
    "append_one",
    "session",
    "devices",
    "presence",
    "index",
    "erasure",
    "replicas",
)

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
        folder = files("anypod.redis_store").joinpath("scripts")
        header = f"local INCARNATION = '{incarnation}'"
        text = "\n".join((header, *(folder.joinpath(f"{name}.lua").read_text("utf-8") for name in _SCRIPTS)))
        self._digest = blake2b(text.encode(), digest_size=4).hexdigest()
        self.library: Final = f"{PREFIX}{self._digest}".encode()
        self.source: Final = f"#!lua name={PREFIX}{self._digest}\nlocal SUFFIX = '_{self._digest}'\n{text}".encode()

    def name(self, function: Function) -> bytes:
        return f"{function}_{self._digest}".encode()


def idle_function(library: bytes) -> bytes:
    """Of another version's library."""
    return b"idle_" + library.removeprefix(PREFIX.encode())
