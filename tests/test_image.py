from __future__ import annotations

import contextlib
import io
import os
import struct
import subprocess
import sys
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from netsurgery.errors import ImageError
from netsurgery.maps import channels as channels_module
from netsurgery.maps import image as image_module
from netsurgery.maps import pillow_pixels
from netsurgery.maps.image import Picture, read_picture

RANDOM = np.random.default_rng(0)
RGBA = RANDOM.integers(0, 256, (7, 9, 4), dtype=np.uint8)
RGB = np.ascontiguousarray(RGBA[:, :, :3])


def saved(folder: Path, image: Image.Image, name: str = "picture.png", **how: Any) -> str:
    path = folder / name
    image.save(path, **how)
    return str(path)


def seen(picture: Picture, channels: int) -> Any:
    """The picture as the transformer takes it, brought to 0..1."""
    pixels, peak = picture.channels(channels)
    assert pixels.shape[2] == channels
    return pixels / peak


def grey(rgb: Any) -> Any:
    return rgb[:, :, 0] * 0.2125 + rgb[:, :, 1] * 0.7154 + rgb[:, :, 2] * 0.0721


def test_colour(tmp_path: Path) -> None:
    picture = read_picture(saved(tmp_path, Image.fromarray(RGB)))
    assert picture.size == (7, 9)
    assert np.array_equal(seen(picture, 3), RGB / 255)
    assert np.allclose(seen(picture, 1)[:, :, 0], grey(RGB / 255))


def test_grey_is_repeated_for_three_channels(tmp_path: Path) -> None:
    picture = read_picture(saved(tmp_path, Image.fromarray(RGB[:, :, 0].copy())))
    assert np.array_equal(seen(picture, 1)[:, :, 0], RGB[:, :, 0] / 255)
    for channel in range(3):
        assert np.array_equal(seen(picture, 3)[:, :, channel], RGB[:, :, 0] / 255)


def test_alpha_is_dropped_in_colour_and_laid_on_white_in_grey(tmp_path: Path) -> None:
    picture = read_picture(saved(tmp_path, Image.fromarray(RGBA)))
    assert np.array_equal(seen(picture, 3), RGB / 255)
    alpha = RGBA[:, :, 3:] / 255
    assert np.allclose(seen(picture, 1)[:, :, 0], grey(RGB / 255 * alpha + 1 - alpha))


def test_sixteen_bits(tmp_path: Path) -> None:
    values = RANDOM.integers(0, 65536, (7, 9)).astype(np.uint16)
    values[0, :2] = 0, 65535
    picture = read_picture(saved(tmp_path, Image.fromarray(values)))
    assert np.array_equal(seen(picture, 1)[:, :, 0], values / 65535)


def test_sixteen_bits_big_endian(tmp_path: Path) -> None:
    values = RANDOM.integers(0, 65536, (7, 9)).astype(np.uint16)
    swapped = Image.frombytes("I;16B", (9, 7), values.astype(">u2").tobytes())
    picture = read_picture(saved(tmp_path, swapped, "picture.tif"))
    assert np.array_equal(seen(picture, 1)[:, :, 0], values / 65535)


def test_one_bit(tmp_path: Path) -> None:
    bits = RGB[:, :, 0] > 99
    picture = read_picture(saved(tmp_path, Image.fromarray(bits)))
    assert np.array_equal(seen(picture, 1)[:, :, 0], bits.astype(float))


def test_palette(tmp_path: Path) -> None:
    few = Image.fromarray(RGB).quantize(8)
    picture = read_picture(saved(tmp_path, few))
    assert np.array_equal(seen(picture, 3), np.asarray(few.convert("RGB")) / 255)


def test_palette_with_a_clear_colour(tmp_path: Path) -> None:
    few = Image.fromarray(RGB).quantize(8)
    picture = read_picture(saved(tmp_path, few, transparency=3))
    clear = np.asarray(few) == 3
    assert clear.any()
    assert np.all(seen(picture, 1)[clear] == 1)
    assert np.array_equal(seen(picture, 3), np.asarray(few.convert("RGB")) / 255)


def test_cmyk(tmp_path: Path) -> None:
    flat = Image.new("RGB", (16, 8), (200, 40, 90)).convert("CMYK")
    picture = read_picture(saved(tmp_path, flat, "picture.jpg"))
    assert picture.size == (8, 16)
    assert np.allclose(seen(picture, 3), np.array([200, 40, 90]) / 255, atol=0.02)


