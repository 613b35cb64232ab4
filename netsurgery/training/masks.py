"""A folder of masks: for each picture a PNG of the same name whose pixels are numbers of classes.

Number i is line i, from 0 on, of `classes.txt` in that folder, or the i-th of the names given. 255
stands for what does not count, as VOC draws the outlines of objects, unless there are 256 names.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from netsurgery.errors import FormatError
from netsurgery.io.shape_text import shape_text
from netsurgery.io.wording import argument, counted
from netsurgery.maps.number_picture import read_numbers
from netsurgery.maps.picture_list import PICTURE_ENDINGS
from netsurgery.training.objects import AnnotatedPicture, Annotations, TrueMask

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["VOID", "open_mask", "read_masks"]

#: The number of pixels that do not count.
VOID = 255


def read_masks(files: Sequence[Path], images: Path, classes: tuple[str, ...]) -> Annotations:
    """The annotations of masks, none of which is opened. Raises FormatError."""
    if not classes:
        raise FormatError(
            f"{files[0].parent}: the masks' numbers have no names; expected classes.txt beside "
            f"them, one name a line from number 0 on, or {argument('--classes')}"
        )
    beside = _pictures(images)
    pictures = []
    for path in files:
        named = beside.get(path.stem, [])
        if len(named) != 1:
            listed = ", ".join(each.name for each in named[:3]) or "none"
            raise FormatError(
                f"{path}: expected one picture {path.stem}.* in {images}, found {listed}"
            )
        mask = TrueMask(str(path), classes)
        pictures.append(AnnotatedPicture(str(named[0]), mask=mask, name=named[0].name))
    return Annotations(classes, tuple(pictures))


def _pictures(images: Path) -> dict[str, list[Path]]:
    """The pictures of a folder by their names without endings."""
    named: dict[str, list[Path]] = {}
    for path in sorted(images.iterdir()):
        if path.suffix.lower() in PICTURE_ENDINGS and os.path.isfile(path):
            named.setdefault(path.stem, []).append(path)
    return named


def open_mask(mask: TrueMask, size: tuple[int, int]) -> NDArray[Any]:
    """The numbers of a mask of a picture of that height and width, H x W.

    Raises ImageError for what is no mask, FormatError for one of another size and for a number
    without a name, MemoryLimitError.
    """
    numbers = read_numbers(mask.path)
    if numbers.shape != size:
        raise FormatError(
            f"{mask.path}: a mask of {shape_text(numbers.shape)}, but the picture is "
            f"{shape_text(size)}"
        )
    unknown = (numbers >= len(mask.names)) & (numbers != VOID)
    if unknown.any():
        row, column = (int(axis) for axis in np.argwhere(unknown)[0])
        raise FormatError(
            f"{mask.path}: the pixel at row {row}, column {column} is {int(numbers[row, column])}, "
            f"but there are {counted(len(mask.names), 'name')}, of 0 to {len(mask.names) - 1}"
        )
    return numbers
