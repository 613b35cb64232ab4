"""Small files, read whole: a regular file of a bounded size, or an OSError that says what it is."""

from __future__ import annotations

import errno
from pathlib import Path

from netsurgery.errors import FormatError
from netsurgery.io.segments import Source

__all__ = ["read_head", "read_text", "read_whole"]


def read_whole(path: Path | str, limit: int) -> bytes:
    """The content of a file of at most `limit` bytes.

    Raises OSError, its strerror fit for a message, for a file that cannot be read, is larger, or
    is no regular file: a FIFO would be waited for, a device might never end.
    """
    with Source(path) as source:
        if source.size > limit:
            raise OSError(errno.EFBIG, f"{source.size} bytes, where at most {limit} make sense")
        return source.pread(source.size, 0)


def read_text(path: Path | str, limit: int, error: type[FormatError], expected: str = "") -> str:
    """The content of a text file of at most `limit` bytes: UTF-8, a byte order mark left out.

    Raises `error`, with the line of what is not UTF-8 and `expected` behind it.
    """
    try:
        return read_whole(path, limit).decode("utf-8-sig")
    except OSError as failed:
        raise error(f"{path}: {failed.strerror}") from failed
    except UnicodeDecodeError as failed:
        line = failed.object[: failed.start].count(b"\n") + 1
        raise error(f"{path}:{line}: not UTF-8 text{expected}") from failed


def read_head(path: Path | str, length: int) -> bytes:
    """The first `length` bytes of a file, or all it has. Raises OSError as `read_whole` does."""
    with Source(path) as source:
        return source.pread(length, 0)
