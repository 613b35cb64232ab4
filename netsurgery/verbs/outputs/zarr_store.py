"""A map as a Zarr store, which xarray and others open part by part."""

from __future__ import annotations

from math import isqrt
from typing import TYPE_CHECKING, Any

from netsurgery.verbs.outputs.record import FolderContent, MapView, Output

if TYPE_CHECKING:
    from netsurgery.maps.classmap import ClassMap

__all__ = ["OUTPUT"]

#: Values in a chunk: all classes of some cells.
_CHUNK = 1 << 20


def _of_map(class_map: ClassMap, view: MapView) -> FolderContent:
    return FolderContent(lambda path: _write(path, class_map))


def _write(path: str, class_map: ClassMap) -> None:
    """`values`, C x H x W, and where cells are, the centers `y` and `x` of their windows."""
    import zarr

    from netsurgery.maps.cell_places import first_window
    from netsurgery.maps.cell_raster import CellRaster

    group = zarr.create_group(path, zarr_format=3, attributes=_attributes(class_map))
    classes, (height, width) = class_map.classes, class_map.shape
    side = max(1, isqrt(_CHUNK // classes))
    down, across = min(side, height), min(side, width)
    values = group.create_array(
        "values", shape=class_map.values.shape, chunks=(classes, down, across), dtype="float32",
        dimension_names=("class", "y", "x"),
    )  # fmt: skip
    # One after another, each by one writer: of two that write parts of a chunk one loses.
    for top in range(0, height, down):
        for left in range(0, width, across):
            part = slice(None), slice(top, top + down), slice(left, left + across)
            values[part] = class_map.values[part]
    if first_window(class_map) is not None:
        grid = CellRaster.of(class_map)
        for axis, name in enumerate("yx"):
            centers = grid.centers(axis, class_map.shape[axis])
            array = group.create_array(
                name, shape=centers.shape, dtype="float64", dimension_names=(name,)
            )
            array[:] = centers


def _attributes(class_map: ClassMap) -> dict[str, Any]:
    """What the JSON of `classify-map` says, but for the cells; JSON has no tuples."""
    record = {
        "image": class_map.image,
        "image_size": list(class_map.geometry.placement.image),
        "blob": class_map.blob,
        "is_probability": class_map.is_probability,
        "background": class_map.background,
        "engine": class_map.engine,
        "labels": None if class_map.labels is None else list(class_map.labels.lines),
    }
    from netsurgery.maps.cell_places import first_window

    windows = first_window(class_map) or {}
    return record | {f"window_{key}": value for key, value in windows.items()}


OUTPUT = Output(
    "zarr",
    ".zarr",
    "Write the whole map as a Zarr store: values, C x H x W, the centers of the cells' windows in "
    "the image as y and x, labels and windows as attributes; a folder of them for several images "
    "(with netsurgery[zarr]).",
    of_map=_of_map,
    reads=("window",),
    signs=("zarr.json",),
    needs=("zarr", "zarr"),
)
