"""Weights in either of Caffe's forms: a caffemodel, or HDF5.

Which one a file is shows in its content when it is read; when it is written its name decides, as it
does to Caffe: HDF5 if it ends in ``.h5``, else a caffemodel.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from netsurgery.errors import CaffemodelError, OutputError
from netsurgery.formats.blob import Shape
from netsurgery.formats.caffemodel import Caffemodel
from netsurgery.io.closeable import Closeable
from netsurgery.io.files import OutputFile
from netsurgery.io.reader import Reader, read_head
from netsurgery.io.segments import FileRange, FileSource, Segment, segments_length
from netsurgery.io.shape_text import shape_text
from netsurgery.io.sniff import HDF5_SIGNATURE
from netsurgery.io.wording import counted

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from netsurgery.formats.caffemodel_new import Chunks, NewLayer
    from netsurgery.formats.hdf5 import Shared

__all__ = [
    "WeightsBlob",
    "WeightsFile",
    "WeightsLayer",
    "check_size",
    "check_weights",
    "is_hdf5",
    "is_hdf5_name",
    "kept_layer",
    "numbers",
    "open_weights",
    "stored_shape",
    "write_weights",
]

#: What protobuf, and so Caffe, reads of one file at most.
_LARGEST_CAFFEMODEL = 2**31 - 1


class WeightsBlob(Protocol):
    """A param blob in a file; see `netsurgery.formats.blob.StoredBlob`."""

    @property
    def reader(self) -> Reader:
        """The file."""

    @property
    def where(self) -> str:
        """For messages: "layer 'fc6', blob 0"."""

    @property
    def shape(self) -> Shape:
        """Its axes, four for a `legacy` blob."""

    @property
    def legacy(self) -> bool:
        """Whether its shape is num, channels, height and width, as until 2015."""

    @property
    def count(self) -> int:
        """How many numbers."""

    @property
    def packed(self) -> tuple[int, int] | None:
        """(byte offset, bytes) of the numbers where they are one run of float32, else None."""

    def numpy(self) -> NDArray[np.float32]:
        """The numbers, float32 of the blob's shape; read-only where they are the file's own."""


def stored_shape(blob: WeightsBlob, shape: Shape) -> Shape:
    """How `blob` has to be shaped to be a param of `shape`.

    A legacy blob has four axes whatever the param has; Caffe puts ones in front.
    """
    # As blob.cpp compares them: ShapeEquals, by LegacyShape.
    return (1,) * (4 - len(shape)) + shape if blob.legacy else shape


class WeightsLayer(Protocol):
    """A layer in a file of weights; of HDF5 the type is "", and bottoms and tops are none."""

    @property
    def name(self) -> str:
        """The layer's name."""

    @property
    def type(self) -> str:
        """Caffe 1.0's name for its type; "" where the file has none."""

    @property
    def bottoms(self) -> tuple[str, ...]:
        """The blobs it reads."""

    @property
    def tops(self) -> tuple[str, ...]:
        """The blobs it writes."""

    @property
    def blobs(self) -> Sequence[WeightsBlob]:
        """Its params."""


class WeightsFile(Closeable, Protocol):
    """An open file of weights."""

    path: str
    source: FileSource

    @property
    def layers(self) -> Sequence[WeightsLayer]:
        """The layers, in file order (HDF5: by name)."""

    @property
    def net_name(self) -> str:
        """The net's name, "" where the file has none."""

    def layer(self, name: str) -> WeightsLayer:
        """The layer of that name. Raises CaffemodelError where there is none, or several."""

    def check_unchanged(self) -> None:
        """Raise CaffemodelError if the file is not what it was when it was opened."""

    def close(self) -> None:
        """Close the file; arrays that were handed out stay valid."""


