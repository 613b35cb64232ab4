"""Pictures that ask for more work or memory than their bytes and pixels are worth."""

from __future__ import annotations

import io
import json
import struct
import subprocess
import sys
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from netsurgery.errors import ImageError, MemoryLimitError
from netsurgery.io import memory
from netsurgery.maps import picture_limits
from netsurgery.maps.image import read_picture
from netsurgery.maps.picture_limits import EXIF_LIMIT, SCAN_LIMIT, STRIP_LIMIT, check_file

RGB = np.random.default_rng(0).integers(0, 256, (64, 80, 3), dtype=np.uint8)


def saved(kind: str, image: Image.Image | None = None, **how: Any) -> bytes:
    file = io.BytesIO()
    (image or Image.fromarray(RGB)).save(file, kind, **how)
    return file.getvalue()


def refusal(folder: Path, content: bytes, sparse: int = 0) -> str:
    """What is said of the file, without its name; it is as long as `sparse` where that is more."""
    path = folder / "p"
    path.write_bytes(content)
    if sparse > len(content):
        with path.open("r+b") as file:
            file.truncate(sparse)
    with pytest.raises(ImageError) as error:
        read_picture(str(path))
    assert str(error.value).startswith(f"{path}: ")
    return str(error.value).removeprefix(f"{path}: ")


def taken(folder: Path, content: bytes) -> Any:
    path = folder / "p"
    path.write_bytes(content)
    return read_picture(str(path)).pixels


def scans(count: int, again: bytes = b"") -> bytes:
    """A progressive JPEG whose last scan stands there `count` times more, without its numbers."""
    whole = saved("JPEG", progressive=True)
    start = whole.rindex(b"\xff\xda")
    (length,) = struct.unpack_from(">H", whole, start + 2)
    return whole[:-2] + (whole[start : start + 2 + length] + again) * count + whole[-2:]


def segment(marker: int, content: bytes) -> bytes:
    return bytes([0xFF, marker]) + struct.pack(">H", 2 + len(content)) + content


def with_segments(segments: bytes) -> bytes:
    whole = saved("JPEG")
    return whole[:2] + segments + whole[2:]


def test_scans(tmp_path: Path) -> None:
    usual = scans(0).count(b"\xff\xda")
    assert usual < 20
    assert taken(tmp_path, scans(SCAN_LIMIT - usual)).shape == RGB.shape
    for again in (b"", b"\0", b"\xff", b"\xff\0\0", b"\xff\xd0", b"\0\xff\xff"):
        said = refusal(tmp_path, scans(SCAN_LIMIT - usual + 1, again))
        assert said == "a JPEG of more than 100 scans; save it again"


def test_scans_are_counted_across_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    for size in (2, 3, 7, 64, 1000):
        monkeypatch.setattr(picture_limits, "_BLOCK", size)
        for again in (b"", b"\0" * 5, b"\xff\0" * 3):
            for count in (80, SCAN_LIMIT + 1):
                content = scans(count, again)
                if count > SCAN_LIMIT:
                    with pytest.raises(ImageError, match="scans"):
                        check_file(io.BytesIO(content), len(content))
                else:
                    check_file(io.BytesIO(content), len(content))


def test_scans_in_a_thumbnail_or_behind_the_end_do_not_count(tmp_path: Path) -> None:
    inside = b"\xff\xda\0\x08\1\1\0\0?\0" * 300
    for marker in (0xE1, 0xE2, 0xFE):
        content = with_segments(segment(marker, b"Exif\0\0" + inside)) + inside
        assert taken(tmp_path, content).shape == RGB.shape


def test_scans_in_a_tiff(tmp_path: Path) -> None:
    """libtiff has the same limit for the JPEG in its strips."""
    jpeg = scans(200)
    numbers = {
        256: 80, 257: 64, 258: 8, 259: 7, 262: 6, 273: 300, 277: 3, 278: 64, 279: len(jpeg),
        530: 2 | 2 << 16,
    }  # fmt: skip
    entries = b"".join(
        struct.pack("<HHII", tag, 4 if tag != 530 else 3, 1 if tag != 530 else 2, value)
        for tag, value in numbers.items()
    )
    head = b"II*\0\x08\0\0\0" + struct.pack("<H", len(numbers)) + entries + b"\0\0\0\0"
    assert "broken picture" in refusal(tmp_path, head.ljust(300, b"\0") + jpeg)


def test_exif_in_parts(tmp_path: Path) -> None:
    """Each part is joined to those before: 3 MB of them took 20 seconds."""
    part = segment(0xE1, b"Exif\0\0" + b"x" * 20)
    assert taken(tmp_path, with_segments(part * EXIF_LIMIT)).shape == RGB.shape
    said = refusal(tmp_path, with_segments(part * (EXIF_LIMIT + 1)))
    assert said == "a JPEG with more than 100 parts of Exif; save it again"