@pytest.mark.parametrize("name", ["p.jpg", "p.bmp", "p.ppm", "p.gif", "p.tif", "p.webp"])
def test_other_kinds(tmp_path: Path, name: str) -> None:
    flat = Image.new("RGB", (16, 8), (200, 40, 90))
    picture = read_picture(saved(tmp_path, flat, name))
    assert picture.size == (8, 16)
    assert np.allclose(seen(picture, 3), np.array([200, 40, 90]) / 255, atol=0.03)


def test_several_frames_give_the_first(tmp_path: Path) -> None:
    shades = [Image.new("L", (4, 4), shade) for shade in (10, 200)]
    path = saved(tmp_path, shades[0], "p.gif", save_all=True, append_images=shades[1:])
    assert np.allclose(seen(read_picture(path), 1), 10 / 255)


#: orientation -> what brings the stored pixels upright, by the standard's own words
UPRIGHT = {
    1: lambda a: a,
    2: lambda a: a[:, ::-1],
    3: lambda a: a[::-1, ::-1],
    4: lambda a: a[::-1],
    5: lambda a: a.transpose(1, 0, 2),
    6: lambda a: np.rot90(a, -1),
    7: lambda a: a[::-1, ::-1].transpose(1, 0, 2),
    8: lambda a: np.rot90(a, 1),
}


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation(tmp_path: Path, orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = saved(tmp_path, Image.fromarray(RGB), exif=exif)
    assert np.array_equal(read_picture(path).pixels, UPRIGHT[orientation](RGB))


@pytest.mark.parametrize("how", [None, "tiff_lzw"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_tiff_is_turned_once(tmp_path: Path, orientation: int, how: str | None) -> None:
    """Pillow turns it itself when it loads it."""
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = saved(tmp_path, Image.fromarray(RGB), "p.tif", exif=exif, compression=how)
    assert np.array_equal(read_picture(path).pixels, UPRIGHT[orientation](RGB))


def test_a_picture_is_taken_box_by_box(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pillow_pixels, "_BOX", 5)
    monkeypatch.setattr(channels_module, "_SOME", 4)
    for orientation in (1, 6):
        exif = Image.Exif()
        exif[0x0112] = orientation
        path = saved(tmp_path, Image.fromarray(RGBA), exif=exif)
        picture = read_picture(path)
        assert np.array_equal(picture.pixels, UPRIGHT[orientation](RGBA))
        alpha = picture.pixels[:, :, 3:] / 255
        expected = grey(picture.pixels[:, :, :3] / 255 * alpha + 1 - alpha)
        assert np.allclose(seen(picture, 1)[:, :, 0], expected)


def test_sixteen_bits_are_turned_too(tmp_path: Path) -> None:
    values = RANDOM.integers(0, 65536, (7, 9)).astype(np.uint16)
    exif = Image.Exif()
    exif[0x0112] = 6
    path = saved(tmp_path, Image.fromarray(values), exif=exif)
    assert np.array_equal(read_picture(path).pixels[:, :, 0], np.rot90(values, -1))


@pytest.mark.parametrize("orientation", [0, 9, 65535])
def test_an_orientation_that_means_nothing(tmp_path: Path, orientation: Any) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = saved(tmp_path, Image.fromarray(RGB), exif=exif)
    assert np.array_equal(read_picture(path).pixels, RGB)


def test_broken_exif_is_no_reason_to_refuse(tmp_path: Path) -> None:
    path = saved(tmp_path, Image.fromarray(RGB), exif=b"Exif\0\0II*\0\xff\xff\xff\xff")
    assert np.array_equal(read_picture(path).pixels, RGB)


def refusal(path: str) -> str:
    with pytest.raises(ImageError) as error:
        read_picture(path)
    said = str(error.value)
    assert "\n" not in said
    return said


def test_no_file(tmp_path: Path) -> None:
    path = str(tmp_path / "none.png")
    assert refusal(path) == f"{path}: No such file or directory"


def test_a_folder(tmp_path: Path) -> None:
    assert refusal(str(tmp_path)) == f"{tmp_path}: is a folder, expected a picture"


def test_an_empty_file(tmp_path: Path) -> None:
    (tmp_path / "e.png").touch()
    assert refusal(str(tmp_path / "e.png")) == (
        f"{tmp_path / 'e.png'}: is empty, expected a picture"
    )


@pytest.mark.parametrize("content", [b"html", b"%!PS-Adobe-3.0 EPSF-3.0\n", b"\0" * 999])
def test_not_a_picture(tmp_path: Path, content: bytes) -> None:
    """PostScript is among them: nothing outside this process is started to draw it."""
    path = tmp_path / "p.jpg"
    path.write_bytes(content)
    assert refusal(str(path)) == (
        f"{path}: not a picture of a kind that can be read (JPEG, PNG, PPM, BMP, GIF, TIFF, WebP)"
    )


@pytest.mark.parametrize("name", ["p.jpg", "p.png", "p.bmp", "p.webp", "p.ppm", "p.tif"])
def test_cut_short(tmp_path: Path, name: str) -> None:
    noise = Image.fromarray(RANDOM.integers(0, 256, (64, 64, 3), dtype=np.uint8))
    whole = Path(saved(tmp_path, noise, name)).read_bytes()
    path = tmp_path / f"cut_{name}"
    path.write_bytes(whole[: len(whole) // 2])
    said = refusal(str(path))
    assert said.startswith((f"{path}: broken picture (", f"{path}: not a picture of a kind"))


def test_every_cut_and_flip_is_one_kind_of_error(tmp_path: Path) -> None:
    """A file broken anywhere is read or refused, and nothing else."""
    for name in ("p.png", "p.jpg", "p.tif", "p.gif"):
        whole = Path(saved(tmp_path, Image.fromarray(RGB), name)).read_bytes()
        path = tmp_path / "broken"
        for at in range(0, len(whole), 3):
            flipped = whole[:at] + bytes([whole[at] ^ 0xFF]) + whole[at + 1 :]
            for content in (whole[:at], flipped):
                path.write_bytes(content)
                with contextlib.suppress(ImageError):
                    assert read_picture(str(path)).pixels.ndim == 3


def png_header(width: int, height: int) -> bytes:
    """A PNG that declares a size and holds one byte of pixels."""
    parts = [(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))]
    parts += [(b"IDAT", zlib.compress(b"\0")), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
        for kind, body in parts
    )


def test_absurdly_large(tmp_path: Path) -> None:
    path = tmp_path / "p.png"
    path.write_bytes(png_header(12000, 12000))
    assert refusal(str(path)) == (
        f"{path}: 12000x12000 is more than 134217728 pixels (set_max_pixels); scale it down first"
    )
    path.write_bytes(png_header(1000000, 1000000))
    assert refusal(str(path)) == (
        f"{path}: 1000000x1000000 is more than 134217728 pixels (set_max_pixels); "
        "scale it down first"
    )


def test_as_large_as_is_taken_gives_no_warning(tmp_path: Path) -> None:
    """Pillow warns from 89 million pixels on; the limit here is a higher one."""
    path = tmp_path / "p.png"
    path.write_bytes(png_header(11000, 11000))
    assert refusal(str(path)).startswith(f"{path}: broken picture (")


def test_no_agreed_range(tmp_path: Path) -> None:
    floats = Image.fromarray(np.zeros((4, 4), np.float32))
    path = saved(tmp_path, floats, "p.tif")
    assert refusal(path) == (
        f"{path}: its pixels are floats, which have no agreed range; "
        "save it with 8 or 16 bits a channel"
    )


def test_standard_input(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = io.BytesIO()
    Image.fromarray(RGB).save(file, "PNG")
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(file.getvalue())))
    picture = read_picture("-")
    assert picture.name == "-"
    assert np.array_equal(picture.pixels, RGB)
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"")))
    assert refusal("-") == "<stdin>: is empty, expected a picture"
    monkeypatch.setattr(sys, "stdin", None)
    assert refusal("-") == "<stdin>: is closed"


def test_a_stream_has_a_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(image_module, "STREAM_LIMIT", 100)
    assert refusal("/dev/zero") == "/dev/zero: more than 100 bytes; expected a picture"


def test_a_pipe(tmp_path: Path) -> None:
    path = tmp_path / "pipe"
    os.mkfifo(path)
    source = saved(tmp_path, Image.fromarray(RGB))
    with subprocess.Popen(["sh", "-c", f"cat '{source}' > '{path}'"]) as writer:
        picture = read_picture(str(path))
        assert writer.wait(10) == 0
    assert np.array_equal(picture.pixels, RGB)


def test_thumbnail(tmp_path: Path) -> None:
    for image in (Image.fromarray(RGBA), Image.fromarray(RGB[:, :, 0].astype(np.uint16) * 257)):
        picture = read_picture(saved(tmp_path, image))
        small = picture.thumbnail((20, 30))
        assert small.size == (30, 20)
        assert small.mode == "RGB"
    assert np.asarray(small)[:, :, 0].std() > 20
