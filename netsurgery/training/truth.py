"""What is true of each cell of a map: the class of the object in the cell's window.

Windows are those that `classify-map` gives (`Geometry.windows`), in pixels of the picture. An
object's distance from a window is that of their centers, in widths of the window across and in
heights of it down, the larger of the two: within 0.5 the object's center lies in the window. Its
size against the window is the larger of width to width and height to height.

* A cell is of an object's class where the object's distance is `near` or less and its size is from
  `scale[0]` to `scale[1]` times the window's; a point fits any window. Of several objects the
  nearest counts, of equally near ones the smallest, of equally large ones the first.
* Else it is IGNORED where any object's distance is `far` or less, and where the window's center
  lies in a box that does not count.
* Else it is background, wherever the window lies.

A picture of which its class is known is one object that fills it.

With a mask a cell is of the class of the pixel at the window's center, or of most pixels whose
middles lie in the window (of equally many the lowest number). It is IGNORED where these do not
count or there are none, as beyond the picture's edge.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, TypeAlias, get_args

import numpy as np

from netsurgery.errors import NetError, SettingsError
from netsurgery.io.argument_types import checks_arguments
from netsurgery.io.memory import Claim, empty
from netsurgery.training.masks import VOID, open_mask
from netsurgery.training.objects import AnnotatedPicture, Box, TrueObject

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from netsurgery.maps.cell_geometry import Geometry

    Boxes = NDArray[np.float64]
    Numbers = NDArray[np.int32]

__all__ = [
    "IGNORED",
    "MaskRule",
    "TrueCells",
    "Truth",
    "TruthRules",
    "label_map",
    "looked_up",
    "open_truth",
    "true_cells",
    "why_missed",
]

#: The label of a cell that does not count.
IGNORED = -1

#: Which pixels of a window say its class: that in the middle, or most of them.
MaskRule: TypeAlias = Literal["center", "majority"]


@checks_arguments()
@dataclass(frozen=True)
class TruthRules:
    """Which cells are of an object's class, which are background, and which do not count.

    near, far: distances of an object from a window, in parts of the window's size; scale: the
    least and the most that an object's size may be, in window sizes; mask: "center" or "majority".
    Raises SettingsError for near < 0, far < near, and scales that are no range.

    >>> TruthRules(near=0.1).far
    0.3
    """

    near: float = 0.15
    far: float = 0.3
    scale: tuple[float, float] = (0.7, 1.4)
    mask: MaskRule = "center"

    def __post_init__(self) -> None:
        low, high = self.scale
        if not 0 <= self.near <= self.far < np.inf:
            raise SettingsError(
                f"near {self.near:g}, far {self.far:g}: expected 0 <= near <= far, parts of the "
                "window's size"
            )
        if not (0 <= low <= high and high > 0):
            raise SettingsError(
                f"scale {low:g}-{high:g}: expected the least and the most of the window's size"
            )
        if self.mask not in get_args(MaskRule):
            raise SettingsError(f"mask {self.mask!r}: expected {', '.join(get_args(MaskRule))}")


@dataclass(frozen=True, eq=False)
class Truth:
    """What is true of a picture, in its pixels: objects and boxes that do not count, or a mask.

    numbers: the class's number of each object. mask: H x W, the class's number of each pixel,
    IGNORED where it does not count; None without one.
    """

    objects: tuple[TrueObject, ...] = ()
    numbers: tuple[int, ...] = ()
    ignored: tuple[Box, ...] = ()
    mask: Numbers | None = None


class TrueCells(NamedTuple):
    """Labels of cells, rows x columns, and the number of the object each is of, -1 for none."""

    labels: Numbers
    owners: Numbers


def open_truth(
    picture: AnnotatedPicture, size: tuple[int, int], classes: Mapping[str, int]
) -> Truth:
    """What is annotated of a picture of that height and width.

    classes: the number of each class that its annotations may name. Raises FormatError where the
    annotations are of another picture, and what `open_mask` raises.
    """
    picture.check_size(size)
    if picture.mask is None:
        objects = picture.objects
        if picture.whole is not None:
            objects = (TrueObject(picture.whole, (0, 0, size[1], size[0])),)
        numbers = tuple(classes[thing.label] for thing in objects)
        return Truth(objects, numbers, picture.ignored)
    values = open_mask(picture.mask, size)
    names = picture.mask.names
    table = np.full(max(len(names), VOID + 1), IGNORED, np.int32)
    table[: len(names)] = [classes[name] for name in names]
    return Truth(mask=looked_up(table, values, f"{picture.mask.path}: the classes of its pixels"))


def looked_up(table: Numbers, numbers: NDArray[Any], what: str) -> Numbers:
    """The table's values at the numbers, H x W; -1 is its last. Raises MemoryLimitError."""
    result: Numbers = empty(numbers.shape, "i4", what)
    for row, own in zip(result, numbers, strict=True):  # an index takes eight bytes
        row[:] = table[own]
    return result