def png(*chunks: tuple[bytes, bytes]) -> bytes:
    parts = [b"\x89PNG\r\n\x1a\n"]
    for kind, body in chunks:
        check = struct.pack(">I", zlib.crc32(kind + body))
        parts += struct.pack(">I", len(body)), kind, body, check
    return b"".join(parts)


HEAD = (b"IHDR", struct.pack(">IIBBBBB", 4, 4, 8, 0, 0, 0, 0))
PIXELS = (b"IDAT", zlib.compress(b"\0\1\2\3\4" * 4))
END = (b"IEND", b"")
MANY = 80000

PIECES = {
    "a JPEG of segments": with_segments(segment(0xE2, b"x") * 140000),
    "a JPEG of fill bytes": saved("JPEG")[:2] + b"\xff" * 300000 + saved("JPEG")[3:],
    "chunks before the pixels": png(HEAD, *[(b"prIv", b"")] * MANY, PIXELS, END),
    "chunks behind the pixels": png(HEAD, PIXELS, *[(b"prIv", b"")] * MANY, END),
    "pixels in small chunks": png(HEAD, *[(b"IDAT", b"")] * MANY, PIXELS, END),
    "a PNM's comment": b"P6\n#" + b"x" * 300000 + b"\n2 2 255\n" + b"\0" * 12,
    "a PNM's blanks": b"P6\n" + b" " * 300000 + b"2 2 255\n" + b"\0" * 12,
}


@pytest.mark.parametrize("content", PIECES.values(), ids=PIECES)
def test_pieces(tmp_path: Path, content: bytes) -> None:
    """They are read one after another, a microsecond or three each."""
    said = refusal(tmp_path, content)
    if content[:2] == b"\xff\xd8" and "markers" in said:
        assert said == "a JPEG with more than 131072 markers of a kind; save it again"
    else:
        assert said == "more than 131072 pieces that are not pixels; expected a picture"


@pytest.mark.parametrize("start", [b"\xff\xd8\xff\xe0", b"GIF89a", b"P6\n#", b"P5 "])
def test_a_head_and_nothing_but_zeros(tmp_path: Path, start: bytes) -> None:
    """A sparse file of 128 MiB costs nothing to send."""
    said = refusal(tmp_path, start, sparse=1 << 27)
    assert said.startswith(("more than 131072 pieces", "broken picture", "not a picture"))


def test_a_long_file(tmp_path: Path) -> None:
    said = refusal(tmp_path, saved("PNG"), sparse=(1 << 30) + 1)
    assert said == ("1073741825 bytes; a picture's file may have 1073741824 (set_max_pixels)")


def tiff(strips: int, order: str = "<", big: bool = False) -> bytes:
    """A TIFF of rows of 16 pixels, each a strip of its own, all of them the same bytes."""
    at = 400
    numbers = {
        256: 16, 257: strips, 258: 8, 259: 1, 262: 1, 273: at, 277: 1, 278: 1, 279: at + 8 * strips
    }  # fmt: skip
    many = {273: strips, 279: strips}
    entry = f"{order}HHQQ" if big else f"{order}HHII"
    entries = b"".join(
        struct.pack(entry, tag, 4, many.get(tag, 1), value)
        if order == "<" or tag in many
        else struct.pack(entry, tag, 4, 1, value << (32 if big else 0))
        for tag, value in numbers.items()
    )
    mark = b"II" if order == "<" else b"MM"
    head = (
        mark + struct.pack(f"{order}HHHQQ", 43, 8, 0, 16, len(numbers))
        if big
        else mark + struct.pack(f"{order}HIH", 42, 8, len(numbers))
    )
    offsets = struct.pack(f"{order}I", 8) * (2 * strips) + struct.pack(f"{order}I", 16) * strips
    return (head + entries).ljust(at, b"\0") + offsets


@pytest.mark.parametrize("order", "<>")
@pytest.mark.parametrize("big", [False, True])
def test_strips(tmp_path: Path, order: str, big: bool) -> None:
    """Each is an object before the picture's size is looked at."""
    said = refusal(tmp_path, tiff(STRIP_LIMIT + 1, order, big))
    assert said == "a TIFF whose strips or tiles are 131073; at most 131072 are taken"
    if not big and order == "<":
        assert taken(tmp_path, tiff(1000)).shape == (1000, 16, 1)


@pytest.mark.parametrize("content", [b"II*\0", b"II*\0\xff\xff\xff\xff", b"MM\0+" + b"\xff" * 60])
def test_a_broken_directory_is_the_decoders(tmp_path: Path, content: bytes) -> None:
    assert "strips" not in refusal(tmp_path, content)


