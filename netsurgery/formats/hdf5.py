"""Weights in Caffe's HDF5 form: what net.save_hdf5 writes and a name ending in ``.h5`` loads.

A layer is the group ``/data/NAME``, its params are the datasets ``0``, ``1``, ... in it; types,
bottoms and tops are not kept, nor is the order of the layers. Of params that layers share by name
Caffe writes one only, the first's. A name with a ``/`` becomes a group in a group: Caffe writes
such a file only where the outer one is a layer too, and never finds the inner one again, so that
they are read here but not written.

The numbers of a dataset that lies in one piece are a range of the file, as those of a caffemodel.
Writing has HDF5 itself lay out an empty file with room for every param; what is between the rooms
is then read back, and the file becomes a list of segments as any other: those few bytes, and ranges
of the files that the params come from.
"""

from __future__ import annotations

import contextlib
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from netsurgery.errors import OutputError
from netsurgery.formats.blob import LARGEST, MAX_AXES, Shape
from netsurgery.formats.caffemodel_new import NewLayer, numbers_segment
from netsurgery.formats.hdf5_chunks import GROWTH, check_chunks
from netsurgery.io.closeable import Closeable
from netsurgery.io.memory import Claim, empty
from netsurgery.io.nearest import did_you_mean
from netsurgery.io.reader import Reader, open_source
from netsurgery.io.segments import Bytes, FileSource, Segment
from netsurgery.io.shape_text import shape_text
from netsurgery.io.wording import counted

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["Hdf5Blob", "Hdf5Layer", "Hdf5Weights", "Shared", "hdf5_segments"]

#: (layer, param) -> the (layer, param) that Caffe keeps it under, for params shared by name.
Shared = Mapping[tuple[str, int], tuple[str, int]]

_DEPTH = 32
#: What is kept of a link of the file, and how often its name is in it.
_LINK_MEMORY, _COPIES = 2000, 8
#: Caffe looks for the number as it prints it: no leading zeros.
_INDEX = re.compile(r"0|[1-9][0-9]{0,3}")


class Hdf5Reader(Reader):
    """The file itself, also as HDF5. claim: the memory of what is kept of its index."""

    def __init__(self, source: FileSource) -> None:
        super().__init__(source)
        self.claim = Claim(0, f"{self.path}: the list of its params")

    @contextlib.contextmanager
    def opened(self) -> Iterator[Any]:
        """The file as h5py has it; what h5py raises becomes a CaffemodelError."""
        import h5py

        try:
            with h5py.File(self.path, "r", locking=False) as file:
                self.check_unchanged()
                yield file
        except (OSError, RuntimeError, ValueError, TypeError, KeyError) as error:
            # A KeyError puts quotes around its message.
            reason = " ".join(str(error).strip("'\"").split()) or type(error).__name__
            # The library says what it tried, then, between brackets, why that failed.
            reason = reason.partition("(")[2].removesuffix(")") or reason
            raise self.error(f"HDF5 that cannot be read: {reason}") from error


@dataclass(frozen=True)
class Hdf5Blob:
    """A param blob in an HDF5 file; as `netsurgery.formats.blob.StoredBlob`, never `legacy`.

    place: the dataset's path in the file. packed: (byte offset, bytes) of the numbers where they
    are one run of float32, else None.
    """

    reader: Hdf5Reader = field(repr=False, compare=False)
    where: str
    shape: Shape
    place: str
    packed: tuple[int, int] | None
    legacy: bool = False

    @property
    def count(self) -> int:
        """How many numbers."""
        return math.prod(self.shape)

    def numpy(self) -> NDArray[np.float32]:
        """The numbers, float32 of the blob's shape.

        A read-only view of the mapped file where `packed`, else an array of its own (doubles are
        rounded, as Caffe does). Raises CaffemodelError where the file has changed since.
        """
        import numpy as np

        self.reader.check_unchanged()
        if self.packed is not None:
            return self.reader.floats(self.packed[0], self.shape)
        with self.reader.opened() as file, np.errstate(over="ignore"):
            dataset = file[self.place.encode("utf-8", "surrogateescape")]
            length = self.count * dataset.dtype.itemsize
            what = f"{self.reader.path}: reading {self.where}"
            # Its numbers as they are, besides, until they are float32.
            with Claim(length + check_chunks(self.reader, self.where, dataset), what):
                values: NDArray[np.float32] = empty(self.shape, "f4", what)
                values[...] = dataset[()]
        return values


