"""Arrays of numbers in numpy's .npy files."""

from __future__ import annotations

import io
import math
import os
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Literal

from netsurgery.errors import FormatError
from netsurgery.io.reader import read_head

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["npy_bytes", "read_npy"]

_MAGIC = b"\x93NUMPY"
_NOT = "not a .npy file of numbers"


def read_npy(path: str | Path) -> NDArray[np.generic]:
    """The array in a .npy file: floats or whole numbers, of any shape and byte order.

    Mapped, read-only; a shape that the file has not the bytes for is refused before memory is
    made for it. Raises FormatError for anything else; objects, which would have to be unpickled,
    are never read.
    """
    import numpy as np

    try:
        head = read_head(path, len(_MAGIC))
        if head.startswith(b"PK"):
            raise FormatError(f"{path}: a .npz archive, expected one array (.npy)")
        if head != _MAGIC:
            raise FormatError(f"{path}: {_NOT} (it does not begin with \\x93NUMPY)")
        with open(path, "rb") as file:
            shape, fortran, kind = _header(path, file)
            offset, size = file.tell(), os.fstat(file.fileno()).st_size
        length = math.prod(shape) * kind.itemsize
        if length > size - offset:
            raise FormatError(
                f"{path}: {_NOT} (they take {length} bytes, the file has {size - offset})"
            )
        if not length:
            return np.empty(shape, kind)
        order: Literal["F", "C"] = "F" if fortran else "C"
        return np.asarray(np.memmap(path, kind, "r", offset, shape, order))
    except (OSError, MemoryError) as error:
        raise FormatError(f"{path}: {getattr(error, 'strerror', None) or error}") from error


def _header(path: str | Path, file: BinaryIO) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    """Shape, whether columns come first, and type, of numbers."""
    from numpy.lib import format as npy

    readers = {(1, 0): npy.read_array_header_1_0, (2, 0): npy.read_array_header_2_0}
    try:
        with warnings.catch_warnings():
            # Files of Python 2, Caffe's own mean among them, draw a warning and are fine.
            warnings.simplefilter("ignore")
            shape, fortran, kind = readers[npy.read_magic(file)](file)
    except Exception as error:  # it is a Python literal, and fails as one, in many ways
        raise FormatError(f"{path}: {_NOT} (its header is broken)") from error
    if kind.hasobject:
        raise FormatError(f"{path}: {_NOT} (Python objects, which are not unpickled)")
    if kind.kind not in "fiu":
        raise FormatError(f"{path}: an array of {kind}, expected numbers")
    if len(shape) > 32 or any(axis < 0 for axis in shape):
        raise FormatError(f"{path}: {_NOT} (its header is broken)")
    return shape, fortran, kind


def npy_bytes(array: NDArray[np.float32]) -> bytes:
    """The content of a .npy file that holds `array`."""
    import numpy as np

    made = io.BytesIO()
    np.save(made, array, allow_pickle=False)
    return made.getvalue()
