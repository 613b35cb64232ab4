"""Arrays of numbers in numpy's .npy files."""

from __future__ import annotations

import io
from pathlib import Path
from typing import TYPE_CHECKING

from netsurgery.errors import FormatError

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
        found = np.load(path, mmap_mode="r", allow_pickle=False)
    except OSError as error:
        raise FormatError(f"{path}: {error.strerror or error}") from error
    except (ValueError, EOFError, SyntaxError, OverflowError, UnicodeError) as error:
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
