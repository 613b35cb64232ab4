"""The boxes that SSD's PriorBox lays out, as its text says them."""

from __future__ import annotations

from typing import NamedTuple

from netsurgery.net.layer import Layer

__all__ = ["Priors", "priors"]


class Priors(NamedTuple):
    """The boxes of one cell, and where cells lie.

    boxes: width and height in pixels, in order. variances: one, or one for each corner's number.
    picture, step: height and width in pixels; None where the bottoms say. offset: of a cell's
    middle, in cells.
    """

    boxes: tuple[tuple[float, float], ...]
    variances: tuple[float, ...]
    picture: tuple[float, float] | None
    step: tuple[float, float] | None
    offset: float
    clip: bool


def priors(layer: Layer) -> Priors:
    """What a PriorBox's text says. Raises PrototxtError for what SSD refuses."""
    message = layer.param("prior_box_param")

    def numbers(name: str) -> list[float]:
        values = [value.as_float() for value in message.scalars(name)]
        for value in values:
            if value <= 0:
                raise layer.error(f"{name} {value:g}; expected a number above 0")
        return values

    least, largest, ratios = numbers("min_size"), numbers("max_size"), [1.0]
    if not least:
        raise layer.error("min_size is missing")
    if largest and len(largest) != len(least):
        raise layer.error(f"{len(largest)} max_size for {len(least)} min_size")
    for ratio in numbers("aspect_ratio"):
        # SSD takes ratios this near each other for one.
        if all(abs(ratio - present) >= 1e-6 for present in ratios):
            ratios += [ratio, 1 / ratio] if message.boolean("flip", True) else [ratio]
    boxes: list[tuple[float, float]] = []
    for i, size in enumerate(map(int, least)):  # SSD counts in whole pixels
        boxes.append((size, size))
        if largest:
            if largest[i] <= least[i]:
                raise layer.error(f"max_size {largest[i]:g} is not above min_size {least[i]:g}")
            boxes.append(((size * int(largest[i])) ** 0.5,) * 2)
        boxes += [(size * r**0.5, size / r**0.5) for r in ratios if abs(r - 1) >= 1e-6]
    variances = numbers("variance") or [0.1]
    if len(variances) not in (1, 4):
        raise layer.error(f"{len(variances)} variance; expected 1 or 4")
    return Priors(
        tuple(boxes),
        tuple(variances),
        _both(layer, "img_size", "img_h", "img_w"),
        _both(layer, "step", "step_h", "step_w"),
        message.number("offset", 0.5),
        message.boolean("clip", False),
    )


def _both(layer: Layer, name: str, height: str, width: str) -> tuple[float, float] | None:
    """One number for height and width, or one each; None where neither is given."""
    message = layer.param("prior_box_param")
    if message.all(height) or message.all(width):
        if message.all(name):
            raise layer.error(f"{name} is given beside {height} or {width}")
        size = message.number(height, 0.0), message.number(width, 0.0)
    elif message.all(name):
        size = (message.number(name, 0.0),) * 2
    else:
        return None
    if min(size) <= 0:
        raise layer.error(f"{height} {size[0]:g} and {width} {size[1]:g}; expected both above 0")
    return size
