"""A wall clock that can be stepped while whoever reads it runs.

Owns the file with the offset, and how a process is started so that it reads the time through it. Must not know who does. The
library that stands between (Debian's package `faketime`) looks at the file once a second; what measures durations stays true.
"""

import shlex
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from tests.repository.not_run import missing

LIBRARY: Final = "usr/lib/*/faketime/libfaketimeMT.so.1"
LOOK_S: Final = 1  # how often the library reads the file
SETTLE_S: Final = LOOK_S + 0.5  # after which everybody has seen a step
MISSING: Final = missing("libfaketime", "it steps a process's clock (on Debian: apt install faketime)")


def library() -> Path | None:
    return next(Path("/").glob(LIBRARY), None)


class WallClock:
    def __init__(self, folder: Path) -> None:
        self._file = folder / "offset"
        self._folder = folder
        folder.mkdir(parents=True)
        self._set(0)

    @property
    def variables(self) -> dict[str, str]:
        """The environment of a process that reads this clock."""
        found = library()
        assert found is not None, MISSING
        return {
            "LD_PRELOAD": str(found),
            "FAKETIME_TIMESTAMP_FILE": str(self._file),
            "FAKETIME_CACHE_DURATION": str(LOOK_S),
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        }

    def wrapped(self, binary: Path) -> Path:
        """A program that becomes the binary, with this clock."""
        words = " ".join(f"{name}={shlex.quote(value)}" for name, value in self.variables.items())
        program = self._folder / binary.name
        program.write_text(f'#!/bin/sh\n{words} exec {shlex.quote(str(binary))} "$@"\n')
        program.chmod(0o755)
        return program

    @contextmanager
    def stepped(self, seconds: float) -> Iterator[None]:
        self._set(seconds)
        try:
            yield
        finally:
            self._set(0)

    def _set(self, seconds: float) -> None:
        partial = self._file.with_suffix(".new")
        partial.write_text(f"{seconds:+.0f}\n")
        partial.rename(self._file)  # whoever looks at it meanwhile finds the one or the other
