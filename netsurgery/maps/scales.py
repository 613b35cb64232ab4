"""At which scales a picture is mapped, and what becomes of the maps."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from numbers import Real
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, get_args

from netsurgery.errors import MemoryLimitError, NetError, SettingsError
from netsurgery.io.argument_types import as_list, checks_arguments
from netsurgery.io.wording import argument, counted

if TYPE_CHECKING:
    from netsurgery.maps.map_source import MapSource

__all__ = [
    "AnyScales",
    "Combine",
    "Scales",
    "as_scales",
    "check_on_one_grid",
    "check_scaled",
    "parse_scales",
    "scale_named",
    "scales_note",
    "scales_words",
]

Size = tuple[int, int]

#: What becomes of several scores of a class at one place.
Combine: TypeAlias = Literal["mean", "max"]

#: The most scales, and the largest one: a mistyped 14 would be an input of 200 times the pixels.
_MOST, _LARGEST = 16, 10.0


@checks_arguments()
@dataclass(frozen=True)
class Scales:
    """The scales at which a picture is mapped: the input's sides are so many times as large.

    combine: what is made of the maps, the "mean" of their scores or the "max". Raises SettingsError
    for other values.

    >>> import netsurgery as ns
    >>> scales = ns.Scales((0.7, 1, 1.4), combine="max")
    >>> scales.grid, [size for _, size in scales.sizes((100, 200))]
    (1, [(100, 200), (70, 140), (140, 280)])
    """

    scales: tuple[float, ...]
    combine: Combine = "mean"

    def __post_init__(self) -> None:
        if self.combine not in get_args(Combine):
            raise SettingsError(
                f"combine {self.combine!r}: expected {' or '.join(get_args(Combine))}"
            )
        scales = tuple(as_list(self.scales))
        for scale in scales:
            number = isinstance(scale, Real) and not isinstance(scale, bool)
            if not number or not 0 < scale <= _LARGEST:
                raise SettingsError(
                    f"scale {scale!r}: expected a number above 0, at most {_LARGEST:g}"
                )
        # numpy's numbers and fractions are no JSON.
        object.__setattr__(self, "scales", tuple(map(float, scales)))
        if not 1 <= len(set(self.scales)) == len(self.scales) <= _MOST:
            raise SettingsError(
                f"scales {', '.join(f'{scale:g}' for scale in self.scales) or 'of none'}: expected "
                f"1 to {_MOST} different numbers"
            )

    @property
    def grid(self) -> float:
        """The scale whose cells the map has: 1, or where that is not among them the largest."""
        return 1 if 1 in self.scales else max(self.scales)

    def sizes(self, size: Size) -> Iterator[tuple[float, Size]]:
        """Each scale, the grid's first, and (height, width) of an input of `size` at it."""
        for scale in sorted(self.scales, key=lambda scale: (scale != self.grid, scale)):
            height, width = (max(1, math.floor(side * scale + 0.5)) for side in size)
            yield scale, (height, width)

    def to_json(self) -> dict[str, Any]:
        """The key "scales" of `classify-map --json`."""
        return {"scales": list(self.scales), "combine": self.combine, "grid": self.grid}


@contextmanager
def scale_named(scale: str) -> Iterator[None]:
    """Say at which scale a size is refused; scale: the argument that names it."""
    try:
        yield
    except NetError as error:
        raise NetError(f"{error}; at {scale}") from error
    except MemoryLimitError as error:
        # A size that fits is that of the input at this scale.
        raise error.more(f", for the input at {scale}") from error


def check_scaled(scales: Scales | None, size: Size, check: Callable[[Size], object]) -> None:
    """Check an input of `size` at all scales, naming that of one refused, before the net is run."""
    if scales is None:
        check(size)
        return
    for scale, scaled in scales.sizes(size):
        with scale_named(argument(f"--scales {scale:g}")):
            check(scaled)


def check_on_one_grid(source: MapSource) -> None:
    """Raise NetError where nothing says where the cells of the source's map lie."""
    if source.cells(source.size) is None:
        raise NetError(
            f"{source.net.prototxt.path}: the total stride of blob {source.blob!r} is not known, "
            "so maps of several scales cannot be laid over each other"
        )


def scales_words(scales: Scales) -> str:
    """What the scores of a map of several scales are."""
    shown = ", ".join(f"{scale:g}" for scale in scales.scales)
    how = "mean" if scales.combine == "mean" else "largest"
    return f"scores are the {how} of those at scales {shown}"


def scales_note(scales: Scales, lacking: int) -> str:
    """How a map was made, in a line; lacking: how many of its cells not every scale had."""
    text = f"{scales_words(scales)}, at the windows of {scales.grid:g}"
    if not lacking:
        return text
    verb = "has" if lacking == 1 else "have"
    return f"{text}; {counted(lacking, 'cell')} near the edge {verb} only some of them"


#: Scales, or the scales alone, whose mean is taken.
AnyScales: TypeAlias = Scales | Iterable[float]


def as_scales(scales: AnyScales | None) -> Scales | None:
    """The scales that a caller means. Raises SettingsError."""
    if scales is None or isinstance(scales, Scales):
        return scales
    if not isinstance(scales, Iterable) or getattr(scales, "shape", None) == ():
        raise SettingsError(f"scales {scales!r}: expected numbers, as in (0.7, 1, 1.4)")
    return Scales(tuple(scales))


def parse_scales(text: str) -> tuple[float, ...]:
    """Numbers with commas between. Raises ValueError.

    >>> parse_scales("0.7,1,1.4")
    (0.7, 1.0, 1.4)
    """
    try:
        scales = tuple(float(part) for part in text.split(","))
        return Scales(scales).scales
    except SettingsError as error:
        raise ValueError(str(error)) from None
    except ValueError:
        raise ValueError(f"{text!r}: expected numbers with commas between, as 0.7,1,1.4") from None
