"""Files in the making that stay when their process dies, for a later run to go on with.

Each lies beside the output that it is for, under a name that the output alone decides. One of them
is locked while it is open: a second process that comes to the same output is refused.
"""

from __future__ import annotations

import mmap
import os
import stat
from typing import TYPE_CHECKING, Any

import numpy as np

from netsurgery.errors import OutputError
from netsurgery.io.closeable import Closeable
from netsurgery.io.locks import lock
from netsurgery.io.mapping import watch
from netsurgery.io.ownership import is_own
from netsurgery.io.segments import close_quietly
from netsurgery.io.targets import one_line

if TYPE_CHECKING:
    from numpy.typing import DTypeLike, NDArray

__all__ = ["KeptFile", "flush", "kept_path", "map_array", "whole_file_of"]

_OPEN = os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0)
#: A name has 255 bytes at most.
_NAME = 200


def kept_path(output: str, kind: str) -> str:
    """The file of a kind for an output, in the folder that the output will be in.

    >>> kept_path("/maps/cat.npy", "journal")
    '/maps/.cat.npy.netsurgery-journal'
    """
    folder, name = os.path.split(os.path.realpath(output))
    short = os.fsdecode(os.fsencode(name)[:_NAME])
    return os.path.join(folder, f".{short}.netsurgery-{kind}")


class KeptFile(Closeable):
    """A file of one's own, made where there is none.

    Raises OutputError.
    """

    def __init__(self, path: str, output: str, *, locked: bool = False) -> None:
        """output: what it is for, as the user named it. locked: whether it is refused where another
        process has it open so."""
        self.path, self.output, self.fd = path, output, -1
        with one_line(output):
            while True:
                self.fd = os.open(path, _OPEN, 0o666)
                try:
                    self._check(locked)
                    # Whoever had it open may have removed it before it was locked here.
                    if os.path.samestat(os.fstat(self.fd), os.lstat(path)):
                        return
                except FileNotFoundError:
                    pass
                except BaseException:
                    self.close()
                    raise
                self.close()

    def _check(self, locked: bool) -> None:
        state = os.fstat(self.fd)
        if not (stat.S_ISREG(state.st_mode) and is_own(state) and state.st_nlink <= 1):
            raise OutputError(f"{self.output}: {self.path} is in the way; remove it")
        if locked and lock(self.fd, wait=False) is False:
            raise OutputError(f"{self.output}: another process is writing it")

    @property
    def size(self) -> int:
        """Bytes."""
        return os.fstat(self.fd).st_size

    def remove(self) -> None:
        """Delete it, unless it has become the output, and close it. May be called again."""
        if self.fd >= 0:
            try:
                if os.path.samestat(os.lstat(self.path), os.fstat(self.fd)):
                    os.unlink(self.path)
            except OSError:
                pass
            self.close()

    def close(self) -> None:
        """Close it; it stays. May be called again."""
        fd, self.fd = self.fd, -1
        close_quietly(fd)

    def __del__(self) -> None:
        self.close()


class _Mapping(mmap.mmap):
    """A mapped file that arrays over it lead to."""

    file: KeptFile | None = None


def map_array(
    fd: int, offset: int, shape: tuple[int, ...], kind: DTypeLike, file: KeptFile | None = None
) -> NDArray[Any]:
    """An array over the bytes of a file from `offset` on; what is written to it is in the file.

    file: what the descriptor is of, if it is one that is kept.
    """
    mapping = _Mapping(fd, 0)
    mapping.file = file
    if file is not None:
        watch(file.path, len(mapping))
    array: NDArray[Any] = np.ndarray(shape, kind, mapping, offset)
    return array


def flush(array: NDArray[Any]) -> None:
    """Have the disk hold what has been written to a mapped array."""
    mapping = _mapping_of(array)
    if mapping is not None:
        mapping.flush()


def whole_file_of(array: NDArray[Any], offset: int) -> KeptFile | None:
    """The kept file that an array fills from `offset` to its end, if it lies in one."""
    mapping = _mapping_of(array)
    if mapping is None or mapping.file is None or mapping.file.fd < 0:
        return None
    whole = array.flags.c_contiguous and array.nbytes + offset == len(mapping)
    return mapping.file if whole else None


def _mapping_of(array: object) -> _Mapping | None:
    while isinstance(array, np.ndarray):
        array = array.base
    if isinstance(array, memoryview):
        array = array.obj
    return array if isinstance(array, _Mapping) else None
