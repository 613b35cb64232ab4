"""Which channels of a blob are drawn, in what order, and on what scale."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypeAlias, get_args

from netsurgery.errors import NetError, SettingsError
from netsurgery.io.argument_types import checks_arguments
from netsurgery.io.wording import counted

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["ChannelScale", "ChannelView", "ValueColors", "channel_numbers"]

#: blob: one scale for all channels, so that they can be compared. channel: each has its own.
ChannelScale: TypeAlias = Literal["blob", "channel"]

#: auto: signed for values of both signs, else heat. heat: dark to bright. signed: blue below 0,
#: white, red above. grey: black to white.
ValueColors: TypeAlias = Literal["auto", "heat", "signed", "grey"]


@checks_arguments()
@dataclass(frozen=True)
class ChannelView:
    """channels: their numbers, () for all. sort: the most active first, by the mean of their
    values' sizes. scale: "blob" or "channel". colors: "auto", "heat", "signed" or "grey".

    Raises SettingsError for other values.

    >>> import numpy as np
    >>> values = np.array([0.5, -3.0, 1.0], np.float32).reshape(3, 1, 1)
    >>> ChannelView(sort=True).chosen(values, "conv1")
    [1, 2, 0]
    >>> ChannelView(channels=(0, 2), scale="channel").words(2)
    ['2 channels of them', 'each channel on its own scale']
    """

    channels: tuple[int, ...] = ()
    sort: bool = False
    scale: ChannelScale = "blob"
    colors: ValueColors = "auto"

    def __post_init__(self) -> None:
        for name, value, words in (
            ("scale", self.scale, get_args(ChannelScale)),
            ("colors", self.colors, get_args(ValueColors)),
        ):
            if value not in words:
                raise SettingsError(f"{name} {value!r}: expected {', '.join(words)}")

    @checks_arguments()
    def chosen(self, values: NDArray[np.float32], blob: str) -> list[int]:
        """The channels of C x ... values to draw, in their order. Raises NetError for others."""
        import numpy as np

        count = len(values)
        numbers = list(self.channels or range(count))
        wrong = next((number for number in numbers if number >= count), None)
        if wrong is not None:
            known = (
                "one channel, 0" if count == 1 else f"{counted(count, 'channel')}, 0 to {count - 1}"
            )
            raise NetError(f"channel {wrong}: blob {blob!r} has {known}")
        if not self.sort:
            return numbers
        flat = np.abs(values[numbers].reshape(len(numbers), -1).astype(np.float64))
        activity = np.where(np.isfinite(flat), flat, 0).mean(axis=1)
        return [numbers[place] for place in np.argsort(-activity, kind="stable").tolist()]

    @checks_arguments()
    def words(self, count: int) -> Sequence[str]:
        """What to say of it under a picture of `count` channels."""
        said = []
        if self.channels:
            said.append(f"{counted(count, 'channel')} of them")
        if self.sort:
            said.append("most active first")
        if self.scale == "channel":
            said.append("each channel on its own scale")
        return said


def channel_numbers(text: str) -> tuple[int, ...]:
    """``"0,5,283"`` or ``"0-3,7"`` as numbers. Raises ValueError.

    >>> channel_numbers("0-3,7")
    (0, 1, 2, 3, 7)
    """
    numbers: list[int] = []
    for part in text.split(","):
        first, dash, last = part.strip().partition("-")
        ends = (first, last) if dash else (first, first)
        if not all(end.isascii() and end.isdigit() and len(end) < 8 for end in ends):
            raise ValueError(f"{text!r} is not numbers of channels, as in 0,5,283 or 0-15")
        low, high = map(int, ends)
        if low > high or high - low >= _MOST:
            raise ValueError(f"{part.strip()!r}: expected the lower number first, {_MOST} at most")
        numbers += range(low, high + 1)
    return tuple(dict.fromkeys(numbers))


#: Channels in a row of numbers.
_MOST = 1 << 16
