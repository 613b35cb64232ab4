"""Which boxes are looked for in pictures: by what rules, and at which scales of the input."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, field
from numbers import Real
from typing import TYPE_CHECKING, Any

from netsurgery.errors import NetError, SettingsError
from netsurgery.io.argument_types import checks_arguments, shown
from netsurgery.io.wording import argument

if TYPE_CHECKING:
    from collections.abc import Mapping

    from netsurgery.maps.map_source import MapSource

__all__ = ["BoxRules", "BoxSearch", "box_search", "checked_box_scales", "least_score"]

#: No picture is scaled by more.
_MOST = 100


@checks_arguments()
@dataclass(frozen=True)
class BoxRules:
    """Which cells give a box, and which boxes stay.

    threshold: the least score of a cell's class; None for 0.5, of maps of probabilities. overlap:
    of two boxes of a class that share more than that part of their union one goes. Raises
    SettingsError for an overlap outside of 0..1 and a threshold that is not a number.

    >>> BoxRules(threshold=0.8).overlap
    0.3
    """

    threshold: float | None = None
    overlap: float = 0.3

    def __post_init__(self) -> None:
        if self.threshold is not None and not math.isfinite(self.threshold):
            raise SettingsError(f"threshold {self.threshold:g}: expected a finite number")
        if not 0 <= self.overlap <= 1:
            raise SettingsError(f"overlap {self.overlap:g}: expected a number from 0 to 1")


def least_score(rules: BoxRules, is_probability: bool, blob: str) -> float:
    """The threshold for a map of a blob. Raises NetError where scores need one that is named."""
    if rules.threshold is not None:
        return rules.threshold
    if not is_probability:
        raise NetError(
            f"blob {blob!r} has scores, not probabilities: say from which score on a cell gives a "
            f"box ({argument('--threshold')})"
        )
    return 0.5


@dataclass(frozen=True)
class BoxSearch:
    """rules: which cells give a box, and which boxes stay. scales: factors of the input's size at
    which boxes are looked for, together."""

    rules: BoxRules = field(default_factory=BoxRules)
    scales: tuple[float, ...] = (1.0,)

    def check(self, source: MapSource) -> None:
        """Raise NetError where the map of a net has scores, and no threshold is named."""
        least_score(self.rules, source.is_probability, source.blob)

    def sizes(self, size: tuple[int, int]) -> Iterator[tuple[float, tuple[int, int]]]:
        """Each scale, and (height, width) of an input of `size` at it."""
        for scale in self.scales:
            yield scale, (max(1, round(size[0] * scale)), max(1, round(size[1] * scale)))

    def to_json(self) -> dict[str, Any]:
        """The search as JSON has it."""
        return {"rules": asdict(self.rules), "scales": list(self.scales)}

    @classmethod
    def of_json(cls, record: Mapping[str, Any]) -> BoxSearch:
        """The search that `to_json` gives. Raises KeyError, TypeError, SettingsError."""
        return cls(BoxRules(**record["rules"]), tuple(record["scales"]))


def box_search(rules: BoxRules | None, scales: Iterable[float]) -> BoxSearch | None:
    """What a call asks for; None without rules. Raises SettingsError as `checked_box_scales`."""
    checked = checked_box_scales(scales)
    return None if rules is None else BoxSearch(rules, checked)


def checked_box_scales(scales: Iterable[float]) -> tuple[float, ...]:
    """Each of them once. Raises SettingsError for none, and for what is no scale."""
    if not isinstance(scales, Iterable):
        raise SettingsError(
            f"{argument('--box-scales')}: found {shown(scales)}, expected numbers, as in (0.5, 1)"
        )
    numbers = tuple(scales)
    if not numbers or not all(map(_is_scale, numbers)):
        listed = ", ".join(
            f"{each:g}" if isinstance(each, float) else shown(each) for each in numbers
        )
        raise SettingsError(
            f"{argument('--box-scales')}: found {listed or 'none'}, expected factors of the "
            f"input's size, {1 / _MOST:g} to {_MOST}"
        )
    return tuple(dict.fromkeys(map(float, numbers)))


def _is_scale(scale: float) -> bool:
    number = isinstance(scale, Real) and not isinstance(scale, bool)
    return number and 1 / _MOST <= scale <= _MOST
