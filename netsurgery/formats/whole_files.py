"""Small files, read whole: a regular file of a bounded size, or an OSError that says what it is."""

from __future__ import annotations

import errno
from pathlib import Path

from netsurgery.formats.segments import Source

__all__ = ["check_regular", "read_whole"]


def read_whole(path: Path | str, limit: int) -> bytes:
    """The content of a file of at most `limit` bytes.

    Raises OSError, its strerror fit for a message, for a file that cannot be read, is larger, or
    is no regular file: a FIFO would be waited for, a device might never end.
    """
    source = _opened(path)
    try:
        if source.size > limit:
            raise OSError(errno.EFBIG, f"{source.size} bytes, where at most {limit} make sense")
        return source.pread(source.size, 0)
    finally:
        source.close()


def check_regular(path: Path | str) -> None:
    """Raise OSError where the file cannot be opened or is no regular file."""
    _opened(path).close()


def _opened(path: Path | str) -> Source:
    try:
        return Source(path)
    except ValueError as error:  # a zero byte in the name
        raise OSError(errno.EINVAL, f"not a file name ({error})") from error
