"""A map as a GeoTIFF, a pixel a cell or a pixel of its picture, which lies over it in a GIS."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from netsurgery.io.files import OutputFile
from netsurgery.io.names import escaped, utf8_path
from netsurgery.io.scratch import scratch_folder
from netsurgery.io.segments import FileRange, FileSource
from netsurgery.io.terminal import no_warnings
from netsurgery.verbs.outputs.record import Content, MapView, Output, trouble_named

if TYPE_CHECKING:
    from netsurgery.maps.cell_raster import CellRaster
    from netsurgery.maps.classmap import ClassMap
    from netsurgery.maps.image import Picture

__all__ = ["OUTPUT"]

#: Bands before those of classes: the likeliest class and its score.
_FIRST = 2


def _of_map(class_map: ClassMap, view: MapView) -> Content:
    from netsurgery.maps.cell_raster import CellRaster

    numbers = _classes(class_map, view.class_)
    raster: _Cells | _Pixels
    if view.upsample:
        raster = _Pixels(class_map)
    else:
        raster = _Cells(class_map, CellRaster.of(class_map), _FIRST + len(numbers))

    def write(output: OutputFile) -> None:
        # GDAL replaces the file that it is to write, and an output must stay the one it is.
        with scratch_folder() as folder, trouble_named(output.path):
            path = str(folder / "map.tif")
            _write(path, class_map, numbers, raster)
            with FileSource(path) as file:
                output.write_segments([FileRange(file, 0, os.path.getsize(path))])

    return write


def _classes(class_map: ClassMap, named: str) -> Sequence[int]:
    """The classes that have a band of their own."""
    from netsurgery.maps.class_names import EACH

    if named.strip().casefold() == EACH:
        return [row.number for row in class_map.foreground()]
    return class_map.names.find_several(named) or []


class _Scores(NamedTuple):
    """Of some rows: the scores, C x rows x W, the likeliest classes, and which pixels have none."""

    values: Any
    likeliest: Any
    outside: Any


class _Cells:
    """A pixel a cell; bands: how many the file has, whose blocks are to be small."""

    def __init__(self, class_map: ClassMap, grid: CellRaster, bands: int) -> None:
        self.class_map, self.grid, self.bands = class_map, grid, bands
        self.shape = class_map.shape

    def transform(self, of_picture: Any) -> Any:
        return _of_cells(of_picture, self.grid)

    def blocks(self) -> Iterator[tuple[slice, _Scores]]:
        from netsurgery.maps.row_blocks import row_blocks

        values = self.class_map.values
        outside = self.grid.outside(self.shape, self.class_map.picture.size)
        likeliest = self.class_map.likeliest
        for rows in row_blocks((self.bands, *self.shape)):
            yield rows, _Scores(values[:, rows], likeliest[rows], outside[rows])


class _Pixels:
    """A pixel for each of the picture's."""

    def __init__(self, class_map: ClassMap) -> None:
        from netsurgery.maps.upsampled import Upsampled

        self.upsampled = Upsampled.of(class_map)
        self.shape = self.upsampled.shape[1:]

    def transform(self, of_picture: Any) -> Any:
        # The picture's own pixels are what GDAL takes a file for that says nothing.
        return None if of_picture == type(of_picture).identity() else of_picture

    def blocks(self) -> Iterator[tuple[slice, _Scores]]:
        for rows, block in self.upsampled.blocks():
            outside = block[0] != block[0]  # NaN, which an argmax would take for the largest
            yield rows, _Scores(block, block.argmax(axis=0), outside)


def _write(
    path: str, class_map: ClassMap, numbers: Sequence[int], raster: _Cells | _Pixels
) -> None:
    """Band 1: the likeliest class, band 2: its score, then a band of each of `numbers`."""
    import numpy as np
    import rasterio
    from rasterio.windows import Window

    from netsurgery.maps.legend import class_name

    height, width = raster.shape
    of_picture, crs = _georeference(class_map.picture)
    # It warns of pictures that lie nowhere on the earth.
    with no_warnings, rasterio.open(
        path, "w", driver="GTiff", width=width, height=height, count=_FIRST + len(numbers),
        dtype="float32", nodata=np.nan, crs=crs, transform=raster.transform(of_picture),
        compress="deflate", bigtiff="if_safer",
    ) as file:  # fmt: skip
        for rows, (values, first, outside) in raster.blocks():
            bands = [first, np.take_along_axis(values, first[np.newaxis], axis=0)[0]]
            block = np.stack([*bands, *(values[number] for number in numbers)]).astype(np.float32)
            block[:, outside] = np.nan
            file.write(block, window=Window(0, rows.start, width, rows.stop - rows.start))
        scored = class_map.scored
        names = ["likeliest class", f"its {scored}"]
        names += [f"{scored} of {class_name(class_map, number)}" for number in numbers]
        file.descriptions = [escaped(name) for name in names]
        tags = {"image": class_map.image, "blob": class_map.blob, "engine": class_map.engine}
        file.update_tags(**{key: escaped(text) for key, text in tags.items()})
        if class_map.labels is not None:
            counts = class_map.summary()
            file.update_tags(1, **{f"class_{each.number}": escaped(each.label) for each in counts})


def _of_cells(of_picture: Any, grid: CellRaster) -> Any:
    """From cells, (column, row), to where the picture's transform brings their pixels."""
    (top, left), (down, across), (a, b, c, d, e, f) = grid.corner, grid.step, of_picture[:6]
    return type(of_picture)(
        a * across, b * down, a * left + b * top + c,
        d * across, e * down, d * left + e * top + f,
    )  # fmt: skip


def _georeference(picture: Picture) -> tuple[Any, Any]:
    """From pixels of the picture to places, and the system of these; of no GeoTIFF, the pixels."""
    import rasterio
    from rasterio.errors import NotGeoreferencedWarning

    from netsurgery.maps.image import is_turned, picture_file

    pixels = rasterio.Affine.identity()
    name = Path(picture_file(picture))
    # The places of a file are not those of a picture that was turned upright.
    if name.suffix.lower() not in (".tif", ".tiff") or is_turned(name):
        return pixels, None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", NotGeoreferencedWarning)
            with (
                utf8_path(picture_file(picture)) as path,
                rasterio.open(path, driver="GTiff") as file,
            ):
                # Another picture of that name, which is no file, has other pixels.
                if (file.height, file.width) == picture.size:
                    return file.transform, file.crs
    except OSError:  # rasterio's own are such
        pass
    return pixels, None


OUTPUT = Output(
    "geotiff",
    ".tif",
    "Write a GeoTIFF with a pixel for each cell: the likeliest class, its score, and the scores of "
    "the classes that are named; in the coordinates of the image if it is a GeoTIFF, else in its "
    "pixels; a folder for several images (with netsurgery[geo]).",
    of_map=_of_map,
    reads=("class_", "window", "upsample"),
    needs=("rasterio", "geo"),
)
