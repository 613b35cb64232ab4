"""TIFFs that Pillow does not read, by rasterio."""

from __future__ import annotations

import os
import sys
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from numpy.typing import NDArray

from netsurgery.errors import ImageError
from netsurgery.maps.large_file import open_picture
from netsurgery.maps.large_picture import LargePicture
from netsurgery.maps.picture_limits import set_max_pixels

BANDS = np.random.default_rng(6).integers(0, 256, (5, 70, 90), np.uint8)


def saved(path: Path, bands: NDArray[Any], **options: Any) -> str:
    count, height, width = bands.shape
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with rasterio.open(
            path, "w", driver="GTiff", width=width, height=height, count=count,
            dtype=bands.dtype.name, **options,
        ) as file:  # fmt: skip
            file.write(bands)
    return str(path)


@pytest.mark.parametrize(("count", "kind"), [(5, "u1"), (5, "u2"), (4, "u2"), (2, "u2")])
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"tiled": True, "blockxsize": 64, "blockysize": 32, "compress": "deflate"},
        {"compress": "lzw"},
        {"interleave": "band"},
        {"crs": "EPSG:32633", "transform": rasterio.Affine(10, 0, 400000, 0, -10, 5000000)},
    ],
    ids=str,
)
def test_bands_become_channels(
    tmp_path: Path, options: dict[str, Any], count: int, kind: str
) -> None:
    """In bands of rows that overlap, and once more from the top."""
    bands = BANDS[:count].astype(kind) * (257 if kind == "u2" else 1)
    picture = open_picture(saved(tmp_path / "p.tif", bands, **options))
    assert isinstance(picture, LargePicture)
    expected = bands[: 3 if count > 2 else 1].transpose(1, 2, 0)
    assert picture.size == (70, 90)
    for top in (0, 7, 30, 0):
        band = picture.rows.rows(top, top + 40)
        assert band.dtype == kind
        assert np.array_equal(band, expected[top : top + 40])


@pytest.mark.parametrize("kind", ["u1", "u2"])
def test_bands_that_lie_apart(tmp_path: Path, kind: str) -> None:
    """Pillow takes the first for all of them."""
    bands = BANDS.astype(kind)
    path = saved(tmp_path / "p.tif", bands, interleave="band", compress="lzw")
    rows = open_picture(path).rows
    assert np.array_equal(rows.rows(0, 70), bands[:3].transpose(1, 2, 0))


def test_tiles_that_are_left_out(tmp_path: Path) -> None:
    bands = BANDS[:3] * (np.arange(90) > 70).astype(np.uint8)
    tiles: dict[str, Any] = {"tiled": True, "blockxsize": 32, "blockysize": 32}
    path = saved(tmp_path / "p.tif", bands, sparse_ok=True, **tiles)
    rows = open_picture(path).rows
    assert np.array_equal(rows.rows(0, 70), bands.transpose(1, 2, 0))


def test_a_name_that_is_not_utf8(tmp_path: Path) -> None:
    path = f"{tmp_path}/\udce9.tif"
    os.rename(saved(tmp_path / "p.tif", BANDS), path)
    picture = open_picture(path)
    assert isinstance(picture, LargePicture)
    assert np.array_equal(picture.rows.rows(0, 70), BANDS[:3].transpose(1, 2, 0))


@pytest.mark.parametrize(("count", "kind"), [(5, "int16"), (1, "int8")])
def test_pixels_without_a_range(tmp_path: Path, count: int, kind: str) -> None:
    path = saved(tmp_path / "p.tif", BANDS[:count].astype(kind))
    with pytest.raises(
        ImageError, match=rf"p\.tif: its pixels are {kind}; expected uint8 or uint16$"
    ):
        open_picture(path)


def test_too_many_pixels(tmp_path: Path) -> None:
    path = saved(tmp_path / "p.tif", BANDS)
    set_max_pixels(6299)
    try:
        with pytest.raises(ImageError, match=r"p\.tif: 70x90 is more than 6299 pixels"):
            open_picture(path)
    finally:
        set_max_pixels(None)


def test_without_rasterio(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = saved(tmp_path / "p.tif", BANDS)
    monkeypatch.setitem(sys.modules, "rasterio", None)
    with pytest.raises(ImageError, match=r"; pip install 'netsurgery\[geo\]' to have it read by"):
        open_picture(path)


def test_what_no_one_reads(tmp_path: Path) -> None:
    (tmp_path / "p.tif").write_bytes(b"II*\0" + b"\1" * 200)
    with pytest.raises(ImageError, match=r"p\.tif: ") as caught:
        open_picture(tmp_path / "p.tif")
    assert "\n" not in str(caught.value)


def test_a_file_that_is_cut_short(tmp_path: Path) -> None:
    path = saved(tmp_path / "p.tif", BANDS, compress="deflate")
    content = bytearray(Path(path).read_bytes())
    content[len(content) // 2 :] = b"\xff" * (len(content) - len(content) // 2)
    Path(path).write_bytes(content)
    picture = open_picture(path)
    with pytest.raises(ImageError, match=r"p\.tif: broken picture \(") as caught:
        picture.rows.rows(0, 70)
    assert "\n" not in str(caught.value)
