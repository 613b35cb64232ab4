"""Reading files: weights in place, small files whole; errors name the file."""

from __future__ import annotations

import errno
import math
from pathlib import Path
from typing import TYPE_CHECKING

from netsurgery.errors import CaffemodelError, FormatError
from netsurgery.io.memory import Claim
from netsurgery.io.segments import FileSource
from netsurgery.io.sniff import HEAD, refusal
from netsurgery.io.unreadable import unreadable
from netsurgery.io.wording import counted

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["Reader", "open_source", "read_head", "read_text", "read_whole"]


def open_source(path: str | Path, expected: str = "a caffemodel") -> FileSource:
    """Open a file. Raises CaffemodelError where the system refuses it."""
    try:
        return FileSource(path)
    except OSError as error:
        name, reason = unreadable(path, error, expected)
        raise CaffemodelError(reason, path=name) from error


class Reader:
    """An open file, with errors that name it."""

    def __init__(self, source: FileSource) -> None:
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


def read_whole(path: Path | str, limit: int) -> bytes:
    """The content of a file of at most `limit` bytes.

    Raises OSError, its strerror fit for a message, for a file that cannot be read, changes
    meanwhile, is larger, or is not a regular file: a FIFO would be waited for, a device might never
    end.
    """
    with FileSource(path) as source:
        if source.size > limit:
            raise OSError(
                errno.EFBIG, f"{counted(source.size, 'byte')}, where at most {limit} make sense"
            )
        # Refused before it is read; whoever keeps it claims it.
        with Claim(source.size, f"{path}: reading it"):
            data = source.pread(source.size, 0)
        if source.written_to():
            raise OSError(errno.EIO, "changed while it was being read; run again")
        return data


def read_text(path: Path | str, limit: int, error: type[FormatError], expected: str) -> str:
    """The content of a text file of at most `limit` bytes: UTF-8, a byte order mark left out.

    Raises `error`, with the line of what is not UTF-8 and what was `expected`.
    """
    try:
        data = read_whole(path, limit)
    except OSError as failed:
        raise error(": ".join(unreadable(path, failed, expected))) from failed
    reason = refusal(data[:HEAD], expected)
    if reason:
        raise error(f"{path}: {reason}")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as failed:
        line = failed.object[: failed.start].count(b"\n") + 1
        raise error(f"{path}:{line}: not UTF-8 text, expected {expected}") from failed


def read_head(path: Path | str, length: int) -> bytes:
    """The first `length` bytes of a file, or all it has. Raises OSError as `read_whole` does."""
    with FileSource(path) as source:
        return source.pread(length, 0)
