"""The options of how boxes are found, of the commands that have --boxes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import click

from netsurgery.cli.command import WordType, useless
from netsurgery.cli.options import NumberType

__all__ = ["box_options", "useless_without_boxes"]

F = TypeVar("F", bound=Callable[..., Any])

useless_without_boxes = useless("without --boxes", lambda values: not values["boxes"])


def _scales(text: str) -> tuple[float, ...]:
    try:
        return tuple(float(part) for part in text.split(","))
    except ValueError:
        raise ValueError(f"{text[:60]!r} is not X,X, as in 0.5,1,2") from None


_THRESHOLD = click.option(
    "--threshold",
    type=NumberType(finite=True),
    metavar="X",
    help="With --boxes: the least score of a cell's class for a box (default: 0.5, of "
    "probabilities).",
)
_OVERLAP = click.option(
    "--overlap",
    type=NumberType(min=0, max=1),
    default=0.3,
    show_default=True,
    metavar="X",
    help="With --boxes: of two boxes of a class that share more than this part of their union, "
    "drop the one of the lower score.",
)
_SCALES = click.option(
    "--box-scales",
    type=WordType("X,X", _scales),
    default="1",
    show_default=True,
    help="With --boxes: factors of the input's size at which boxes are looked for, together.",
)


def box_options(command: F) -> F:
    """--threshold, --overlap and --box-scales; the command gets values of these names."""
    # Decorators apply from the last.
    for option in (_SCALES, _OVERLAP, _THRESHOLD):
        command = useless_without_boxes(option)(command)
    return command
