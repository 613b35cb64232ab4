"""How a training run went, as a drawing: the losses by step, and what the held-out pictures say."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

from netsurgery.drawing.arrow import Point
from netsurgery.drawing.colors import PALE, Color
from netsurgery.drawing.scene import ItemGroup, Line, Rect, Scene
from netsurgery.training.run_log import History

__all__ = ["curves"]

WIDTH, PANEL, GAP, LEFT, TOP = 720, 220, 60, 70, 40
#: A line has at most so many points: the mean of the steps between them.
_POINTS = 240
_STEPS: Color = (70, 110, 170)
_HELD_OUT: Color = (180, 78, 20)
_LABEL = 12


class _Curve(NamedTuple):
    """Values by step; dots: at every value, where these are few."""

    name: str
    color: Color
    points: Sequence[tuple[float, float]]
    dots: bool = False


def curves(history: History, title: str) -> Scene:
    """The drawing: losses on a scale of tenfolds, and the part of held-out cells that is right."""
    last = max([*(step.step for step in history.steps), *(e.step for e in history.evaluations), 1])
    evaluated = [(each.step, each.loss) for each in history.evaluations]
    size = max(1, math.ceil(len(history.steps) / _POINTS))
    losses = [
        _Curve("loss of each step", _STEPS, _means(history, size)),
        _Curve("loss of what is held out", _HELD_OUT, evaluated, dots=True),
    ]
    right = [(each.step, 100 * each.accuracy) for each in history.evaluations]
    scene = Scene(WIDTH, TOP + 2 * (PANEL + GAP), title=f"{title}: losses by step")
    scene.text((LEFT, 8), title, 15, room=WIDTH - LEFT - 8)
    means = f"; of the steps the means of {size}" if size > 1 else ""
    _panel(scene, TOP + 20, losses, last, tenfold=True, note=f"logarithmic scale{means}")
    if right:
        right_part = [_Curve("held-out cells that are right, %", _HELD_OUT, right, dots=True)]
        _panel(scene, TOP + 20 + PANEL + GAP, right_part, last, tenfold=False)
    else:
        scene.height -= PANEL + GAP
    return scene


def _means(history: History, size: int) -> list[tuple[float, float]]:
    """The main loss of the steps, averaged over `size` of them."""
    values = [(step.step, list(step.losses.values())[-1]) for step in history.steps]
    parts = [values[start : start + size] for start in range(0, len(values), size)]
    return [tuple(sum(column) / len(part) for column in zip(*part, strict=True)) for part in parts]


def _panel(
    scene: Scene,
    top: float,
    shown: Sequence[_Curve],
    last: int,
    *,
    tenfold: bool,
    note: str = "",
) -> None:
    """Curves in a frame, with their names above and the ends of both axes.

    tenfold: they are losses, on a scale of tenfolds; else parts of a hundred. note: of the scale.
    """
    right, bottom = WIDTH - 20, top + PANEL - 40
    values = [value for curve in shown for _, value in curve.points if not tenfold or value > 0]
    low, high = (min(values), max(values)) if values else (0.0, 1.0)
    if low == high:
        around = (low / 2 or 0.1, high * 2 or 1.0)
        low, high = around if tenfold else (max(0, low - 1), min(100, high + 1))
    scene.framed((LEFT, top, right, bottom))

    def at(step: float, value: float) -> Point:
        low_, high_, value_ = (
            (math.log10(low), math.log10(high), math.log10(max(value, low)))
            if tenfold
            else (low, high, value)
        )
        across = LEFT + (right - LEFT) * step / last
        return across, bottom - (bottom - top) * (value_ - low_) / (high_ - low_)

    scene.text((right, top - 18), note, _LABEL, PALE, "ra")
    x: float = LEFT
    for curve in shown:
        scene.text((x, top - 18), curve.name, _LABEL, curve.color)
        x += scene.fonts.length(curve.name, _LABEL) + 24
        places = [at(*point) for point in curve.points]
        lines = [Line(*pair, curve.color) for pair in pairwise(places)]
        dots = [Rect((x - 2, y - 2, x + 2, y + 2), curve.color) for x, y in places if curve.dots]
        scene.add(ItemGroup("curve", [*lines, *dots], curve.name))
    for value, y in ((high, top), (low, bottom)):
        scene.text((LEFT - 6, y), f"{value:.4g}", _LABEL, anchor="rm")
        scene.add(Line((LEFT - 3, y), (LEFT, y), PALE))
    scene.text((LEFT, bottom + 6), "0", _LABEL, anchor="ma")
    scene.text((right, bottom + 6), f"step {last}", _LABEL, anchor="ra")
