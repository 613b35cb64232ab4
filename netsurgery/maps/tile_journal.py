"""A journal of the tiles that are done, so that a process that is killed loses one row of them.

It is a line of JSON that says what the tiles are of, and one after each row of tiles, which says
how many rows of cells there are of each blob. A line counts when it is whole, and is written when
its cells are on the disk.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from math import prod
from typing import Any, NamedTuple

from netsurgery.io.closeable import Closeable
from netsurgery.io.kept_file import KeptFile
from netsurgery.io.targets import one_line
from netsurgery.net.net import Shape

__all__ = ["BlobProgress", "TileJournal"]

#: A journal has a short line for each row of tiles; what is longer is none.
_LONGEST = 64 << 20


class BlobProgress(NamedTuple):
    """The shape of a blob, C x H x W, and how many of its rows are done."""

    shape: Shape
    rows: int


class TileJournal(Closeable):
    """The journal at `path` of what is made for an output, locked while it is open.

    earlier: what an earlier process was at, None where there is no journal; done: of each blob, in
    their order, what it has done. Raises OutputError, also where another process is at it.
    """

    def __init__(self, path: str, output: str) -> None:
        self._file = KeptFile(path, output, locked=True)
        self.earlier: dict[str, str] | None = None
        self.done: dict[str, BlobProgress] = {}
        self._length = 0
        with one_line(output):
            self._read()

    def _read(self) -> None:
        """Take in the lines that are whole, up to one that is not."""
        size = self._file.size
        content = os.pread(self._file.fd, size, 0) if size <= _LONGEST else b""
        for line in content.split(b"\n")[:-1]:
            try:
                record = json.loads(line)
                if self.earlier is None:
                    self.earlier = {str(key): str(value) for key, value in record.items()}
                else:
                    self.done = {blob: _progress(*each) for blob, each in record.items()}
            except (ValueError, TypeError, AttributeError):
                return
            self._length += len(line) + 1

    def go_on(self) -> None:
        """Keep what is there, but for a line that is not whole."""
        with one_line(self._file.output):
            os.ftruncate(self._file.fd, self._length)

    def begin(self, what: Mapping[str, str]) -> None:
        """Forget what is there: `what` is made from the start."""
        with one_line(self._file.output):
            os.ftruncate(self._file.fd, 0)
        self._length, self.done = 0, {}
        self._append(dict(what))

    def add(self, done: Mapping[str, BlobProgress]) -> None:
        """Note what is done of each blob, and is on the disk."""
        self.done = dict(done)
        self._append(self.done)

    def _append(self, record: Mapping[str, Any]) -> None:
        line = json.dumps(record).encode() + b"\n"
        with one_line(self._file.output):
            while line:
                written = os.pwrite(self._file.fd, line, self._length)
                self._length, line = self._length + written, line[written:]
            os.fsync(self._file.fd)

    def remove(self) -> None:
        """Delete it."""
        self._file.remove()

    def close(self) -> None:
        """Close it; it stays."""
        self._file.close()


def _progress(shape: list[int], rows: int) -> BlobProgress:
    """Raises ValueError for what is none."""
    lengths = tuple(shape)
    if not all(type(number) is int and number > 0 for number in (*lengths, rows)):
        raise ValueError(shape, rows)
    if len(lengths) != 3 or rows > lengths[1] or prod(lengths) >= 1 << 60:
        raise ValueError(shape, rows)
    return BlobProgress(lengths, rows)
