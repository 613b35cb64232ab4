"""Pictures that are read in strips, against the pixels that Pillow gives of the same files."""

from __future__ import annotations

import re
import sys
import warnings
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import pyvips
import rasterio
from numpy.typing import NDArray
from PIL import Image, ImageFile

import netsurgery as ns
from netsurgery.cli import run
from netsurgery.errors import ImageError, MemoryLimitError
from netsurgery.io.memory import set_max_memory
from netsurgery.maps import large_file, picture_limits, vips_rows
from netsurgery.maps.image import read_picture
from netsurgery.maps.large_file import open_picture
from netsurgery.maps.large_picture import LargePicture
from netsurgery.maps.picture_limits import set_max_pixels

RANDOM = np.random.default_rng(8)
HEIGHT, WIDTH = 211, 97


def smooth(channels: int) -> NDArray[np.uint8]:
    """Waves and some noise: what JPEG and WebP keep, with every value in it."""
    down, across = np.mgrid[:HEIGHT, :WIDTH]
    bands = [127 + 70 * np.sin(down / 9 + i) + 60 * np.cos(across / 7 - i) for i in range(channels)]
    noise = RANDOM.normal(0, 9, (HEIGHT, WIDTH, channels))
    values: NDArray[np.uint8] = np.clip(np.stack(bands, 2) + noise, 0, 255).astype(np.uint8)
    return values


L = Image.fromarray(smooth(1)[:, :, 0])
RGB, RGBA = Image.fromarray(smooth(3)), Image.fromarray(smooth(4))
PALETTE, GREYS = RGB.quantize(60), L.quantize(4)
PICTURES = {
    "L": L,
    "LA": Image.fromarray(smooth(2), "LA"),
    "RGB": RGB,
    "RGBA": RGBA,
    "CMYK": Image.fromarray(smooth(4), "CMYK"),
    "P": PALETTE,
    "1": L.convert("1"),
    "I;16": Image.fromarray(RANDOM.integers(0, 65536, (HEIGHT, WIDTH)).astype(np.uint16)),
}
#: The ending, the mode and how it is saved.
SAVED: list[tuple[str, str, dict[str, Any]]] = [
    *((".jpg", mode, {"quality": 83}) for mode in ("L", "RGB", "CMYK")),
    *((".jpg", mode, {"progressive": True}) for mode in ("L", "RGB", "CMYK")),
    *((".jpg", "RGB", {"subsampling": how}) for how in (0, 1, 2)),
    *((".png", mode, {}) for mode in ("L", "LA", "RGB", "RGBA", "P", "1", "I;16")),
    (".png", "P", {"transparency": bytes(range(0, 240, 4))}),
    (".png", "P", {"transparency": 3}),
    (".png", "L", {"transparency": 77}),
    (".png", "RGB", {"transparency": (1, 2, 3)}),
    *(
        (".tif", mode, {"compression": how})
        for mode in PICTURES
        for how in (None, "tiff_lzw", "tiff_adobe_deflate", "packbits", "jpeg")
        if how != "jpeg" or mode not in ("P", "1", "I;16")
    ),
    (".tif", "RGB", {"compression": "tiff_lzw", "tiffinfo": {278: HEIGHT}}),
    *((".webp", mode, how) for mode in ("RGB", "RGBA") for how in ({}, {"lossless": True})),
]


@pytest.fixture(autouse=True)
def limits(monkeypatch: pytest.MonkeyPatch, fresh_budget: None) -> None:
    """Every picture is read in strips, of 16 rows."""
    monkeypatch.setattr(large_file, "_SMALL", 0)
    monkeypatch.setattr(large_file, "left", lambda: 0)
    monkeypatch.setattr(vips_rows, "_STRIP", 1)


def pixels_of(picture: ns.Picture) -> NDArray[Any]:
    """All rows of a picture that is read in strips, in bands that overlap."""
    assert isinstance(picture, LargePicture)
    height = picture.size[0]
    bands = [
        picture.rows.rows(top, min(top + 30, height))[:20].copy() for top in range(0, height, 20)
    ]
    return np.concatenate(bands)


