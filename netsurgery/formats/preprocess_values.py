"""What a caller may write for a mean, a channel swap or labels, brought to one form each."""

from __future__ import annotations

import math
import numbers
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from netsurgery.errors import SettingsError
from netsurgery.io.argument_types import as_list, shown, whole_numbers
from netsurgery.io.wording import counted

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = [
    "MeanPicture",
    "as_channel_swap",
    "as_labels",
    "as_mean",
    "check_channel_swap",
    "parse_channel_swap",
]


@dataclass(frozen=True, eq=False)
class MeanPicture:
    """A mean with a value for each pixel, C x H x W, in the net's channel order and scale."""

    values: NDArray[np.generic]


if TYPE_CHECKING:
    AnyMean: TypeAlias = str | Path | float | Sequence[float] | NDArray[np.generic] | MeanPicture


def as_mean(mean: AnyMean | None) -> Path | tuple[float, ...] | MeanPicture | None:
    """A mean's file, its value for each channel, or its array of C x H x W.

    mean: a path or "104,117,123"; a number, for all channels; a list or array of C numbers; an
    array C x H x W or 1 x C x H x W. Raises SettingsError for anything else.

    >>> as_mean("104,117,123"), as_mean(0.5)
    ((104.0, 117.0, 123.0), (0.5,))
    """
    if mean is None or isinstance(mean, (Path, MeanPicture)):
        return mean
    if isinstance(mean, str):
        return _numbers(mean.split(",")) or Path(mean)
    if hasattr(mean, "__array__"):
        return _mean_of_array(mean)
    values = as_list(mean)
    real = all(isinstance(each, numbers.Real) and not isinstance(each, bool) for each in values)
    channels = _numbers(values) if real and not isinstance(mean, bytes) else ()
    if not channels:
        raise SettingsError(
            f"mean {shown(mean)}: expected a file, a number, one number a channel, or an array"
        )
    return channels


def _mean_of_array(mean: Any) -> tuple[float, ...] | MeanPicture:
    import numpy as np

    array = np.asarray(mean)
    if array.dtype.kind not in "fiu":
        raise SettingsError(f"mean: an array of {array.dtype}, expected one of numbers")
    if array.ndim == 4 and len(array) == 1:  # as a .binaryproto has it
        array = array[0]
    # C x 1 x 1 is a value a channel, shaped to be broadcast.
    if array.ndim < 2 or array.shape[1:] == (1, 1):
        return tuple(map(float, array.reshape(-1)))
    return MeanPicture(array)


def _numbers(parts: Any) -> tuple[float, ...]:
    """The parts as finite numbers, () where any is none."""
    try:
        values = tuple(map(float, parts))
    except (TypeError, ValueError, OverflowError):
        return ()
    return values if all(map(math.isfinite, values)) else ()


def parse_channel_swap(text: str) -> tuple[int, ...]:
    """``"2,1,0"`` or ``"bgr"``: for each of the net's channels, the picture's. Raises ValueError.

    >>> parse_channel_swap("bgr")
    (2, 1, 0)
    """
    word = text.strip().lower()
    if sorted(word) == sorted("rgb"):
        return tuple(map("rgb".index, word))
    parts = word.split(",")
    # isdigit takes other scripts' digits too, and int() refuses thousands in words of its own.
    digits = all(part.isascii() and part.isdigit() and len(part) <= 7 for part in parts)
    order = tuple(map(int, parts)) if digits else ()
    if not order or sorted(order) != list(range(len(order))):
        raise ValueError(f"{text[:60]!r} is not each channel once, as in 2,1,0 or bgr")
    return order


def check_channel_swap(swap: tuple[int, ...], channels: int) -> None:
    """Raise SettingsError where a channel swap is not for an input of `channels` channels."""
    if sorted(swap) == list(range(channels)):
        return
    has = "one channel; leave it out"
    if channels > 1:
        has = f"{counted(channels, 'channel')}; expected each of 0..{channels - 1} once"
    raise SettingsError(f"channel swap {','.join(map(str, swap))}: the net's input has {has}")


def as_channel_swap(swap: str | Iterable[int] | None) -> tuple[int, ...] | None:
    """A channel swap as numbers. Raises SettingsError where they are not each channel once."""
    if swap is None:
        return None
    try:
        if isinstance(swap, str):
            return parse_channel_swap(swap)
        order = whole_numbers(swap)
    except (TypeError, ValueError) as error:
        raise SettingsError(f"channel_swap: {error}") from None
    if not order or sorted(order) != list(range(len(order))):
        raise SettingsError(
            f"channel_swap {shown(swap)}: expected each channel once, as in (2, 1, 0)"
        )
    return order


def as_labels(labels: str | Path | Iterable[str] | None) -> Path | tuple[str, ...] | None:
    """A file of labels, or the labels themselves. Raises SettingsError for anything else."""
    if labels is None or isinstance(labels, (str, Path)):
        return labels if labels is None else Path(labels)
    names = tuple(as_list(labels))
    if not names or not all(isinstance(name, str) for name in names):
        raise SettingsError(f"labels {shown(labels)}: expected a file, or one text a class")
    return names
