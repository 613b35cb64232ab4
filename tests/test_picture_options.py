"""How large the input is made: the words for a size, and what they mean."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from netsurgery.errors import SettingsError
from netsurgery.maps.picture_options import PictureOptions

NET, IMAGE = (227, 227), (360, 480)


@pytest.mark.parametrize(
    ("size", "expected"),
    [
        ("net", NET),
        ("image", IMAGE),
        ((40, 50), (40, 50)),
        ([40, 50], (40, 50)),
        (np.array([40, 50]), (40, 50)),
        ((40.0, 50.0), (40, 50)),
    ],
    ids=str,
)
def test_sizes(size: Any, expected: tuple[int, int]) -> None:
    options = PictureOptions(size)
    assert options.input_size(NET, IMAGE) == expected
    assert hash(options) == hash(PictureOptions(size))


def test_no_fit() -> None:
    with pytest.raises(SettingsError, match="fit 'fill': expected warp, crop, pad"):
        PictureOptions(fit="fill")  # type: ignore[arg-type]


@pytest.mark.parametrize("tile", ["auto", "none", 1, np.int64(4096)])
def test_tiles(tile: Any) -> None:
    options = PictureOptions(tile=tile)
    assert options.tile == tile
    assert type(options.tile) in (str, int)


@pytest.mark.parametrize("tile", ["whole", 0, -3, True, 5.0, None, (64, 64)], ids=str)
def test_no_tile(tile: Any) -> None:
    with pytest.raises(SettingsError, match=r"tile .*: expected 'auto', 'none' or a number"):
        PictureOptions(tile=tile)
