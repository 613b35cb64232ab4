"""A few lines over one scale of powers of two, such as the time per pixel by a picture's side."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

from netsurgery.drawing.colors import FRAME
from netsurgery.drawing.scene import Line as Stroke
from netsurgery.drawing.scene import Rect, Scene
from netsurgery.maps.palette import class_color

__all__ = ["Line", "line_plot"]

_WIDTH, _HEIGHT, _LEFT, _TOP, _MARGIN = 720, 300, 60, 64, 40
_LABEL = 12
_STEPS = 4


class Line(NamedTuple):
    """A name and its points: a number above 0, and the value there."""

    name: str
    points: Sequence[tuple[float, float]]


def line_plot(lines: Sequence[Line], title: str) -> Scene:
    """The lines in a frame: values from 0 up, over the logarithms of the numbers.

    >>> line_plot([Line("jpg", [(5_000, 50.0), (10_000, 40.0)])], "ns a pixel").title
    'ns a pixel'
    """
    places = sorted({number for line in lines for number, _ in line.points})
    low, high = math.log2(places[0]), math.log2(places[-1])
    step = _round_step(max(value for line in lines for _, value in line.points) / _STEPS)
    right, bottom = _WIDTH - _MARGIN, _HEIGHT - _MARGIN

    def x_of(number: float) -> float:
        part = (math.log2(number) - low) / (high - low) if high > low else 0.5
        return _LEFT + (right - _LEFT) * part

    def y_of(value: float) -> float:
        return bottom - (bottom - _TOP) * value / (_STEPS * step)

    scene = Scene(_WIDTH, _HEIGHT, title=title)
    scene.text((_LEFT, 12), title, 15)
    scene.framed((_LEFT, _TOP, right, bottom))
    for count in range(_STEPS + 1):
        y = y_of(count * step)
        scene.text((_LEFT - 8, y), f"{count * step:g}", _LABEL, anchor="rm")
        scene.add(Stroke((_LEFT, y), (right, y), FRAME))
    for number in places:
        scene.text((x_of(number), bottom + 8), f"{number:,g}", _LABEL, anchor="ma")
    name_at: float = _LEFT
    for rank, line in enumerate(lines):
        color = class_color(rank)
        scene.text((name_at, _TOP - 20), line.name, _LABEL, color)
        name_at += scene.fonts.length(line.name, _LABEL) + 24
        dots = [(x_of(number), y_of(value)) for number, value in line.points]
        for start, end in pairwise(dots):
            scene.add(Stroke(start, end, color))
        for x, y in dots:
            scene.add(Rect((x - 3, y - 3, x + 3, y + 3), color))
    return scene


def _round_step(value: float) -> float:
    """The next of 1, 2, 5, 10, ... that is no less."""
    power = 10.0 ** math.floor(math.log10(value))
    return next(factor * power for factor in (1, 2, 5, 10) if factor * power >= value * (1 - 1e-9))