@dataclass(frozen=True)
class Hdf5Layer:
    """A layer of an HDF5 file: its name and its blobs; what else a caffemodel knows is empty."""

    name: str
    blobs: tuple[Hdf5Blob, ...]
    type: str = ""
    bottoms: tuple[str, ...] = ()
    tops: tuple[str, ...] = ()


class Hdf5Weights(Closeable):
    """An open HDF5 file of weights: `layers` by name. Close it, or use a ``with``."""

    net_name = ""

    def __init__(self, source: FileSource, shared: Shared | None = None) -> None:
        self.source, self.path = source, source.path
        self.reader = Hdf5Reader(source)
        with self.reader.opened() as file:
            params = dict(_GroupWalk(self.reader).layers(_data(self.reader, file)))
        self.layers = tuple(
            Hdf5Layer(name, _in_order(self.reader, name, params, shared or {})) for name in params
        )
        if not any(layer.blobs for layer in self.layers):
            raise self.reader.error("HDF5 without a single param, so no weights")

    @classmethod
    def open(cls, path: str | Path, shared: Shared | None = None) -> Hdf5Weights:
        """Open an HDF5 file and index it; the weights are not read.

        shared: where to find params that Caffe kept under another layer. Raises CaffemodelError
        where the file is something else, is cut short, or leads out of itself.
        """
        source = open_source(path)
        try:
            return cls(source, shared)
        except BaseException:
            source.close()
            raise

    def layer(self, name: str) -> Hdf5Layer:
        """The layer of that name. Raises CaffemodelError where there is none."""
        for layer in self.layers:
            if layer.name == name:
                return layer
        hint = did_you_mean(name, [layer.name for layer in self.layers], "layers")
        raise self.reader.error(f"no layer is named {name!r}{hint}")

    def check_unchanged(self) -> None:
        """Raise CaffemodelError if the file is not what it was when it was opened."""
        self.reader.check_unchanged()

    def close(self) -> None:
        """Close the file; arrays that were handed out stay valid."""
        self.source.close()


def _data(reader: Hdf5Reader, file: Any) -> Any:
    import h5py

    names = set(map(_text, file))
    if "data" not in names:
        what = ", ".join(sorted(map(repr, names))[:8]) or "nothing"
        if "learned_net" in names:
            raise reader.error("HDF5 of a solver (.solverstate.h5), not of weights")
        raise reader.error(f"HDF5 without a group 'data', where Caffe keeps params; found {what}")
    group = _own(reader, file, "data", "data")
    if not isinstance(group, h5py.Group):
        raise reader.error(
            "HDF5 in which 'data' is an array: inputs for an HDF5Data layer, perhaps, no weights"
        )
    return group


def _text(name: str | bytes) -> str:
    """A link's name; bytes that are not UTF-8 survive as surrogates."""
    return name if isinstance(name, str) else name.decode("utf-8", "surrogateescape")


def _own(reader: Hdf5Reader, group: Any, name: str | bytes, place: str) -> Any:
    """The object of that name, which has to be in the file itself."""
    import h5py

    raw = name.encode("utf-8", "surrogateescape") if isinstance(name, str) else name
    # Asked before it is followed: a link may lead to any file that the user can read.
    link = group.id.links.get_info(raw).type
    if link != h5py.h5l.TYPE_HARD:
        kind = "a link out of the file" if link == h5py.h5l.TYPE_EXTERNAL else "a soft link"
        raise reader.error(f"{place!r} is {kind}, which is not followed")
    return group[raw]


