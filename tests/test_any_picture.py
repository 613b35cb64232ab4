"""One function for whatever a picture is in."""

from __future__ import annotations

import io
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from netsurgery.errors import ImageError, NetsurgeryError
from netsurgery.maps.any_picture import as_picture, as_pictures
from netsurgery.maps.image import Picture, read_picture

PIXELS = np.arange(4 * 6 * 3, dtype=np.uint8).reshape(4, 6, 3)


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    Image.fromarray(PIXELS).save("cat.png")
    return tmp_path


class Tensor:
    """An array of another library."""

    def __array__(self, dtype: Any = None, copy: Any = None) -> Any:
        return PIXELS


SAME: dict[str, Callable[[], Any]] = {
    "cat.png": lambda: "cat.png",
    "path": lambda: Path("cat.png"),
    "image": lambda: Image.fromarray(PIXELS),
    "opened": lambda: Image.open("cat.png"),
    "bytes": lambda: Path("cat.png").read_bytes(),
    "bytearray": lambda: bytearray(Path("cat.png").read_bytes()),
    "file": lambda: io.BytesIO(Path("cat.png").read_bytes()),
    "array": lambda: PIXELS,
    "tensor": Tensor,
    "picture": lambda: Picture("p", PIXELS),
}
NAMES = {"path": "cat.png", "opened": "cat.png", "tensor": "array", "picture": "p"} | {
    "bytearray": "bytes"
}


@pytest.mark.parametrize("what", SAME)
def test_the_same_picture_in_any_form(what: str) -> None:
    picture = as_picture(SAME[what]())
    assert picture.name == NAMES.get(what, what)
    np.testing.assert_array_equal(picture.pixels, PIXELS)


def test_an_open_file_is_called_by_its_name() -> None:
    with open("cat.png", "rb") as file:
        assert as_picture(file).name == "cat.png"


@pytest.mark.parametrize(
    ("shape", "pixels"),
    [((4, 6), (4, 6, 1)), ((4, 6, 1),) * 2, ((4, 6, 3),) * 2, ((4, 6, 4),) * 2],
)
@pytest.mark.parametrize("kind", ["u1", "u2", "f4", "f8", "f2"])
def test_arrays(shape: tuple[int, ...], pixels: tuple[int, ...], kind: str) -> None:
    picture = as_picture(np.ones(shape, kind))
    assert picture.pixels.shape == pixels
    assert picture.pixels.dtype == (kind if kind[0] == "u" else np.float32)


def test_floats_count_as_their_bytes_do() -> None:
    bytes_of, floats = as_picture(PIXELS), as_picture(PIXELS / 255)
    assert (bytes_of.peak, floats.peak) == (255, 1)
    grey = [picture.channels(1)[0] for picture in (bytes_of, floats)]
    np.testing.assert_allclose(grey[0], grey[1], atol=1e-6)
    seen = [np.asarray(picture.thumbnail((4, 6))) for picture in (bytes_of, floats)]
    np.testing.assert_array_equal(seen[0], seen[1])


@pytest.mark.parametrize("mode", ["L", "1", "P", "RGBA", "LA", "CMYK", "I;16"])
def test_a_pillow_image_is_read_as_its_file_is(mode: str) -> None:
    grey = Image.fromarray(PIXELS[:, :, 0])
    image = grey.convert("I").convert(mode) if mode == "I;16" else grey.convert(mode)
    image.save("same.tif" if mode == "CMYK" else "same.png")
    expected = read_picture("same.tif" if mode == "CMYK" else "same.png")
    np.testing.assert_array_equal(as_picture(image).pixels, expected.pixels)


def test_a_pillow_image_that_lies_on_its_side_is_turned() -> None:
    image = Image.fromarray(PIXELS)
    image.getexif()[0x0112] = 6
    image.save("side.jpg", exif=image.getexif(), quality=100)
    assert as_picture(Image.open("side.jpg")).size == read_picture("side.jpg").size == (6, 4)


EXPECTED = (
    "expected a path, a Pillow image, the bytes of a file, a binary file, or an array H x W, "
    "H x W x 1, 3 or 4 of uint8 or of floats 0..1"
)
WHERE = "expected H x W, or H x W x 1, 3 or 4"