def label_map(
    picture: AnnotatedPicture,
    geometry: Geometry,
    shape: tuple[int, int],
    classes: Mapping[str, int],
    background: int,
    rules: TruthRules,
) -> Numbers:
    """The label of each cell of a picture's map of `shape`, rows x columns, int32.

    geometry: where the map's cells lie, as a ClassMap has it. classes: the number of each class
    that the annotations may name; background: that of a cell in which there is none. A cell that
    does not count is IGNORED. Raises NetError where the cells' places are not known, FormatError
    where the picture is not the one annotated, what opening a mask raises, MemoryLimitError.

    >>> from netsurgery.maps.cell_geometry import Geometry
    >>> from netsurgery.maps.transformer import place
    >>> geometry = Geometry((10, 10), (20, 20), place((50, 60), (50, 60)))
    >>> picture = AnnotatedPicture("a.png", (TrueObject("cat", (11, 11, 29, 29)),))
    >>> label_map(picture, geometry, (4, 5), {"cat": 0}, 1, TruthRules(far=0.5))
    array([[-1, -1, -1,  1,  1],
           [-1,  0, -1,  1,  1],
           [-1, -1, -1,  1,  1],
           [ 1,  1,  1,  1,  1]], dtype=int32)
    """
    windows = geometry.windows(*shape)
    if windows is None:
        raise NetError("the net does not say its total stride, so nothing is known of its cells")
    truth = open_truth(picture, geometry.placement.image, classes)
    return true_cells(truth, windows, background, rules).labels


def true_cells(truth: Truth, windows: Boxes, background: int, rules: TruthRules) -> TrueCells:
    """The label of each cell, and the object that it is of.

    windows: rows x columns x 4, [x0, y0, x1, y1] in the picture's pixels; all of a row have the
    same height, all of a column the same width. Raises MemoryLimitError.
    """
    rows, columns = windows.shape[:2]
    down, across = _axes(windows)
    with Claim(32 * rows * columns, "the truth of a map's cells"):
        owners = np.full((rows, columns), -1, np.int32)
        if truth.mask is not None:
            return TrueCells(_of_mask(truth.mask, down, across, rules), owners)
        return _of_objects(truth, down, across, owners, background, rules)


@dataclass(frozen=True, eq=False)
class _Axis:
    """Where the windows lie along an axis."""

    low: Boxes
    high: Boxes

    @cached_property
    def centers(self) -> Boxes:
        return (self.low + self.high) / 2

    @cached_property
    def sizes(self) -> Boxes:
        return self.high - self.low

    def distances(self, at: float) -> Boxes:
        """Of a place from each window's center, in windows' sizes."""
        return np.abs(at - self.centers) / self.sizes

    def within(self, distances: Boxes, most: float) -> slice:
        """The windows that are no further: neighbours, as all of them are in order."""
        (close,) = (distances <= most).nonzero()
        return slice(int(close[0]), int(close[-1]) + 1) if len(close) else slice(0, 0)

    def inside(self, low: float, high: float) -> slice:
        """The windows whose centers lie from `low` to before `high`."""
        close = np.flatnonzero((low <= self.centers) & (self.centers < high))
        return slice(int(close[0]), int(close[-1]) + 1) if len(close) else slice(0, 0)


def _axes(windows: Boxes) -> tuple[_Axis, _Axis]:
    """Where windows lie down and across."""
    return _Axis(windows[:, 0, 1], windows[:, 0, 3]), _Axis(windows[0, :, 0], windows[0, :, 2])


def _of_objects(
    truth: Truth,
    down: _Axis,
    across: _Axis,
    owners: Numbers,
    background: int,
    rules: TruthRules,
) -> TrueCells:
    labels = np.full(owners.shape, background, np.int32)
    for left, top, right, bottom in truth.ignored:
        labels[down.inside(top, bottom), across.inside(left, right)] = IGNORED
    best = np.full(owners.shape, np.inf)  # the distance of the nearest object that fits
    # The smallest come first, and stay where others are no nearer.
    order = sorted(range(len(truth.objects)), key=lambda number: _area(truth.objects[number]))
    for number in order:
        thing = truth.objects[number]
        x, y = thing.center
        from_rows, from_columns = down.distances(y), across.distances(x)
        rows, columns = down.within(from_rows, rules.far), across.within(from_columns, rules.far)
        if rows.start == rows.stop or columns.start == columns.stop:
            continue
        distance = np.maximum(from_rows[rows, np.newaxis], from_columns[columns])
        size = _size(thing, down.sizes[rows, np.newaxis], across.sizes[columns])
        fits = (rules.scale[0] <= size) & (size <= rules.scale[1]) | thing.is_point
        nearest = fits & (distance <= rules.near) & (distance < best[rows, columns])
        best[rows, columns][nearest] = distance[nearest]
        owners[rows, columns][nearest] = number
        labels[rows, columns] = IGNORED
    owned = owners >= 0
    labels[owned] = np.array(truth.numbers, np.int32)[owners[owned]]
    return TrueCells(labels, owners)