def open_weights(path: str | Path, shared: Shared | None = None) -> WeightsFile:
    """Open a caffemodel or an HDF5 file, whatever its name, and index it.

    shared: where to find params that layers share by name, which HDF5 holds once
    (`netsurgery.net.shared_params`). Raises CaffemodelError where it is neither, is cut
    short or contradicts itself.
    """
    if not is_hdf5(path):
        return Caffemodel.open(path)
    from netsurgery.formats.hdf5 import Hdf5Weights

    return Hdf5Weights.open(path, shared)


def is_hdf5(path: str | Path) -> bool:
    """Whether the file's content is HDF5; False where it cannot be read."""
    try:
        return read_head(path, len(HDF5_SIGNATURE)) == HDF5_SIGNATURE
    except OSError:  # the real opening reports what is wrong
        return False


def is_hdf5_name(path: str | Path) -> bool:
    """Whether Caffe takes a file of this name for HDF5."""
    return str(path).endswith(".h5")


def numbers(blob: WeightsBlob) -> FileRange | Chunks:
    """A blob's numbers for writing: a range of its file where they are one, else computed."""
    if blob.packed is not None:
        return FileRange(blob.reader.source, *blob.packed)

    def chunks() -> Iterator[memoryview]:
        import numpy as np

        # Made when it is written, and one blob at a time: a file's numbers may not fit together.
        yield np.ascontiguousarray(blob.numpy(), dtype="<f4").reshape(-1).data.cast("B")

    return chunks


def kept_layer(layer: WeightsLayer) -> NewLayer:
    """A layer of a file, unchanged, to be written to another."""
    from netsurgery.formats.caffemodel_new import NewBlob, NewLayer

    blobs = tuple(NewBlob(blob.shape, numbers(blob)) for blob in layer.blobs)
    return NewLayer(layer.name, layer.type, tuple(layer.bottoms), tuple(layer.tops), blobs)


def write_weights(
    output: OutputFile,
    layers: Sequence[NewLayer],
    *,
    net_name: str = "",
    progress: Callable[[int, int], None] | None = None,
) -> int:
    """Write the layers to `output`, in the form its name asks for; returns the bytes written.

    The structure of what was written is read back and compared. Raises OutputError, also for a
    caffemodel of more than Caffe can read and for names that Caffe's HDF5 has no place for.
    """
    if is_hdf5_name(output.path):
        from netsurgery.formats.hdf5 import hdf5_segments

        segments = hdf5_segments(output.by_descriptor, layers, output.path)
    else:
        from netsurgery.formats.caffemodel_new import new_caffemodel

        segments = new_caffemodel(net_name, layers)
        check_size(segments, output.path)
    written = output.write_segments(segments, progress)
    check_weights(output.temporary, {layer.name: _shapes(layer) for layer in layers})
    return written


def _shapes(layer: NewLayer) -> tuple[Shape, ...]:
    return tuple(blob.shape for blob in layer.blobs)


def check_size(segments: Sequence[Segment], path: str | Path) -> None:
    """Raise OutputError where the segments come to a caffemodel that Caffe could not read."""
    length = segments_length(segments)
    if length > _LARGEST_CAFFEMODEL:
        raise OutputError(
            f"{path}: would have {counted(length, 'byte')}; Caffe reads at most "
            f"{_LARGEST_CAFFEMODEL} of a "
            "caffemodel. Give it a name that ends in .h5 to write HDF5"
        )


def check_weights(path: str | Path, expected: dict[str, tuple[Shape, ...]]) -> None:
    """Read a written file's structure back; `expected` is layer -> shapes. Raises OutputError."""
    try:
        with open_weights(path) as weights:
            written = {layer.name: tuple(b.shape for b in layer.blobs) for layer in weights.layers}
    except CaffemodelError as error:
        raise OutputError(f"what was written cannot be read back: {error}") from error
    for name, shapes in expected.items():
        if written.get(name, ()) != shapes:
            shown = ", ".join(map(shape_text, written.get(name, ()))) or "no params"
            raise OutputError(f"{path}: layer {name!r} was written with {shown}")
