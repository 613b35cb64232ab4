"""Small caffemodels, built from protobuf fields for tests."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from netsurgery.formats.weights import open_weights
from netsurgery.io.wire import Wire, delimited, header, packed_varints, tag, varint_field

__all__ = ["RAW", "model_layer", "sparse_model", "stored_bytes", "write_hdf5", "write_model"]

Array = NDArray[np.float32]

#: How raw numbers are kept -> NVIDIA's enum value, numpy's type.
RAW = {"raw double": (0, "<f8"), "raw": (1, "<f4"), "raw half": (2, "<f2")}


def model_layer(
    name: str,
    kind: str,
    *blobs: Array,
    bottoms: Sequence[str] = (),
    tops: Sequence[str] = (),
    how: str = "packed",
) -> bytes:
    """A V2 layer, encoded.

    how: its numbers are packed, single, double, legacy (4 axes), or as in NVIDIA's Caffe raw,
    raw double or raw half.
    """
    data = delimited(1, name.encode()) + delimited(2, kind.encode())
    data += b"".join(delimited(3, bottom.encode()) for bottom in bottoms)
    data += b"".join(delimited(4, top.encode()) for top in tops)
    data += b"".join(delimited(7, _blob(blob, how)) for blob in blobs)
    return delimited(100, data)


def _blob(values: Array, how: str) -> bytes:
    if how == "legacy":
        axes = (1,) * (4 - values.ndim) + values.shape
        return b"".join(varint_field(i + 1, axis) for i, axis in enumerate(axes)) + delimited(
            5, values.astype("<f4").tobytes()
        )
    shape = delimited(7, packed_varints(1, values.shape))
    if how in RAW:
        kind, dtype = RAW[how]
        return shape + varint_field(10, kind) + delimited(12, values.astype(dtype).tobytes())
    if how == "double":
        return shape + delimited(8, values.astype("<f8").tobytes())
    if how == "single":
        number_tag = tag(5, Wire.FIXED32)
        return shape + b"".join(
            number_tag + value.tobytes() for value in values.astype("<f4").ravel()
        )
    return shape + delimited(5, values.astype("<f4").tobytes())


def write_model(path: Path, *layers: bytes, name: str = "n") -> Path:
    """A caffemodel of these layers."""
    path.write_bytes(delimited(1, name.encode()) + b"".join(layers))
    return path


def write_hdf5(path: Path, **layers: Sequence[Array]) -> Path:
    """The same as Caffe writes it in HDF5."""
    import h5py

    with h5py.File(path, "w") as file:
        data = file.create_group("data")
        for name, blobs in layers.items():
            group = data.create_group(name)
            for index, blob in enumerate(blobs):
                group.create_dataset(str(index), data=blob)
    return path


def sparse_model(path: Path, layers: int, rows: int, columns: int) -> Path:
    """A caffemodel of InnerProducts fc0, fc1 ... of zeros, that takes no room on the disk."""
    shape = delimited(7, packed_varints(1, (rows, columns)))
    numbers = 4 * rows * columns
    data = header(5, numbers)
    with open(path, "wb") as file:
        for index in range(layers):
            blob = len(shape) + len(data) + numbers
            front = delimited(1, f"fc{index}".encode()) + delimited(2, b"InnerProduct")
            front += header(7, blob)
            file.write(header(100, len(front) + blob) + front + shape + data)
            file.seek(numbers, 1)
        file.truncate(file.tell())
    return path


def stored_bytes(path: str | Path) -> dict[str, list[bytes]]:
    """Layer -> the numbers of its params in a file of weights, as bytes."""
    with open_weights(path) as weights:
        return {
            layer.name: [blob.numpy().tobytes() for blob in layer.blobs]
            for layer in weights.layers
            if layer.blobs
        }
