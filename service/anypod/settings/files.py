"""A setting's value that stands in a file, read again when the file has changed.

Owns the look at the file and what happens while it cannot be read. Must not know which setting it is, nor how often it is asked for.
"""

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Final

SECRET_FILE_BYTES_MAX: Final = 65_536  # a device named by mistake is an error, and is not read

logger = logging.getLogger(__name__)


class FileError(Exception):
    """The text is what is wrong with the file."""


def read_text(path: str) -> str:
    """Raises FileError."""
    try:
        with Path(path).open("rb") as file:
            content = file.read(SECRET_FILE_BYTES_MAX + 1)
        text = content.decode().rstrip("\r\n")  # editors and `kubectl create secret` leave a line end
    except OSError as exc:
        raise FileError(f"cannot be read ({exc.strerror}): check the path and its permissions") from exc
    except UnicodeDecodeError as exc:
        raise FileError("does not hold text: check the path") from exc
    if not text or len(content) > SECRET_FILE_BYTES_MAX:
        raise FileError(f"should hold 1 to {SECRET_FILE_BYTES_MAX} bytes: check the path")
    return text


def file_marks(path: str) -> object:
    """Equal as long as it is the same file with the same contents, as far as a `stat` tells. None: there is none.

    Kubernetes swaps the files of a Secret by a symlink, so it is another file that the path leads to.
    """
    try:
        found = Path(path).stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino, found.st_mtime_ns, found.st_size


class FileValue:
    """`value`: as it was read at the start. `is_optional`: without the file there is no value; otherwise the last one stays.

    `check` raises ValueError for a text that cannot be the value.
    """

    def __init__(self, path: str, value: str | None, check: Callable[[str], object], *, is_optional: bool = False) -> None:
        self._path = path
        self._value = value
        self._check = check
        self._is_optional = is_optional
        self._seen: object = None

    def current(self) -> str | None:
        """Costs a `stat` while nothing has changed."""
        marks = file_marks(self._path)
        if marks != self._seen:
            self._seen = marks
            self._read(is_there=marks is not None)
        return self._value

    def _read(self, *, is_there: bool) -> None:
        if self._is_optional and not is_there:
            self._value = None
            return
        try:
            text = read_text(self._path)
            self._check(text)
        except (FileError, ValueError) as exc:
            # Half a rotation must not lock every client out: what held before goes on holding until the file is right.
            logger.warning("%s %s; its last value stays in use", self._path, exc)
        else:
            self._value = text