class _GroupWalk:
    """Once through the groups; one that is met a second time may be in itself."""

    def __init__(self, reader: Hdf5Reader) -> None:
        self.reader = reader
        self.met: set[int] = set()

    def layers(
        self, group: Any, layer: str = "", depth: int = 0
    ) -> Iterator[tuple[str, dict[int, Hdf5Blob]]]:
        """(layer, its blobs by number) for `group` and the groups in it; "" is 'data' itself."""
        import h5py

        # Hard links may make a group its own part: only the address is one object's.
        address = h5py.h5o.get_info(group.id).addr
        if address in self.met:
            raise self.reader.error(f"layer {layer!r}: its group is in another place too")
        if depth > _DEPTH:
            raise self.reader.error(f"layer {layer!r}: more than {_DEPTH} groups in each other")
        self.met.add(address)
        blobs, inner = {}, []
        self.reader.claim.add(_LINK_MEMORY * len(group))
        for name in group:
            text = _text(name)
            self.reader.claim.add(_COPIES * (len(layer) + len(text)))
            inside = f"{layer}/{text}" if layer else text
            item = _own(self.reader, group, name, f"data/{inside}")
            if isinstance(item, h5py.Group):
                inner.append((item, inside))
            elif layer and isinstance(item, h5py.Dataset) and _INDEX.fullmatch(text):
                blobs[int(text)] = _blob(self.reader, layer, text, item)
            else:
                expected = "a param's number (0, 1, ...)" if layer else "the group of a layer"
                raise self.reader.error(f"'data/{inside}': expected {expected}")
        # A group of groups alone is the first part of a name with a /, and no layer.
        if layer and (blobs or not inner):
            yield layer, blobs
        for item, inside in inner:
            yield from self.layers(item, inside, depth + 1)


def _blob(reader: Hdf5Reader, layer: str, index: str, dataset: Any) -> Hdf5Blob:
    where = f"layer {layer!r}, blob {index}"
    shape = dataset.shape
    if shape is None:
        raise reader.error(f"{where}: a dataset without numbers")
    if dataset.dtype.kind != "f" or dataset.dtype.itemsize not in (2, 4, 8):
        raise reader.error(f"{where}: numbers of type {dataset.dtype}, expected float32 or float64")
    if len(shape) > MAX_AXES or max((*shape, math.prod(shape))) > LARGEST:
        raise reader.error(f"{where}: a shape of {shape_text(shape)} is more than Caffe can count")
    return Hdf5Blob(
        reader=reader,
        where=where,
        shape=tuple(int(axis) for axis in shape),
        place=f"data/{layer}/{index}",
        packed=_packed(reader, where, dataset),
    )


def _packed(reader: Hdf5Reader, where: str, dataset: Any) -> tuple[int, int] | None:
    """The range of the file that holds the numbers, where one does; refuse those not in it."""
    import h5py

    properties = dataset.id.get_create_plist()
    layout = properties.get_layout()
    if properties.get_external_count() or layout == h5py.h5d.VIRTUAL:
        raise reader.error(f"{where}: its numbers are in another file, which is not read")
    length, stored = dataset.size * dataset.dtype.itemsize, dataset.id.get_storage_size()
    grows = GROWTH if layout == h5py.h5d.CHUNKED and properties.get_nfilters() else 1
    if stored * grows < length:  # what claims more is not a file of weights
        raise reader.error(
            f"{where}: {counted(length, 'byte')} of numbers, of which the file has {stored}"
        )
    offset = dataset.id.get_offset()
    if layout != h5py.h5d.CONTIGUOUS or offset is None:
        return None
    if offset + length > reader.source.size:
        raise reader.error(f"{where}: its numbers lie beyond the end of the file")
    return (offset, length) if dataset.dtype == "<f4" else None


