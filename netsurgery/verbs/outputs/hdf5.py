"""Features as HDF5."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from netsurgery.io.files import OutputFile
from netsurgery.verbs.outputs.record import Collection, FeatureFile, trouble_named

if TYPE_CHECKING:
    from netsurgery.maps.features import Features

__all__ = ["COLLECTION"]


class Hdf5File(FeatureFile):
    """Datasets ``/NAME/BLOB`` with the geometry as attributes; what is not known is left out."""

    def __init__(self, outputs: Sequence[OutputFile]) -> None:
        import h5py

        self._path = outputs[0].path
        with trouble_named(self._path):
            # Our own lock is on the file.
            self._file = h5py.File(outputs[0].by_descriptor, "w", locking=False)

    def add(self, name: str, features: Features) -> None:
        with trouble_named(self._path):
            dataset = self._file.create_dataset(f"{name}/{features.blob}", data=features.values)
            dataset.attrs["image"] = features.image.encode("utf-8", "replace").decode()
            for part, value in features.geometry().items():
                if value is not None:
                    dataset.attrs[part] = value

    def close(self) -> None:
        with trouble_named(self._path):
            self._file.close()


COLLECTION = Collection((".h5", ".hdf5"), Hdf5File)