@pytest.mark.parametrize(("ending", "mode", "how"), SAVED, ids=str)
def test_strips_have_pillows_pixels(
    tmp_path: Path, ending: str, mode: str, how: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / f"p{ending}"
    PICTURES[mode].save(path, **how)
    whole = read_picture(path)
    with monkeypatch.context() as without:
        without.delattr(ImageFile.ImageFile, "load")  # Pillow decodes nothing
        picture = open_picture(path)
    assert (picture.size, picture.peak) == (whole.size, whole.peak)
    actual = pixels_of(picture)
    assert actual.dtype == whole.pixels.dtype
    assert np.array_equal(actual, whole.pixels)


def test_a_name_that_is_not_utf8(tmp_path: Path) -> None:
    path = tmp_path / "\udce9.png"
    RGB.save(path)
    assert np.array_equal(pixels_of(open_picture(path)), np.asarray(RGB))


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("p.png", {"interlace": True}),
        ("p.png", {"bitdepth": 16}),
        ("p.tif", {"tile": True, "tile_width": 64, "tile_height": 32, "compression": "deflate"}),
        ("p.tif", {"tile": True, "compression": "jpeg", "Q": 60}),
        ("p.tif", {"bigtiff": True, "predictor": "horizontal", "compression": "lzw"}),
    ],
    ids=str,
)
@pytest.mark.parametrize("bands", [1, 3])
def test_files_that_libvips_writes(
    tmp_path: Path, name: str, options: dict[str, Any], bands: int
) -> None:
    path, sixteen = tmp_path / name, options.get("bitdepth") == 16
    values = smooth(bands).astype(np.uint16) * 257 if sixteen else smooth(bands)
    image = pyvips.Image.new_from_array(values if bands > 1 else values[:, :, 0])
    image.write_to_file(str(path), **options)
    assert np.array_equal(pixels_of(open_picture(path)), read_picture(path).pixels)


def test_grey_of_16_bits_and_alpha(tmp_path: Path) -> None:
    path = tmp_path / "p.png"
    image = pyvips.Image.new_from_array(smooth(2).astype(np.uint16) * 257)
    image.write_to_file(str(path), bitdepth=16)
    assert np.array_equal(pixels_of(open_picture(path)), read_picture(path).pixels)


def write_with_gdal(path: Path, pixels: NDArray[np.uint8], **options: Any) -> None:
    if "tiled" in options:
        options |= {"blockxsize": 64, "blockysize": 64}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that they lie nowhere on the earth
        with rasterio.open(
            path, "w", driver="GTiff", width=WIDTH, height=HEIGHT, count=pixels.shape[2],
            dtype="uint8", **options,
        ) as file:  # fmt: skip
            file.write(pixels.transpose(2, 0, 1))


