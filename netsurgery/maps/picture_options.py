"""How large the net's input is made for a picture, and how the picture is brought to that size."""

from __future__ import annotations

from dataclasses import dataclass, replace
from numbers import Integral
from typing import Literal, TypeAlias, cast, get_args

from netsurgery.errors import SettingsError
from netsurgery.io.argument_types import checks_arguments, shown
from netsurgery.io.shape_text import shape_text
from netsurgery.io.size import AnySize, as_size

__all__ = [
    "AnyPictureOptions",
    "ExactSize",
    "Fit",
    "InputSize",
    "PictureOptions",
    "TileSize",
    "as_picture_options",
    "size_line",
]

#: warp: each side scaled on its own, as Caffe does. crop and pad keep the aspect ratio: crop fills
#: the input and loses what sticks out, pad shows everything and leaves the rest of the blob 0.
Fit: TypeAlias = Literal["warp", "crop", "pad"]

#: "net": as the prototxt declares. "image": the picture's own size. Or (height, width) in pixels.
InputSize: TypeAlias = Literal["net", "image"] | AnySize

#: (height, width) in pixels, or "image" for each picture's own.
ExactSize: TypeAlias = Literal["image"] | tuple[int, int]

#: "auto": tiles where the whole input needs more memory than may be used. "none": never. Or the
#: most pixels along a side of a tile.
TileSize: TypeAlias = Literal["auto", "none"] | int


@checks_arguments()
@dataclass(frozen=True)
class PictureOptions:
    """How a picture becomes an input, and how much of it goes through the net at once.

    size: of the net's input, "net" (as the prototxt declares), "image" (the picture's own) or
    (height, width) in pixels, one number for a square; None for what the call says, else "net".
    fit: "warp" (each side scaled on its own, as Caffe does), "crop" or "pad". antialias: smooth
    before shrinking, as caffe.io does today. tile: "auto" (in tiles where the whole needs more
    memory than may be used), "none", or the most pixels along a side of a tile; the numbers are
    those of the whole. Raises SettingsError for other values.

    >>> PictureOptions("image").input_size((227, 227), (360, 480))
    (360, 480)
    """

    size: InputSize | None = None
    fit: Fit = "warp"
    antialias: bool = True
    tile: TileSize = "auto"

    def __post_init__(self) -> None:
        fits = get_args(Fit)
        if self.fit not in fits:
            raise SettingsError(f"fit {self.fit!r}: expected {', '.join(fits)}")
        named = isinstance(self.size, str) and self.size in ("net", "image")
        if self.size is not None and not named:
            size = as_size(self.size, words="'net', 'image', ")
            object.__setattr__(self, "size", size)
        object.__setattr__(self, "tile", _tile_size(self.tile))

    def input_size(self, net: tuple[int, int], image: tuple[int, int]) -> tuple[int, int]:
        """The (height, width) of the input for a picture of size `image`; `net` declares its own.

        The one place where a size's words mean something.
        """
        if self.size is None or self.size == "net":
            return net
        return image if self.size == "image" else as_size(self.size)

    def exact_size(self, net: tuple[int, int]) -> ExactSize:
        """The size in pixels, or "image" where each picture has its own; `net` declares that."""
        return "image" if self.size == "image" else self.input_size(net, net)

    def or_size(self, size: InputSize) -> PictureOptions:
        """The same options, with `size` where they say none.

        >>> PictureOptions(fit="crop").or_size("image").size, PictureOptions(32).or_size("net").size
        ('image', (32, 32))
        """
        return replace(self, size=size) if self.size is None else self


#: What a call takes as `size`: the options, or that one of them which is asked for most.
AnyPictureOptions: TypeAlias = InputSize | PictureOptions


def as_picture_options(size: AnyPictureOptions | None) -> PictureOptions:
    """The options as they are, or those of a size alone, or of none. Raises SettingsError.

    >>> as_picture_options("image") == PictureOptions("image", "warp", antialias=True)
    True
    """
    return size if isinstance(size, PictureOptions) else PictureOptions(size)


def size_line(size: ExactSize) -> str:
    """What is said of how large the input is for each of several pictures.

    >>> size_line((28, 28))
    'each picture is an input of 28x28'
    """
    words = "its own size" if size == "image" else shape_text(size)
    return f"each picture is an input of {words}"


def _tile_size(tile: object) -> TileSize:
    """Raises SettingsError for what is none."""
    if isinstance(tile, str) and tile in ("auto", "none"):
        return cast(TileSize, tile)
    # numpy's whole numbers are Integral, and True is an int.
    if isinstance(tile, Integral) and not isinstance(tile, bool) and int(tile) > 0:
        return int(tile)
    raise SettingsError(
        f"tile {shown(tile)}: expected 'auto', 'none' or a number of pixels from 1 up"
    )
