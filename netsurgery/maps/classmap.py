"""A class map: what a fully convolutional net says about every window of a picture.

Cell (row, column) of the map classifies one window, a box of the net's input that `net.field`
places. `Geometry` brings it to pixels of the original picture.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from netsurgery.errors import NetError
from netsurgery.formats.labels import Labels
from netsurgery.io.memory import Claim
from netsurgery.maps.drawing import CLASS_COLORS
from netsurgery.maps.transformer import Placement

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from PIL import Image

    from netsurgery.maps.image import Picture
    from netsurgery.net.field import Cells

    Array = NDArray[np.float32]
    Boxes = NDArray[np.float64]
    Numbers = NDArray[np.intp]

__all__ = [
    "ClassMap",
    "Found",
    "Geometry",
    "HoldsNaN",
    "check_class",
    "find_label",
    "found_text",
    "map_memory",
    "map_text",
]


#: What a cell takes in the classes found, and in the map as text.
_CELL = 64
#: The same for a cell, and each class of it, as JSON's values and as text; a number sorted.
_CELL_AS_JSON, _CLASS_AS_JSON, _SORTED = 1500, 500, 16


def map_memory(shape: tuple[int, ...]) -> int:
    """Bytes of what is worked out of a map of C x H x W values, beside them."""
    return math.prod(shape) + _CELL * math.prod(shape[1:])


@dataclass(frozen=True)
class Geometry:
    """Where cells lie.

    stride: input pixels from one cell to the next, window: the window's size in input pixels, both
    (height, width), or None where they are not known; placement: where the picture lies in the
    input; start: the first cell's window begins there, in input pixels.
    """

    stride: tuple[float, float] | None
    window: tuple[float, float] | None
    placement: Placement
    start: tuple[float, float] = (0.0, 0.0)

    @classmethod
    def of(cls, cells: Cells | None, placement: Placement) -> Geometry:
        """That of the cells placed, None where nothing is known of them."""
        if cells is None:
            return cls(None, None, placement)
        stride, window, start = (
            (float(height), float(width))
            for height, width in (cells.stride, cells.size, cells.start)
        )
        return cls(stride, window, placement, start)

    def windows(self, rows: int, columns: int) -> Boxes | None:
        """Each cell's window, rows x columns x 4: [x0, y0, x1, y1] in pixels of the picture.

        Half open and not clipped: a window may pass the picture's edge, by the net's padding, by
        Caffe's rounding up of poolings or by --fit. None where stride or window are not known.
        """
        if self.stride is None or self.window is None:
            return None
        return self._boxes(rows, columns, self.start, self.window)

    def tiles(self, rows: int, columns: int) -> Boxes | None:
        """Like `windows`, but each cell's share of the picture: a stride wide, about the window's
        centre. Tiles do not overlap."""
        if self.stride is None or self.window is None:
            return None
        # Cells that do not move (a stride of 0) share all of their window.
        size = self.stride[0] or self.window[0], self.stride[1] or self.window[1]
        top, left = (self.start[i] + (self.window[i] - size[i]) / 2 for i in range(2))
        return self._boxes(rows, columns, (top, left), size)

    def _boxes(
        self, rows: int, columns: int, start: tuple[float, float], size: tuple[float, float]
    ) -> Boxes:
        assert self.stride is not None
        boxes = np.empty((rows, columns, 4))
        for axis, count in ((0, rows), (1, columns)):
            low = start[axis] + self.stride[axis] * np.arange(count, dtype=np.float64)
            shape = (count, 1) if axis == 0 else (1, count)
            boxes[:, :, 1 - axis] = self.placement.to_image(low, axis).reshape(shape)
            boxes[:, :, 3 - axis] = self.placement.to_image(low + size[axis], axis).reshape(shape)
        return boxes


class HoldsNaN(NetError):
    """A map with NaN in it has no likeliest classes; `values`, C x H x W, are there to look at."""

    def __init__(self, what: str, values: Array) -> None:
        super().__init__(what)
        self.values = values


@dataclass(frozen=True)
class Found:
    """A class that is the likeliest of some cell: how many cells, and its highest value there."""

    number: int
    label: str
    cells: int
    best: float


@dataclass(frozen=True, eq=False)
class ClassMap:
    """A map of one picture.

    image: the picture's name. values: float32 C x H x W, no NaN. blob: the blob they are from.
    scored: "probability" where a Softmax over the classes made the blob, else "score".
    input: the name of the net's input. Raises HoldsNaN for values that hold NaN.
    """

    image: str
    values: Array
    blob: str
    scored: str
    input: str
    geometry: Geometry
    labels: Labels | None = None

    #: The memory of what is worked out of the values.
    claim: Claim = field(init=False, repr=False)

    def __post_init__(self) -> None:
        claim = Claim(map_memory(self.values.shape), f"{self.image}: its map")
        object.__setattr__(self, "claim", claim)
        bad = np.isnan(self.values).any(axis=0)
        if bad.any():
            raise HoldsNaN(
                f"{self.image}: blob {self.blob!r} holds NaN in {int(bad.sum())} of {bad.size} "
                "cells; check the weights and the preprocessing",
                self.values,
            )
        if self.labels is not None:
            self.labels.check(self.classes, self.blob)

    @property
    def classes(self) -> int:
        """C, the number of classes."""
        return int(self.values.shape[0])

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns."""
        return int(self.values.shape[1]), int(self.values.shape[2])

    def argmax(self) -> Numbers:
        """The likeliest class of each cell, H x W; of equals the lowest number."""
        numbers: Numbers = self.values.argmax(axis=0)
        return numbers

    def top(self, count: int) -> Numbers:
        """The `count` likeliest classes of each cell, likeliest first, count x H x W."""
        if count == 1:  # a sort of a large map takes seconds
            return self.argmax()[np.newaxis]
        self.claim.at_least(_SORTED * self.values.size, f"{self.image}: the order of its classes")
        ordered: Numbers = np.argsort(-self.values, axis=0, kind="stable")
        return ordered[:count]

    def label(self, number: int) -> str:
        """The class's line of the labels, or "" without labels."""
        return "" if self.labels is None else self.labels[number]

    def find_class(self, text: str) -> int | None:
        """The class that "max" (None: the likeliest of each cell), a number or a label names.

        Raises NetError for a number the blob has not, FormatError for no label or several.
        """
        if text.strip().casefold() == "max":
            return None
        if text.isascii() and text.isdigit():
            return check_class(int(text), self.classes, self.blob)
        return find_label(text, self.labels)

    def windows(self) -> Boxes | None:
        """Each cell's window in the picture, H x W x 4; None where it cannot be told."""
        return self.geometry.windows(*self.shape)

    def found(self) -> list[Found]:
        """The classes that some cell shows, most cells first."""
        numbers = self.argmax()
        best = self.values.max(axis=0)
        found = [
            Found(int(number), self.label(number), int(count), float(best[numbers == number].max()))
            for number, count in zip(*np.unique(numbers, return_counts=True), strict=True)
        ]
        return sorted(found, key=lambda one: (-one.cells, -one.best, one.number))

    def to_picture(
        self, picture: Picture | None = None, number: int | str | None = None
    ) -> Image.Image:
        """The picture, the map as heat, and the map on the picture, side by side; a Pillow image.

        picture: what the map is of, None to read the file `image` again. number: the class whose
        values are the heat, by its number or label; None for each cell's likeliest. Raises
        NetError where the cells' places are not known or there is no such class, ImageError.
        """
        from netsurgery.maps.heatmap import draw_map
        from netsurgery.maps.image import read_picture

        seen = read_picture(self.image) if picture is None else picture
        chosen = None if number is None else self.find_class(str(number))
        return draw_map(self, seen, chosen)

    def to_json(self, top_k: int = 1) -> dict[str, Any]:
        """The map as plain values; not finite numbers become None, which JSON has a word for."""
        (rows, columns), put = self.shape, self.geometry.placement
        many = min(max(top_k, 1), self.classes)
        label = 0 if self.labels is None else max(map(len, self.labels.lines))
        each = _CELL_AS_JSON + (many + 1) * (_CLASS_AS_JSON + 8 * label)
        count = each * rows * columns + _SORTED * self.values.size
        self.claim.at_least(count, f"{self.image}: its map as JSON")
        windows = self.windows()
        top = self.top(many)
        return {
            "image": self.image,
            "image_size": _size(put.image),
            "input": {"name": self.input, **_size(put.input)},
            "map": {**_size(self.shape), "classes": self.classes},
            "blob": self.blob,
            "cells": [
                {
                    "row": row,
                    "column": column,
                    "window": None if windows is None else windows[row, column].tolist(),
                    **self._says(int(top[0, row, column]), row, column),
                    **self._more(top[:, row, column], row, column, top_k),
                }
                for row in range(rows)
                for column in range(columns)
            ],
        }

    def _says(self, number: int, row: int, column: int) -> dict[str, Any]:
        value = self.values[number, row, column]
        return {
            "class": number,
            "label": None if self.labels is None else self.labels[number],
            # The shortest text that is this float32, not the float64 next to it.
            self.scored: float(str(value)) if np.isfinite(value) else None,
        }

    def _more(self, top: Numbers, row: int, column: int, top_k: int) -> dict[str, Any]:
        if top_k < 2:
            return {}
        return {"top": [self._says(int(number), row, column) for number in top]}