def test_nothing_is_decoded_that_there_is_no_memory_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a strip that is all of the picture, not even a pixel, to see whether it can be read."""
    path = tmp_path / "p.tif"
    Image.fromarray(smooth(3)).save(path, compression="tiff_lzw", strip_size=1 << 20)
    fetched: list[object] = []
    monkeypatch.setattr(vips_rows, "_fetched", lambda *part: fetched.append(part))
    set_max_memory(20 << 10)
    with pytest.raises(MemoryLimitError, match=r"p\.tif: decoding a TIFF, which has to be kept,"):
        open_picture(path)
    assert fetched == []


def test_tiles_that_libvips_may_be_built_without(tmp_path: Path) -> None:
    """It gave them as black; what it does not read is decoded as a whole."""
    path, pixels = tmp_path / "p.tif", smooth(3)
    write_with_gdal(path, pixels, tiled=True, compress="zstd")
    assert np.array_equal(open_picture(path).rows.rows(0, HEIGHT), pixels)


@pytest.mark.parametrize(
    ("bands", "options", "said"),
    [
        (1, {"interleave": "band", "tiled": True, "compress": "lzw"}, "libvips does not read it ("),
        (2, {"interleave": "band", "compress": "lzw"}, "its two bands lie apart; save it"),
    ],
)
def test_bands_that_lie_apart(
    tmp_path: Path, bands: int, options: dict[str, Any], said: str
) -> None:
    path, pixels = tmp_path / "p.tif", smooth(bands)
    write_with_gdal(path, pixels, **options)
    assert np.array_equal(open_picture(path).pixels, pixels[:, :, :1])
    set_max_memory(100 << 10)
    with pytest.raises(MemoryLimitError, match=f"; {re.escape(said)}"):
        open_picture(path)


def with_exif_at_its_end(path: Path) -> None:
    """A PNG as some programs write it."""
    RGB.save(path, "PNG", exif=oriented(6))
    content = path.read_bytes()
    at = content.index(b"eXIf") - 4
    length = 12 + int.from_bytes(content[at : at + 4], "big")
    chunk, rest = content[at : at + length], content[:at] + content[at + length :]
    path.write_bytes(rest[:-12] + chunk + rest[-12:])


@pytest.mark.parametrize(
    ("save", "said"),
    [
        (
            with_exif_at_its_end,
            "it has its EXIF behind the pixels; save it again to have it read in strips",
        ),
        (lambda path: RGB.save(path, "BMP"), "a BMP is not read in strips; save it as TIFF, PNG"),
        (
            lambda path: RGB.save(path, "JPEG", exif=oriented(8)),
            "its EXIF orientation is 8; save it upright to have it read in strips",
        ),
        (
            lambda path: RGB.save(path, "TIFF", exif=oriented(3)),
            "its EXIF orientation is 3; save it upright to have it read in strips",
        ),
        (
            lambda path: RGB.save(path, "WEBP", save_all=True, append_images=[RGB.rotate(180)]),
            "an animated WebP is not read in strips; save its first frame alone",
        ),
    ],
)
def test_why_it_is_not_read_in_strips(tmp_path: Path, save: Any, said: str) -> None:
    """It is read as a whole where that fits; where it does not the reason is in the refusal."""
    path = tmp_path / "p.any"
    save(path)
    assert np.array_equal(open_picture(path).pixels, read_picture(path).pixels)
    set_max_memory(100 << 10)
    with pytest.raises(MemoryLimitError, match=f"p.any: .* may be used .*; {re.escape(said)}"):
        open_picture(path)


def oriented(orientation: int) -> Image.Exif:
    exif = Image.Exif()
    exif[0x0112] = orientation
    return exif


def test_a_png_of_countless_chunks(tmp_path: Path) -> None:
    path = tmp_path / "p.png"
    RGB.save(path)
    content, chunk = path.read_bytes(), b"\0\0\0\0prVt" + zlib.crc32(b"prVt").to_bytes(4, "big")
    path.write_bytes(content[:-12] + 140_000 * chunk + content[-12:])
    with Image.open(path) as opened:
        said = vips_rows.why_not_in_strips(opened, str(path))
    assert said.startswith("it has its EXIF behind the pixels")


def test_without_pyvips(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One line names the extra, where the picture does not fit without."""
    monkeypatch.setitem(sys.modules, "pyvips", None)
    path = tmp_path / "p.png"
    RGB.save(path)
    assert type(open_picture(path)) is ns.Picture
    set_max_memory(100 << 10)
    with pytest.raises(MemoryLimitError, match=r"; pip install 'netsurgery\[huge\]' to have it"):
        open_picture(path)


@pytest.mark.parametrize(
    ("name", "options", "what"),
    [
        ("p.jpg", {"interlace": True}, "a progressive JPEG"),
        ("p.png", {"interlace": True}, "an interlaced PNG"),
    ],
)
def test_what_cannot_be_read_in_strips_alone_says_what_it_needs(
    tmp_path: Path, name: str, options: dict[str, Any], what: str
) -> None:
    path = tmp_path / name
    pyvips.Image.new_from_array(np.tile(smooth(3), (5, 5, 1))).write_to_file(str(path), **options)
    set_max_memory(700 << 10)
    with pytest.raises(MemoryLimitError) as caught:
        open_picture(path)
    said = rf"p.\w+: decoding {what}, which has to be kept, needs 1\.\d MiB of memory; 700"
    assert re.search(said, str(caught.value))


def test_a_tiled_tiff_that_is_cut_short(tmp_path: Path) -> None:
    """libvips gives what it cannot decode as black."""
    path = tmp_path / "p.tif"
    write_with_gdal(path, smooth(3), tiled=True)
    path.write_bytes(path.read_bytes()[: 2 * HEIGHT * WIDTH])
    with pytest.raises(ImageError, match=r"p\.tif: broken picture \("):
        pixels_of(open_picture(path))