def _area(thing: TrueObject) -> float:
    width, height = thing.size
    return width * height


def _size(thing: TrueObject, heights: Boxes, widths: Boxes) -> Boxes:
    """An object's size against windows of these."""
    width, height = thing.size
    return np.maximum(height / heights, width / widths)


def _of_mask(mask: Numbers, down: _Axis, across: _Axis, rules: TruthRules) -> Numbers:
    if rules.mask == "center":
        return _at_centers(mask, down, across)
    return _most_pixels(mask, down, across)


def _at_centers(mask: Numbers, down: _Axis, across: _Axis) -> Numbers:
    labels = np.full((len(down.low), len(across.low)), IGNORED, np.int32)
    places = [
        (np.flatnonzero((at >= 0) & (at < side)), at.astype(np.intp))
        for at, side in zip(
            (np.floor(down.centers), np.floor(across.centers)), mask.shape, strict=True
        )
    ]
    (rows, y), (columns, x) = places
    labels[np.ix_(rows, columns)] = mask[np.ix_(y[rows], x[columns])]
    return labels


def _most_pixels(mask: Numbers, down: _Axis, across: _Axis) -> Numbers:
    rows, columns = (
        _pixels(axis, side) for axis, side in zip((down, across), mask.shape, strict=True)
    )
    labels = np.full((len(down.low), len(across.low)), IGNORED, np.int32)
    most = np.zeros(labels.shape, np.int64)
    with Claim(10 * mask.size, "the pixels of a class"):
        # What does not count is the lowest number.
        for number in np.unique(mask):
            counts = _counts(mask == number, rows, columns)
            more = counts > most
            most[more], labels[more] = counts[more], number
    return labels


def _pixels(axis: _Axis, side: int) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """The first pixel of each window whose middle lies in it, and the one after the last."""
    first, last = (
        np.clip(np.ceil(places - 0.5), 0, side).astype(np.intp) for places in (axis.low, axis.high)
    )
    return first, last


def _counts(
    pixels: NDArray[np.bool_],
    rows: tuple[NDArray[np.intp], NDArray[np.intp]],
    columns: tuple[NDArray[np.intp], NDArray[np.intp]],
) -> NDArray[np.int64]:
    """How many of the pixels each window has: sums of all above and left of its corners."""
    height, width = pixels.shape
    sums = np.zeros((height + 1, width + 1), np.int64)
    np.cumsum(pixels, axis=0, out=sums[1:, 1:])
    np.cumsum(sums[1:, 1:], axis=1, out=sums[1:, 1:])
    (top, bottom), (left, right) = rows, columns
    result: NDArray[Any] = (
        sums[np.ix_(bottom, right)]
        - sums[np.ix_(top, right)]
        - sums[np.ix_(bottom, left)]
        + sums[np.ix_(top, left)]
    )
    return result


def why_missed(
    truth: Truth, owners: Numbers, windows: Boxes, rules: TruthRules
) -> Iterator[tuple[int, str]]:
    """The numbers of the objects of which no cell is, and why.

    "too large", "too small" (for the windows), "too near the border" or "between two cells" (no
    window's center is near), "another is nearer".
    """
    got = set(np.unique(owners).tolist())
    down, across = _axes(windows)
    for number, thing in enumerate(truth.objects):
        if number not in got:
            yield number, _why(thing, down, across, rules)


def _why(thing: TrueObject, down: _Axis, across: _Axis, rules: TruthRules) -> str:
    x, y = thing.center
    size = _size(thing, down.sizes[:1], across.sizes[:1]).item()
    if not thing.is_point and size > rules.scale[1]:
        return "too large"
    if not thing.is_point and size < rules.scale[0]:
        return "too small"
    if (down.distances(y) <= rules.near).any() and (across.distances(x) <= rules.near).any():
        return "another is nearer"
    between = all(
        axis.centers[0] <= at <= axis.centers[-1] for axis, at in ((down, y), (across, x))
    )
    return "between two cells" if between else "too near the border"
