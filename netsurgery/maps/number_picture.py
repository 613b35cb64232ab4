"""Pictures whose pixels are numbers and no colours: the indices of a palette, or grey values."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from netsurgery.errors import ImageError
from netsurgery.io.memory import Claim
from netsurgery.maps.image import Picture, open_file
from netsurgery.maps.pillow_pixels import decoding_memory, upright

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from PIL import Image

__all__ = ["read_numbers"]

#: What Pillow calls pixels of 8 bits that stand for themselves, and those of 16.
_MODES = ("P", "L", "I;16", "I;16B", "I")


def read_numbers(path: str) -> NDArray[Any]:
    """The numbers of a picture, H x W, upright, uint8 or uint16; no palette is looked at.

    Raises ImageError as `read_picture`, and for a picture in colours; MemoryLimitError.
    """

    def as_numbers(image: Image.Image, name: str, _: str) -> Picture:
        if image.mode not in _MODES:
            raise ImageError(
                f"its pixels are {image.mode}; expected numbers, a grey picture or one with a "
                "palette"
            )
        with Claim(decoding_memory(image), f"{name}: decoding it"):
            image.load()
            return Picture(name, upright(image, image.mode, f"{name}: its numbers"))

    pixels: NDArray[Any] = open_file(path, as_numbers).pixels[:, :, 0]
    return pixels
