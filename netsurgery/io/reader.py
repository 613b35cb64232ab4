"""A file of weights, opened to be read in place: errors that name it, and its numbers."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING

from netsurgery.errors import CaffemodelError
from netsurgery.io.segments import Source

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["Reader", "open_source"]


def open_source(path: str | Path) -> Source:
    """Open a file. Raises CaffemodelError where the system refuses it."""
    try:
        return Source(path)
    except OSError as error:
        named = str(path).replace("\0", "\\0")
        raise CaffemodelError(error.strerror or str(error), path=named) from error


class Reader:
    """An open file and what is wrong with it."""

    def __init__(self, source: Source) -> None:
        self.source, self.path = source, source.path

    def error(self, what: str, offset: int | None = None) -> CaffemodelError:
        """An error about this file, at a byte of it."""
        return CaffemodelError(what, path=self.path, offset=offset)

    def check_unchanged(self) -> None:
        """Raise CaffemodelError if the file is not what it was when it was opened."""
        if not self.source.unchanged():
            raise self.error("has changed since it was opened")

    def head(self, length: int) -> bytes:
        """The first `length` bytes, or all there are."""
        return self.exactly(0, min(length, self.source.size))

    def exactly(self, start: int, end: int) -> bytes:
        """The bytes from `start` to `end`. Raises CaffemodelError."""
        try:
            data = self.source.pread(end - start, start)
        except OSError as error:
            raise self.error(f"cannot be read: {error.strerror or error}", start) from error
        if len(data) < end - start:
            raise self.error("the file became shorter while it was being read", start + len(data))
        return data

    def floats(self, offset: int, shape: tuple[int, ...]) -> NDArray[np.float32]:
        """The float32 numbers that lie at `offset`: a read-only view of the mapped file.

        Raises CaffemodelError where it cannot be mapped.
        """
        import numpy as np

        try:
            mapped = self.source.map()
        except OSError as error:
            raise self.error(f"cannot be mapped: {error.strerror or error}") from error
        return np.frombuffer(mapped, "<f4", math.prod(shape), offset).reshape(shape)
