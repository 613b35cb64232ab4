"""Arrays of numbers in numpy's .npy files."""

from __future__ import annotations

import io
import math
import os
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from netsurgery.errors import FormatError
from netsurgery.io.memory import Claim
from netsurgery.io.segments import Bytes, Computed, FileSource
from netsurgery.io.sniff import HEAD, refusal
from netsurgery.io.terminal import no_warnings
from netsurgery.io.unreadable import unreadable
from netsurgery.io.wording import counted

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import DTypeLike, NDArray

    from netsurgery.io.files import OutputFile

__all__ = ["npy_bytes", "npy_header", "read_npy", "write_npy", "write_npy_parts"]

_MAGIC = b"\x93NUMPY"
#: Magic, version and, at most, the four bytes that say how long the header is.
_START = 12
#: Longer headers are of many named fields, and no array of numbers (numpy has the same limit).
_LONGEST = 10_000
#: Caffe counts in an int, and knows no more axes than these.
_LARGEST, _MAX_AXES = 2**31 - 1, 32
#: Numbers that are written at a time.
_PART = 1 << 20
_NOT = "not a .npy file of numbers"


def read_npy(path: str | Path) -> NDArray[np.generic]:
    """The array in a .npy file: floats or whole numbers, of any shape and byte order.

    Mapped, read-only: only its header is read. A shape for which the file is too short is
    refused. Raises FormatError for anything else; objects, which would have to be unpickled, are
    never read.
    """
    import numpy as np

    try:
        with FileSource(path) as file:
            shape, fortran, kind, offset = _header(path, file)
            length = math.prod(shape) * kind.itemsize
            if length > file.size - offset:
                left = max(0, file.size - offset)
                raise FormatError(
                    f"{path}: {_NOT} (they take {counted(length, 'byte')}, the file has {left})"
                )
            if math.prod(axis or 1 for axis in shape) > _LARGEST:
                raise FormatError(f"{path}: a shape that is more than Caffe can count")
            if not length:
                return np.empty(shape, kind)
            order: Literal["F", "C"] = "F" if fortran else "C"
            array: NDArray[np.generic] = np.ndarray(shape, kind, file.map(), offset, order=order)
            return array
    except OSError as error:
        raise FormatError(": ".join(unreadable(path, error, "one array (.npy)"))) from error
    except MemoryError as error:
        raise FormatError(f"{path}: {error}") from error


def _header(path: str | Path, file: FileSource) -> tuple[tuple[int, ...], bool, np.dtype[Any], int]:
    """Shape, whether columns come first, type of the numbers, and where they begin."""
    head = file.pread(_START, 0)
    if not head.startswith(_MAGIC):
        reason = refusal(file.pread(HEAD, 0), "one array (.npy)")
        if reason:
            raise FormatError(f"{path}: {reason}")
        raise FormatError(f"{path}: {_NOT} (it does not begin with \\x93NUMPY)")
    wide = head[6:7] > b"\1"  # versions 2 and 3 have four bytes for the header's length
    start = _START if wide else _START - 2
    length = int.from_bytes(head[8:start], "little")
    if length > _LONGEST:
        raise FormatError(
            f"{path}: {_NOT} (its header is {counted(length, 'byte')} long, "
            f"where at most {_LONGEST} "
            "make sense)"
        )
    try:
        shape, fortran, kind = _fields(file.pread(start + length, 0))
    except Exception as error:  # it is a Python literal, and fails as one, in many ways
        raise FormatError(f"{path}: {_NOT} (its header is broken)") from error
    if kind.hasobject:
        raise FormatError(f"{path}: {_NOT} (Python objects, which are not unpickled)")
    if kind.kind not in "fiu":
        raise FormatError(f"{path}: an array of {kind}, expected numbers")
    # To Python True is a whole number, and to numpy's reader an axis.
    if len(shape) > _MAX_AXES or not all(type(axis) is int and axis >= 0 for axis in shape):
        raise FormatError(f"{path}: {_NOT} (its header is broken)")
    return shape, fortran, kind, start + length


def _fields(header: bytes) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    """Shape, whether columns come first, and type, out of everything before the numbers."""
    from numpy.lib import format as npy

    file = io.BytesIO(header)
    major, minor = npy.read_magic(file)
    readers = {1: npy.read_array_header_1_0, 2: npy.read_array_header_2_0}
    with no_warnings:
        # Files of Python 2, Caffe's own mean among them, draw a warning and are fine.
        if (major, minor) == (3, 0):
            # As 2.0 but in UTF-8, which only the names of fields need, and numbers have none.
            file = io.BytesIO(npy.magic(2, 0) + header[len(_MAGIC) + 2 :])
            npy.read_magic(file)
        elif minor or major not in readers:
            raise ValueError(f"version {major}.{minor}")
        return readers[min(major, 2)](file)


def npy_header(shape: tuple[int, ...], kind: DTypeLike) -> bytes:
    """What a .npy file begins with, as numpy writes it, in front of the numbers row by row."""
    import numpy as np

    buffer = io.BytesIO()
    fields = {"shape": shape, "fortran_order": False, "descr": np.dtype(kind).str}
    np.lib.format.write_array_header_1_0(buffer, fields)
    return buffer.getvalue()


def write_npy(output: OutputFile, array: NDArray[Any]) -> None:
    """Make a .npy file of `array` the output, a part at a time. Raises OutputError.

    Where the array lies in a kept file beside the output that is that .npy already, the file
    becomes the output.
    """
    from netsurgery.io.kept_file import whole_file_of

    header = npy_header(array.shape, array.dtype)
    file = whole_file_of(array, len(header))
    if file is not None and os.path.dirname(file.path) == os.path.dirname(output.target):
        output.take(file)
    else:
        output.write_segments([Bytes(header), Computed(array.nbytes, lambda: _parts(array))])


def write_npy_parts(
    output: OutputFile,
    shape: tuple[int, ...],
    parts: Callable[[], Iterable[NDArray[np.float32]]],
) -> None:
    """Make a .npy file of float32 numbers the output, of which `parts` gives some after others.

    Raises OutputError.
    """
    import numpy as np

    def chunks() -> Iterator[memoryview]:
        for part in parts():
            yield from _parts(part)

    header = npy_header(shape, np.float32)
    output.write_segments([Bytes(header), Computed(4 * math.prod(shape), chunks)])


def _parts(array: NDArray[Any]) -> Iterator[memoryview]:
    """The array's bytes, row by row."""
    import numpy as np

    flat = np.ascontiguousarray(array).reshape(-1)  # no copy where it is contiguous
    for start in range(0, flat.size, _PART):
        yield flat[start : start + _PART].view(np.uint8).data


def npy_bytes(array: NDArray[np.float32]) -> bytes:
    """The content of a .npy file that holds `array`."""
    import numpy as np

    with Claim(3 * array.nbytes, f"a .npy file of {counted(array.size, 'number')}"):
        buffer = io.BytesIO()
        np.save(buffer, array, allow_pickle=False)
        return buffer.getvalue()
