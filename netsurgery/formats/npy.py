"""Arrays of numbers in numpy's .npy files."""

from __future__ import annotations

import io
import warnings
from pathlib import Path
from typing import TYPE_CHECKING

from netsurgery.errors import FormatError
from netsurgery.formats.whole_files import check_regular

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["npy_bytes", "read_npy"]


def read_npy(path: str | Path) -> NDArray[np.generic]:
    """The array in a .npy file: floats or whole numbers, of any shape and byte order.

    The file is mapped, so a shape it has not the bytes for is refused before memory is made for
    it. Raises FormatError for anything else; objects, which would be unpickled, are never read.
    """
    import numpy as np

    try:
        check_regular(path)
        with warnings.catch_warnings():
            # Files of Python 2, Caffe's own mean among them, draw a warning and are fine.
            warnings.simplefilter("ignore")
            found = np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, MemoryError) as error:
        raise FormatError(f"{path}: {getattr(error, 'strerror', None) or error}") from error
    except Exception as error:  # the header is a Python literal, and fails as one, in many ways
        first = str(error).split("\n")[0][:200]
        raise FormatError(f"{path}: not a .npy file of numbers ({first})") from error
    if not isinstance(found, np.ndarray):
        found.close()
        raise FormatError(f"{path}: a .npz archive, expected one array (.npy)")
    if found.dtype.kind not in "fiu":
        raise FormatError(f"{path}: an array of {found.dtype}, expected numbers")
    return np.asarray(found)


def npy_bytes(array: NDArray[np.float32]) -> bytes:
    """The content of a .npy file that holds `array`."""
    import numpy as np

    made = io.BytesIO()
    np.save(made, array, allow_pickle=False)
    return made.getvalue()
