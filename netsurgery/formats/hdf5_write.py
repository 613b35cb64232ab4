"""Weights written in Caffe's HDF5 form.

HDF5 itself lays out an empty file with room for every param; what is between the rooms is then
read back, and the file becomes a list of segments as any other: those few bytes, and ranges of
the files that the params come from.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, BinaryIO

from netsurgery.errors import OutputError
from netsurgery.formats.caffemodel_new import NewLayer, numbers_segment
from netsurgery.io.segments import Literal, Segment

__all__ = ["hdf5_segments"]


def hdf5_segments(path: str | Path, layers: Sequence[NewLayer], name: str) -> list[Segment]:
    """Lay out the HDF5 file at `path`, and return the segments of the whole file.

    `path` is overwritten, sparsely: it may be the very file that the segments go to, called
    `name` in errors. Raises OutputError for names that Caffe could not find again in HDF5, and
    for two layers of one name.
    """
    kept = [layer for layer in layers if layer.blobs or _has_place(layer.name)]
    _check_names(kept, name)
    rooms = _laid_out(path, kept, name)
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

    made = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    made.set_layout(h5py.h5d.CONTIGUOUS)
    made.set_alloc_time(h5py.h5d.ALLOC_TIME_EARLY)
    made.set_fill_time(h5py.h5d.FILL_TIME_NEVER)
    made.set_obj_track_times(False)
    rooms = []
    for index, blob in enumerate(layer.blobs):
        space = (
            h5py.h5s.create_simple(blob.shape) if blob.shape else h5py.h5s.create(h5py.h5s.SCALAR)
        )
        number = str(index).encode()
        dataset = h5py.h5d.create(group.id, number, h5py.h5t.IEEE_F32LE, space, made)
        segment = numbers_segment(blob)
        if segment.length:
            rooms.append((dataset.get_offset(), segment))
    return rooms


def _between(file: BinaryIO, rooms: Sequence[tuple[int, Segment]]) -> list[Segment]:
    """The rooms, and the bytes that the file has before, between and behind them."""
    segments: list[Segment] = []
    for offset, segment in rooms:
        segments += [Literal(file.read(offset - file.tell())), segment]
        file.seek(offset + segment.length)
    return [*segments, Literal(file.read())]
