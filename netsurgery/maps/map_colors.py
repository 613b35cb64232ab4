"""What the cells of a map show in its picture: classes in colour, or the values of one as heat."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from netsurgery.drawing.colors import Color
from netsurgery.io.wording import counted
from netsurgery.maps.color_scale import ColorScale, finite_range
from netsurgery.maps.legend import class_name
from netsurgery.maps.palette import colors_by_class

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from netsurgery.maps.classmap import ClassMap
    from netsurgery.maps.picture_look import PictureLook

__all__ = ["MapColors", "heat", "highest", "likeliest", "selected"]

#: A cell of the lowest value is so opaque, as a share of one of the highest.
_FAINT_CLASS, _FAINT_HEAT = 0.4, 0.45


@dataclass(frozen=True, eq=False)
class MapColors:
    """title: what is shown. colors: uint8 R x C x 4. shown: the class that each cell is painted
    as, -1 for none; None where the colours are of values. scores: R x C, of what is shown. scale:
    of the bar beside the picture, None where classes are shown or there is but one value.
    by_class: the colours of the classes, in the order of the legend. is_likeliest: whether the
    classes are the likeliest ones, so that the background is not painted.
    """

    title: str
    colors: NDArray[np.uint8]
    shown: NDArray[np.intp] | None
    scores: NDArray[np.float32]
    scale: ColorScale | None
    by_class: Mapping[int, Color]
    is_likeliest: bool = False

    def opaque(self) -> MapColors:
        """The same, and nothing shows through the cells."""
        colors = self.colors.copy()
        colors[:, :, 3] = 255
        return replace(self, colors=colors)


def likeliest(class_map: ClassMap, look: PictureLook, first: Sequence[int] = ()) -> MapColors:
    """Each cell in the colour of its likeliest class, the surer the more opaque.

    Cells of the background are not painted. first: the classes that have the first colours.
    """
    numbers, background = class_map.likeliest, class_map.background
    likely = [row.number for row in class_map.foreground()]
    by_class = colors_by_class(list(dict.fromkeys([*first, *likely])))
    scores = class_map.values.max(axis=0)
    shown = class_map.argmax()
    if background is not None:
        shown[shown == background] = -1
    scale = _certainty(class_map, scores[shown >= 0], look)
    colors = _painted(shown, scores, scale, by_class, look, _FAINT_CLASS)
    title = "likeliest class of each cell, drawn about the center of its window"
    if numbers.size == 1:
        number, score = int(numbers[0, 0]), float(scores[0, 0])
        title = f"the only cell: {class_name(class_map, number)}, {class_map.scored} {score:.4g}"
    elif not scale.is_flat and by_class:
        title += f"; opacity: its {class_map.scored}, {scale.low:.3g} to {scale.high:.3g}"
    return MapColors(title, colors, shown, scores, None, by_class, True)


def selected(class_map: ClassMap, numbers: Sequence[int], look: PictureLook) -> MapColors:
    """Some classes, each in its colour: in each cell the highest of them, opaque by its value."""
    values = class_map.values[list(numbers)]
    scores = values.max(axis=0)
    scale = _certainty(class_map, values, look)
    by_class = colors_by_class(numbers)
    which = np.asarray(numbers, np.intp)[values.argmax(axis=0)]
    colors = _painted(which, scores, scale, by_class, look, 0.0)
    # Only where the value is high is the colour a region that has an edge and a name.
    shown = np.where(scale.shares(scores) >= 0.5, which, -1)
    title = (
        f"{class_map.scored} of {counted(len(numbers), 'class')}, the highest in each cell; "
        f"opacity: {scale.low:.3g} to {scale.high:.3g}"
    )
    return MapColors(title, colors, shown, scores, None, by_class)


def heat(
    class_map: ClassMap, number: int, look: PictureLook, scale: ColorScale | None = None
) -> MapColors:
    """The values of one class."""
    title = f"{class_map.scored} of {class_name(class_map, number)}"
    return _heat(class_map, class_map.values[number], title, look, scale)


def highest(class_map: ClassMap, look: PictureLook) -> MapColors:
    """The value of each cell's likeliest class but for the background."""
    values, background = class_map.values, class_map.background
    title = f"highest {class_map.scored} of any class"
    if background is None or len(values) == 1:
        return _heat(class_map, values.max(axis=0), title, look)
    parts = [
        part.max(axis=0) for part in (values[:background], values[background + 1 :]) if len(part)
    ]
    return _heat(class_map, np.max(parts, axis=0), f"{title} but the background", look)


def _heat(
    class_map: ClassMap,
    values: NDArray[np.float32],
    title: str,
    look: PictureLook,
    scale: ColorScale | None = None,
) -> MapColors:
    scale = scale or ColorScale.of(values, probability=class_map.is_probability, ends=look.range)
    opacity = look.alpha * (_FAINT_HEAT + (1 - _FAINT_HEAT) * scale.strengths(values))
    alpha = np.rint(255 * opacity).astype(np.uint8)
    colors = np.dstack([scale.colors(values), alpha])
    if scale.is_flat:
        title += f": {scale.low:.4g}" if values.size == 1 else f": {scale.low:.4g} in every cell"
    return MapColors(title, colors, None, values, None if scale.is_flat else scale, {})


def _certainty(class_map: ClassMap, scores: NDArray[Any], look: PictureLook) -> ColorScale:
    """From what to what cells become more opaque; never about 0, as a low score is none."""
    if look.range is not None:
        return ColorScale(*look.range)
    if class_map.is_probability:
        return ColorScale(0.0, 1.0)
    return ColorScale(*finite_range(scores))


def _painted(
    numbers: NDArray[np.intp],
    scores: NDArray[np.float32],
    scale: ColorScale,
    by_class: Mapping[int, Color],
    look: PictureLook,
    faint: float,
) -> NDArray[np.uint8]:
    """The cells in their classes' colours; those of a class that has none are not painted."""
    names, inverse = np.unique(numbers, return_inverse=True)
    inverse = inverse.reshape(numbers.shape)
    shades = np.array([by_class.get(int(name), (0, 0, 0)) for name in names], np.uint8)
    painted = np.array([int(name) in by_class for name in names])
    sure = np.ones(scores.shape, np.float32) if scale.is_flat else scale.shares(scores)
    opacity = look.alpha * (faint + (1 - faint) * sure)
    alpha = np.where(painted[inverse], np.rint(255 * opacity), 0).astype(np.uint8)
    return np.dstack([shades[inverse], alpha])