def test_comments_of_a_plain_pnm(tmp_path: Path) -> None:
    """Each copies what is left of a MiB."""
    assert taken(tmp_path, b"P3\n# by hand\n2 2 255\n" + b"1 2 3 # so\n" * 4).shape == (2, 2, 3)
    said = refusal(tmp_path, b"P3\n2 2 255\n" + b"#\n" * 10001 + b"1 " * 12)
    assert said == "a PNM with more than 10000 comments; save it again"


def test_what_python_decodes_is_smaller(tmp_path: Path) -> None:
    assert taken(tmp_path, b"P6\n2 2 254\n" + b"\1" * 12).shape == (2, 2, 3)
    said = refusal(tmp_path, b"P6\n4097 4096 254\n", sparse=3 * 4097 * 4096 + 20)
    assert said == (
        "4096x4097 is more than 16777216 pixels, which is the most for this way of writing a "
        "PPM; save it with 8 bits a channel, as PNG"
    )


@pytest.mark.usefixtures("fresh_budget")
def test_the_budget_is_asked_before_decoding(tmp_path: Path) -> None:
    path = tmp_path / "p.png"
    Image.new("RGB", (2000, 2000)).save(path)
    memory.set_max_memory(10 << 20)
    with pytest.raises(MemoryLimitError, match=f"{path}: decoding it needs 15.3 MiB of memory"):
        read_picture(str(path))
    memory.set_max_memory(20 << 20)
    with pytest.raises(MemoryLimitError, match=f"{path}: its pixels as an array needs 11.4 MiB"):
        read_picture(str(path))
    memory.set_max_memory(30 << 20)
    picture = read_picture(str(path))
    assert memory._BUDGET.taken == picture.pixels.nbytes
    del picture
    assert memory._BUDGET.taken == 0


PEAK = """
import json, resource, sys
from netsurgery.io import memory
from netsurgery.maps.image import read_picture
read_picture(sys.argv[1])
asked, take = [], memory._Budget.take
def taking(self, count, what, more):
    take(self, count, what, more)
    asked.append(self.taken)
memory._Budget.take = taking
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
read_picture(sys.argv[2])
print(json.dumps([max(asked), (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) << 10]))
"""

LARGE: dict[str, tuple[str, str, dict[str, Any]]] = {
    "jpeg": ("RGB", "JPEG", {}),
    "progressive": ("RGB", "JPEG", {"progressive": True, "subsampling": 0}),
    "cmyk": ("CMYK", "JPEG", {"progressive": True}),
    "png": ("RGB", "PNG", {}),
    "alpha": ("RGBA", "PNG", {}),
    "palette": ("P", "PNG", {"transparency": 0}),
    "bits": ("1", "PNG", {}),
    "sixteen": ("I;16", "PNG", {}),
    "gif": ("P", "GIF", {}),
    "bmp": ("RGB", "BMP", {}),
    "ppm": ("RGB", "PPM", {}),
    "tiff": ("RGB", "TIFF", {}),
    "deflate": ("RGB", "TIFF", {"compression": "tiff_deflate"}),
    "webp": ("RGB", "WEBP", {"lossless": True, "method": 0, "quality": 0}),
}


@pytest.mark.parametrize("kind", LARGE)
def test_no_more_memory_than_was_asked_for(kind: str, tmp_path: Path) -> None:
    """The peak of a process that reads a picture of 16 million pixels, against its claims."""
    mode, format_, how = LARGE[kind]
    Image.new(mode, (4096, 4096), 7 if mode in ("1", "P", "I;16") else None).save(
        tmp_path / "large", format_, **how
    )
    (tmp_path / "small").write_bytes(saved(format_, Image.new(mode, (8, 8)), **how))
    words = [sys.executable, "-c", PEAK, str(tmp_path / "small"), str(tmp_path / "large")]
    done = subprocess.run(words, capture_output=True, text=True, check=True)
    asked, peak = json.loads(done.stdout)
    assert peak < asked + (16 << 20)
    assert asked < 26 << 24  # bytes for each pixel


def test_a_long_row_takes_little_more_than_its_pixels(tmp_path: Path) -> None:
    """A thumbnail of it is made of means."""
    Image.new("L", (1 << 24, 1), 9).save(tmp_path / "p.png")
    assert set(np.asarray(read_picture(str(tmp_path / "p.png")).thumbnail((90, 1436))).flat) == {9}


def test_a_thumbnail_of_means_is_near_that_of_all_pixels(monkeypatch: pytest.MonkeyPatch) -> None:
    from netsurgery.maps import image as module

    y, x = np.mgrid[0:800, 0:600]
    pixels = np.stack([128 + 99 * np.sin(x / 60), y / 4, (x + y) / 8], 2).astype(np.uint8)
    picture = module.Picture("p", pixels)
    fewer = np.asarray(picture.thumbnail((24, 20)), int)
    monkeypatch.setattr(module, "_FINER", 1000)
    assert np.abs(fewer - np.asarray(picture.thumbnail((24, 20)), int)).max() <= 3