@pytest.mark.parametrize("ending", [".jpg", ".png", ".tif", ".webp"])
def test_a_broken_file(tmp_path: Path, ending: str) -> None:
    path = tmp_path / f"p{ending}"
    RGB.save(path, **({"compression": "tiff_lzw"} if ending == ".tif" else {}))
    content = path.read_bytes()
    start = len(content) * 2 // 3
    # The directory of a TIFF is behind the pixels.
    path.write_bytes(
        content[:start] + (b"\xff" * 4000 + content[start + 4000 :]) * (ending == ".tif")
    )
    with pytest.raises(ImageError, match=rf"p\{ending}: broken picture \(") as caught:
        pixels_of(open_picture(path))
    assert "\n" not in str(caught.value)
    assert str(caught.value).count(path.name) == 1


def test_more_pixels_are_allowed_deliberately(tmp_path: Path) -> None:
    path = tmp_path / "p.png"
    pyvips.Image.black(20000, 10000).pngsave(str(path), compression=1)
    with pytest.raises(ImageError, match=r"10000x20000 is more than 134217728 pixels \(set_max_pi"):
        open_picture(path)
    set_max_pixels("10000x20000")
    try:
        picture = open_picture(path)
    finally:
        set_max_pixels(None)
    assert picture.size == (10000, 20000)
    assert picture.pixels.shape == (1111, 2222, 1)  # of 9 x 9 pixels each
    assert picture.thumbnail((20, 40)).size == (40, 20)


@pytest.fixture
def canvas(converted_net: Path, repo_root: Path) -> Path:
    """A folder with the converted digits net and a large canvas, where commands are run."""
    small = Image.open(repo_root / "examples/digits_canvas.png")
    large = Image.new("L", (900, 1100))
    for left in range(0, 900, 288):
        for top in range(0, 1100, 192):
            large.paste(small, (left, top))
    large.save("p.png")
    return converted_net


@pytest.mark.parametrize("size", ["image", "900x800", "net"])
def test_maps_of_strips_are_the_maps_of_the_whole(
    canvas: Path, size: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = ["classify-map", "p.png", "--engine", "embedded", "--size", size, "-q"]
    words += ["--threads", "1"]
    tile = [] if size == "net" else ["--tile", "400"]
    drawn = ["--picture", "map.png", "--html", "map.html"]
    assert run([*words, *tile, "--npy", "strips.npy", *drawn]) == 0
    monkeypatch.undo()
    monkeypatch.chdir(canvas)
    assert run([*words, "--npy", "whole.npy"]) == 0
    assert np.array_equal(np.load("strips.npy"), np.load("whole.npy"))
    with Image.open("map.png") as picture:
        assert picture.getbbox() is not None


def test_windows_are_those_of_the_real_picture(canvas: Path) -> None:
    options = ns.PictureOptions("image", tile=400)
    maps = [
        ns.classify_map(picture, "netsurgery.toml", size=options, engine="embedded")
        for picture in ("p.png", read_picture("p.png"))
    ]
    windows = [class_map.windows() for class_map in maps]
    assert isinstance(maps[0].picture, LargePicture)
    assert maps[0].picture.size == maps[1].picture.size == (1100, 900)
    assert windows[0] is not None
    assert windows[1] is not None
    assert np.array_equal(windows[0], windows[1])


def test_the_command_allows_more_pixels(
    canvas: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """While it runs, and by the variable, too."""
    monkeypatch.setattr(picture_limits, "PIXEL_LIMIT", 100_000)
    words = ["classify-map", "p.png", "--engine", "embedded", "--size", "64x64", "-q"]
    assert run(words) == 1
    said = "error: p.png: 1100x900 is more than 100000 pixels (--max-pixels); scale it down first\n"
    assert capsys.readouterr().err == said
    assert run([*words, "--max-pixels", "1100x900"]) == 0
    assert run([*words, "--max-pixels", "989999"]) == 1
    assert run(words) == 1
    assert run([*words, "--max-pixels", "many"]) == 2
    monkeypatch.setenv("NETSURGERY_MAX_PIXELS", "990000")
    assert run(words) == 0


def test_a_file_that_is_another_one_by_then(tmp_path: Path) -> None:
    path = tmp_path / "p.png"
    RGB.save(path)
    picture = open_picture(path)
    L.resize((9, 9)).save(path)
    with pytest.raises(ImageError, match=r"p\.png: libvips and Pillow find different pictures in"):
        pixels_of(picture)
