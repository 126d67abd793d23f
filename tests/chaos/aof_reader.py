"""What one Redis server has on its disk: every write, in order, before anybody else heard of it.

Owns the reading of append-only files. Must not know what a write means.

With `appendfsync always` a server writes to its file before it answers or publishes: whatever a client has seen stands there.
"""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, Final

import hiredis
from tests.support.redis_servers import RedisServer

FILES: Final = "appendonlydir/*.incr.aof"


class AofReader:
    def __init__(self, server: RedisServer) -> None:
        self.server = server
        self._file: BinaryIO | None = None
        self.rewind()

    def close(self) -> None:
        if self._file is not None:
            self._file.close()

    def rewind(self) -> None:
        """The file is another one."""
        self.close()
        self._path: Path | None = None
        self._file = None
        self._reader = hiredis.Reader()

    def skip_to_end(self) -> None:
        """The file was cut, and the server has mended its end: what stands there is known."""
        self._open(max(self.server.folder.glob(FILES), key=_number))
        assert self._file is not None
        self._file.seek(0, os.SEEK_END)

    def commands(self) -> Iterator[list[bytes]]:
        """Those since the last time. A file that was replaced is read to its end first: it stays readable while it is open."""
        while True:
            if self._file is not None:
                self._reader.feed(self._file.read())
                while (command := self._reader.gets()) is not False:
                    yield command
            newest = max(self.server.folder.glob(FILES), key=_number, default=None)
            if newest is None or newest == self._path:
                return
            self._open(newest)

    def _open(self, path: Path) -> None:
        self.close()
        self._path, self._file, self._reader = path, path.open("rb"), hiredis.Reader()


def _number(path: Path) -> int:
    """`appendonly.aof.7.incr.aof` is the seventh."""
    return int(path.name.split(".")[-3])