def _in_order(
    reader: Hdf5Reader,
    layer: str,
    params: Mapping[str, Mapping[int, Hdf5Blob]],
    shared: Shared,
) -> tuple[Hdf5Blob, ...]:
    """The layer's blobs 0, 1, ..., with those that it shares from where Caffe keeps them."""
    blobs = dict(params[layer])
    for (sharer, index), (owner, number) in shared.items():
        if sharer == layer and index not in blobs and number in params.get(owner, {}):
            blobs[index] = params[owner][number]
    for index in range(len(blobs)):
        if index not in blobs:
            raise reader.error(
                f"layer {layer!r}: it has no param {index}, but {max(blobs)}; shared with "
                "another layer, perhaps; only the net's prototxt can say"
            )
    return tuple(blobs[index] for index in range(len(blobs)))


def hdf5_segments(path: str | Path, layers: Sequence[NewLayer], name: str) -> list[Segment]:
    """Lay out the HDF5 file at `path`, and return the segments of the whole file.

    `path` is overwritten, sparsely: it may be the very file that the segments go to, called
    `name` in errors. Raises OutputError for names that Caffe could not find again in HDF5, and
    for two layers of one name.
    """
    written = [layer for layer in layers if layer.blobs or _has_place(layer.name)]
    _check_names(written, name)
    rooms = _laid_out(path, written, name)
    with open(path, "rb") as file:
        return _between(file, sorted(rooms, key=lambda room: room[0]))


def _has_place(layer: str) -> bool:
    return layer not in ("", ".") and not {"/", "\0"} & set(layer)


def _check_names(layers: Sequence[NewLayer], name: str) -> None:
    met = set()
    for layer in layers:
        if not _has_place(layer.name):
            raise OutputError(
                f"{name}: layer {layer.name!r}: Caffe finds no layer of that name in HDF5 again; "
                "write a .caffemodel"
            )
        if layer.name in met:
            raise OutputError(
                f"{name}: two layers are named {layer.name!r}; HDF5 has place for one"
            )
        met.add(layer.name)


def _laid_out(path: str | Path, layers: Sequence[NewLayer], name: str) -> list[tuple[int, Segment]]:
    """Write the file without its numbers; (offset, numbers) of each param."""
    import h5py

    try:
        # Our own lock is on the file; the oldest layout is what Caffe's HDF5 writes and reads.
        with h5py.File(path, "w", libver=("earliest", "v108"), locking=False) as file:
            data = file.create_group("data")
            return [
                room
                for layer in layers
                for room in _rooms(data.create_group(_encoded(layer.name)), layer)
            ]
    except (OSError, RuntimeError, ValueError) as error:
        reason = " ".join(str(error).split())
        raise OutputError(f"{name}: HDF5 could not be laid out: {reason}") from error


def _encoded(name: str) -> bytes:
    return name.encode("utf-8", "surrogateescape")


def _rooms(group: Any, layer: NewLayer) -> list[tuple[int, Segment]]:
    import h5py

    properties = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    properties.set_layout(h5py.h5d.CONTIGUOUS)
    # Early, so that each has its offset now; never filled, since the numbers are written there.
    properties.set_alloc_time(h5py.h5d.ALLOC_TIME_EARLY)
    properties.set_fill_time(h5py.h5d.FILL_TIME_NEVER)
    properties.set_obj_track_times(False)
    rooms = []
    for index, blob in enumerate(layer.blobs):
        space = (
            h5py.h5s.create_simple(blob.shape) if blob.shape else h5py.h5s.create(h5py.h5s.SCALAR)
        )
        number = str(index).encode()
        dataset = h5py.h5d.create(group.id, number, h5py.h5t.IEEE_F32LE, space, properties)
        segment = numbers_segment(blob)
        if segment.length:
            rooms.append((dataset.get_offset(), segment))
    return rooms


def _between(file: BinaryIO, rooms: Sequence[tuple[int, Segment]]) -> list[Segment]:
    """The rooms, and the bytes that the file has before, between and after them."""
    segments: list[Segment] = []
    for offset, segment in rooms:
        segments += [Bytes(file.read(offset - file.tell())), segment]
        file.seek(offset + segment.length)
    return [*segments, Bytes(file.read())]
