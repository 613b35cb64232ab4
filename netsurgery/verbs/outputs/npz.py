"""Arrays as a .npz, and features as one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from netsurgery.io.closeable import Closeable
from netsurgery.io.files import OutputFile
from netsurgery.verbs.outputs.record import Collection, FeatureFile, trouble_named

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from netsurgery.maps.features import Features

__all__ = ["COLLECTION", "NpzWriter"]


class NpzWriter(Closeable):
    """A .npz in the making. It does not say when it was made."""

    def __init__(self, output: OutputFile) -> None:
        import zipfile

        self._path = output.path
        with trouble_named(self._path):
            self._file = zipfile.ZipFile(output.by_descriptor, "w", zipfile.ZIP_STORED)

    def write(self, key: str, values: NDArray[Any]) -> None:
        """Write an array. Raises OutputError."""
        import zipfile

        import numpy as np

        with (
            trouble_named(self._path),
            # force_zip64: a member's size is not known when it is begun.
            self._file.open(zipfile.ZipInfo(f"{key}.npy"), "w", force_zip64=True) as member,
        ):
            np.lib.format.write_array(member, np.ascontiguousarray(values), allow_pickle=False)

    def close(self) -> None:
        with trouble_named(self._path):
            self._file.close()


class NpzFile(FeatureFile):
    """Arrays ``NAME/BLOB``, and ``NAME/BLOB:stride`` and the like of float64.

    What is not known is left out.
    """

    def __init__(self, outputs: Sequence[OutputFile]) -> None:
        self._file = NpzWriter(outputs[0])

    def add(self, name: str, features: Features) -> None:
        import numpy as np

        key = f"{name}/{features.blob}"
        self._file.write(key, features.values)
        for part, value in features.geometry().items():
            if value is not None:
                self._file.write(f"{key}:{part}", np.array(value, np.float64))

    def close(self) -> None:
        self._file.close()


COLLECTION = Collection((".npz",), NpzFile)
