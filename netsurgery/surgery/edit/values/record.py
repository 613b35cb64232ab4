"""A value that a param, or a part of it, can be set to by name: ``LAYER[INDEX]=NAME:OPTIONS``."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, NamedTuple

from netsurgery.errors import SurgeryError
from netsurgery.net.net import Layer, Shape
from netsurgery.surgery.edit.operations.record import Form
from netsurgery.surgery.edit.session import EditSession
from netsurgery.surgery.edit.targets import Target, axes_left

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = [
    "Form",
    "NewValues",
    "Part",
    "Value",
    "no_options",
    "number_options",
    "parse_number",
    "parse_options",
]

_NUMBER = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?")


@dataclass(frozen=True)
class Part:
    """The part of a param that `target` selects, and its present `values`, not to be changed."""

    session: EditSession
    target: Target
    values: NDArray[np.float32]

    @property
    def layer(self) -> Layer:
        """The param's layer."""
        return self.session.layer(self.target.layer)

    @cached_property
    def shape(self) -> Shape:
        """The shape of the whole param."""
        return self.session.peek_alone(self.target.layer, self.target.index).shape

    @property
    def axes(self) -> list[int]:
        """The axes of the param that `values` have."""
        return axes_left(self.shape, self.target.slices)


class NewValues(NamedTuple):
    """Values for a part, of its shape.

    what: how they were made, where that is more than the operation says. seed: of random ones.
    """

    array: NDArray[np.floating]
    what: str = ""
    seed: int | None = None


class Value(NamedTuple):
    """``NAME`` or ``NAME:OPTIONS`` after ``=``.

    compute: (part, options) -> the new values; raises SurgeryError where it cannot. forms: how it
    is written, for the help. example: one to type after ``LAYER[INDEX]=``. options: the names of
    its options, which distinguish two values of one name.
    """

    name: str
    compute: Callable[[Part, str], NewValues]
    forms: tuple[Form, ...]
    example: str
    options: tuple[str, ...] = ()


def parse_number(text: str) -> float | None:
    """The number that `text` spells, None where it spells none."""
    return float(text) if _NUMBER.fullmatch(text.strip()) else None


def parse_options(name: str, text: str) -> dict[str, str]:
    """``sigma=1,channels=0,2`` is {"sigma": "1", "channels": "0,2"}. Raises SurgeryError."""
    options: dict[str, str] = {}
    last = ""
    for piece in text.split(",") if text else []:
        key, equals, value = piece.partition("=")
        if equals and key in options:
            raise SurgeryError(f"{name}: {key} is named twice")
        if equals:
            options[key], last = value, key
        elif last:  # a comma within a value, as in channels=0,2
            options[last] += f",{piece}"
        else:
            raise SurgeryError(f"{name}: found {piece!r}, expected OPTION=VALUE")
    return options


def number_options(name: str, options: Mapping[str, str]) -> dict[str, float]:
    """The options as numbers. Raises SurgeryError."""
    numbers = {}
    for key, text in options.items():
        number = parse_number(text)
        if number is None:
            raise SurgeryError(f"{name}: {key}={text}, expected a number")
        numbers[key] = number
    return numbers


def no_options(name: str, options: str) -> None:
    """Raise SurgeryError where there are options."""
    if options:
        raise SurgeryError(f"{name} takes no options; found {options!r}")