def check_class(number: int, classes: int, blob: str) -> int:
    """`number`, where the blob has that class. Raises NetError."""
    if number >= classes:
        known = "one class, 0" if classes == 1 else f"{classes} classes, 0 to {classes - 1}"
        raise NetError(f"class {number}: blob {blob!r} has {known}")
    return number


def find_label(text: str, labels: Labels | None) -> int:
    """The class that a label names. Raises NetError without labels, FormatError as `find` does."""
    if labels is None:
        raise NetError(
            f"class {text!r} is neither a number nor max, and there are no labels (--labels FILE)"
        )
    return labels.find(text)


def _size(size: tuple[int, int]) -> dict[str, int]:
    return {"height": size[0], "width": size[1]}


def map_text(found: ClassMap, color: bool = False) -> str:
    """The likeliest class of each cell, a line for each row, numbers right-aligned.

    With `color` (a terminal's), each of the most frequent classes has a colour of its own.
    """
    ranks = {one.number: rank for rank, one in enumerate(found.found())} if color else {}
    numbers = found.argmax()
    width = len(str(numbers.max()))
    return "\n".join(
        " ".join(_painted(f"{number:{width}d}", ranks.get(int(number))) for number in row)
        for row in numbers
    )


def found_text(found: ClassMap, color: bool = False, clean: Callable[[str], str] = str) -> str:
    """The classes found, most frequent first: cells, class, best value, label.

    `clean` makes a label fit to print.
    """
    classes = found.found()
    cells = max(len("cells"), *(len(str(one.cells)) for one in classes))
    numbers = max(len("class"), *(len(str(one.number)) for one in classes))
    best = [f"{one.best:.4g}" for one in classes]
    values = max(len(f"best {found.scored}"), *map(len, best))
    head = f"{'cells':>{cells}}  {'class':>{numbers}}  {f'best {found.scored}':>{values}}"
    if found.labels is not None:
        head += "  label"
    lines = [head]
    for rank, (one, value) in enumerate(zip(classes, best, strict=True)):
        number = _painted(f"{one.number:>{numbers}}", rank if color else None)
        lines.append(f"{one.cells:>{cells}}  {number}  {value:>{values}}{clean(_label(one))}")
    return "\n".join(lines)


def _label(one: Found) -> str:
    return f"  {one.label}" if one.label else ""


def _painted(text: str, rank: int | None) -> str:
    if rank is None or rank >= len(CLASS_COLORS):
        return text
    red, green, blue = CLASS_COLORS[rank]
    return f"\x1b[38;2;{red};{green};{blue}m{text}\x1b[0m"
