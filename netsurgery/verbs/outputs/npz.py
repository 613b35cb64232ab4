"""Features as a .npz."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from netsurgery.io.files import OutputFile
from netsurgery.verbs.outputs.record import Collection, FeatureFile, trouble_named

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from netsurgery.maps.features import Features

__all__ = ["COLLECTION"]


class NpzFile(FeatureFile):
    """Arrays ``NAME/BLOB``, and ``NAME/BLOB:stride`` and the like of float64.

    What is not known is left out. The file does not say when it was made.
    """

    def __init__(self, outputs: Sequence[OutputFile]) -> None:
        import zipfile

        self._path = outputs[0].path
        with trouble_named(self._path):
            self._file = zipfile.ZipFile(outputs[0].by_descriptor, "w", zipfile.ZIP_STORED)

    def add(self, name: str, features: Features) -> None:
        import numpy as np

        key = f"{name}/{features.blob}"
        self._write(key, features.values)
        for part, value in features.geometry().items():
            if value is not None:
                self._write(f"{key}:{part}", np.array(value, np.float64))

    def _write(self, key: str, values: NDArray[Any]) -> None:
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


COLLECTION = Collection((".npz",), NpzFile)
