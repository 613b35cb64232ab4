"""Dense features and their geometry written to .npy, .npz or HDF5."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from netsurgery.errors import OutputError
from netsurgery.io.closeable import Closeable
from netsurgery.io.files import Output
from netsurgery.io.npy import npy_bytes

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from netsurgery.maps.features import Features

__all__ = ["FeatureFile", "feature_file", "feature_paths"]

_HDF5 = (".h5", ".hdf5")


class FeatureFile(Closeable, Protocol):
    """A file of features in the making; close it, or use it as a context manager."""

    def add(self, name: str, features: Features) -> None:
        """Write one blob of one picture, called `name`. Raises OutputError."""


def feature_paths(path: Path, images: int, blobs: int) -> list[Path]:
    """The files that features go to: `path`, and for a .npy the .json beside it.

    Raises OutputError for another ending, and for more than one array in a .npy.
    """
    ending = path.suffix.lower()
    if ending not in (".npy", ".npz", *_HDF5):
        raise OutputError(f"{path}: expected a name ending in .npy, .npz or .h5")
    if ending != ".npy":
        return [path]
    if images * blobs != 1:
        raise OutputError(
            f"{path}: a .npy holds one blob of one image, here are {images * blobs}; "
            "give a .npz or .h5"
        )
    return [path, path.with_suffix(".json")]


def feature_file(outputs: Sequence[Output]) -> FeatureFile:
    """The file to write, for the outputs that `feature_paths` names; blobs go to it one by one."""
    ending = Path(outputs[0].path).suffix.lower()
    if ending == ".npy":
        return _Npy(outputs[0], outputs[1])
    return _Hdf5(outputs[0]) if ending in _HDF5 else _Npz(outputs[0])


class _Npy(FeatureFile):
    """The array, and its geometry as JSON beside it."""

    def __init__(self, array: Output, facts: Output) -> None:
        self._array, self._facts = array, facts

    def add(self, name: str, features: Features) -> None:
        self._array.write(npy_bytes(features.values))
        self._facts.write((json.dumps(features.to_json(), indent=2) + "\n").encode())

    def close(self) -> None:
        """Both are whole as soon as they are added."""


class _Npz(FeatureFile):
    """Arrays ``NAME/BLOB``, and ``NAME/BLOB:stride`` and the like of float64.

    What is not known is left out. The file does not tell when it was made.
    """

    def __init__(self, output: Output) -> None:
        self._path = output.path
        with _told(self._path):
            self._file = zipfile.ZipFile(output.by_descriptor, "w", zipfile.ZIP_STORED)

    def add(self, name: str, features: Features) -> None:
        import numpy as np

        key = f"{name}/{features.blob}"
        self._write(key, features.values)
        for part, value in features.geometry().items():
            if value is not None:
                self._write(f"{key}:{part}", np.array(value, np.float64))

    def _write(self, key: str, values: NDArray[Any]) -> None:
        import numpy as np

        with (
            _told(self._path),
            self._file.open(zipfile.ZipInfo(f"{key}.npy"), "w", force_zip64=True) as member,
        ):
            np.lib.format.write_array(member, np.ascontiguousarray(values), allow_pickle=False)

    def close(self) -> None:
        with _told(self._path):
            self._file.close()


class _Hdf5(FeatureFile):
    """Datasets ``/NAME/BLOB`` with the geometry as attributes; what is not known is left out."""

    def __init__(self, output: Output) -> None:
        import h5py

        self._path = output.path
        with _told(self._path):
            # Our own lock is on the file.
            self._file = h5py.File(output.by_descriptor, "w", locking=False)

    def add(self, name: str, features: Features) -> None:
        with _told(self._path):
            dataset = self._file.create_dataset(f"{name}/{features.blob}", data=features.values)
            dataset.attrs["image"] = features.image.encode("utf-8", "replace").decode()
            for part, value in features.geometry().items():
                if value is not None:
                    dataset.attrs[part] = value

    def close(self) -> None:
        with _told(self._path):
            self._file.close()


@contextmanager
def _told(path: str) -> Iterator[None]:
    """What the system, or HDF5, refuses becomes an OutputError naming the output."""
    try:
        yield
    except (OSError, RuntimeError, ValueError, KeyError) as error:
        reason = getattr(error, "strerror", None) or " ".join(str(error).split())
        raise OutputError(f"{path}: {reason}") from error