@pytest.mark.parametrize(
    ("image", "message"),
    [
        (7, f"picture: found int; {EXPECTED}"),
        (None, f"picture: found NoneType; {EXPECTED}"),
        ([[1, 2], [3, 4]], f"picture: found list; {EXPECTED}"),
        (io.StringIO("x"), "file: a text file; open it in binary mode, as in open(name, 'rb')"),
        (np.zeros((4, 6, 3), int), "array: an array of int64; expected uint8, or floats of 0..1"),
        (np.zeros((4, 6), bool), "array: an array of bool; expected uint8, or floats of 0..1"),
        (np.zeros((4, 6), np.dtype(np.uint16).newbyteorder()), "array: an array of >u2; expected "
         "uint8, or floats of 0..1; .astype(np.uint16) gives its bytes the order of this machine"),
        (np.zeros((4, 6, 2), "u1"), f"array: an array of shape 4x6x2; {WHERE}"),
        (np.zeros((2, 4, 6, 3), "u1"), f"array: an array of shape 2x4x6x3; {WHERE}"),
        (np.zeros(4, "u1"), f"array: an array of shape 4; {WHERE}"),
        (np.zeros((), "u1"), f"array: an array of shape scalar; {WHERE}"),
        (np.zeros((0, 6), "u1"), f"array: an array of shape 0x6; {WHERE}"),
        (np.zeros((3, 40, 60), "u1"), f"array: an array of shape 3x40x60; {WHERE}; "
         ".transpose(1, 2, 0) puts its channels last"),
    ],
    ids=lambda value: value[:30] if isinstance(value, str) else type(value).__name__,
)  # fmt: skip
def test_what_is_no_picture_is_a_type_error_of_one_line(image: Any, message: str) -> None:
    with pytest.raises(TypeError) as error:
        as_picture(image)
    assert str(error.value) == message
    assert isinstance(error.value, NetsurgeryError)


@pytest.mark.parametrize(
    ("image", "message"),
    [
        (b"no picture", "bytes: not a picture of a kind that can be read"),
        (b"", "bytes: is empty, expected a picture"),
        ("none.png", "none.png: No such file or directory"),
        (PIXELS.astype("f4"), "array: floats from 0 to 71; expected 0..1, or uint8; divide by 255"),
        (PIXELS - 40.0, "array: floats from -40 to 31; expected 0..1, or uint8"),
        (np.full((2, 2), np.nan), "array: floats from nan to nan; expected 0..1, or uint8"),
    ],
)
def test_pictures_that_cannot_be_used(image: Any, message: str) -> None:
    with pytest.raises(ImageError) as error:
        as_picture(image)
    assert str(error.value).startswith(message)
    assert not isinstance(error.value, TypeError)


def test_one_picture_or_several() -> None:
    assert [picture.name for picture in as_pictures("cat.png")] == ["cat.png"]
    assert [picture.name for picture in as_pictures(PIXELS)] == ["array"]
    several: list[Any] = ["cat.png", PIXELS, Image.fromarray(PIXELS), Path("cat.png").read_bytes()]
    names = [picture.name for picture in as_pictures(iter(several))]
    assert names == ["cat.png", "array 1", "image 2", "bytes 3"]
    assert [picture.size for picture in as_pictures(np.stack([PIXELS] * 2))] == [(4, 6)] * 2
    with pytest.raises(TypeError, match=r"^picture 1: found int; expected a path"):
        list(as_pictures(["cat.png", 7]))  # type: ignore[list-item]
    with pytest.raises(TypeError, match=r"^picture: found int; expected a path"):
        list(as_pictures(7))  # type: ignore[arg-type]


def test_several_are_read_one_by_one() -> None:
    pictures = as_pictures(["cat.png", "none.png"])
    assert next(pictures).name == "cat.png"
    with pytest.raises(ImageError):
        next(pictures)


@pytest.mark.parametrize("kind", ["u1", "u2", "f4"])
def test_an_array_in_a_file_is_mapped(tmp_path: Path, kind: str) -> None:
    """None of it is copied, and none of it read, to know its size."""
    pixels = np.linspace(0, 1, 60).reshape(4, 5, 3)
    pixels = (pixels * (1 if kind == "f4" else np.iinfo(kind).max)).astype(kind)
    np.save(tmp_path / "p.npy", pixels)
    picture = as_picture(tmp_path / "p.npy")
    assert isinstance(picture.pixels, np.memmap)
    assert np.array_equal(picture.pixels, pixels)
    mapped = np.load(tmp_path / "p.npy", mmap_mode="r")
    assert np.shares_memory(as_picture(mapped).pixels, mapped)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (None, "No such file or directory"),
        (b"", "broken .npy file"),
        (
            b"\x93NUMPY\x01\x00v\x00{'descr': '|u1', 'shape': (99, 99), 'fortran_order': False}",
            "bro",
        ),
        (np.zeros((2, 3, 5), "u1"), "an array of shape 2x3x5"),
        (
            np.array([["a"]], object),
            "broken .npy file (Array can't be memory-mapped: Python objects",
        ),
    ],
    ids=["none", "empty", "short", "axes", "objects"],
)
def test_a_bad_array_in_a_file(tmp_path: Path, content: Any, said: str) -> None:
    path = tmp_path / "p.npy"
    if isinstance(content, bytes):
        path.write_bytes(content)
    elif content is not None:
        np.save(path, content)
    with pytest.raises(ImageError, match=re.escape(f"{path}: {said}")) as caught:
        as_picture(path)
    assert "\n" not in str(caught.value)
