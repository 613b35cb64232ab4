"""`classify-map --upsample pixels`: the scores of every pixel, between the cells'."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from numpy.typing import NDArray
from PIL import Image
from rasterio.errors import NotGeoreferencedWarning

import netsurgery as ns
from netsurgery.cli import run
from netsurgery.maps.upsampled import Upsampled

Array = NDArray[np.float32]

#: Three scores of each window of 6 x 10 pixels, every 3 x 4.
NET = """input: "x" input_shape { dim: [1, 1, 6, 10] }
layer { name: "c" type: "Convolution" bottom: "x" top: "c" convolution_param { num_output: 3
  kernel_h: 6 kernel_w: 10 stride_h: 3 stride_w: 4 weight_filler { type: "gaussian" std: 1 } } }
"""
SIZE = (30, 43)
CLASSIFY = "classify-map a.png --engine embedded -q --upsample pixels"


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("net.prototxt").write_text(NET)
    ns.init("net.prototxt", "w.caffemodel", seed=1)
    Path("netsurgery.toml").write_text(
        '[model]\nprototxt = "net.prototxt"\nweights = "w.caffemodel"\n'
    )
    pixels = np.random.default_rng(0).integers(0, 256, (25, 50)).astype(np.uint8)
    Image.fromarray(pixels).save("a.png")


def class_map(fit: Any = "warp") -> ns.ClassMap:
    return ns.classify_map(
        "a.png", "netsurgery.toml", size=ns.PictureOptions(SIZE, fit), engine="embedded"
    )


def expected(result: ns.ClassMap) -> Array:
    """The score of each pixel, pixel by pixel."""
    boxes = result.windows()
    assert boxes is not None
    lines = [[(box[1 - axis] + box[3 - axis]) / 2 for box in line]
             for axis, line in enumerate((boxes[:, 0], boxes[0]))]  # fmt: skip
    height, width = result.picture.size
    scores = np.full((result.classes, height, width), np.nan, np.float32)
    for y in range(height):
        for x in range(width):
            total, near = np.zeros(result.classes), True
            places = []
            for at, middles in zip((y + 0.5, x + 0.5), lines, strict=True):
                stride = middles[1] - middles[0]
                near = near and middles[0] - stride / 2 <= at + 1e-6
                near = near and at <= middles[-1] + stride / 2 + 1e-6
                at = min(max(at, middles[0]), middles[-1])
                places.append([max(0.0, 1 - abs(at - middle) / stride) for middle in middles])
            for row, down in enumerate(places[0]):
                for column, across in enumerate(places[1]):
                    if down and across:
                        total += down * across * result.values[:, row, column]
            if near:
                scores[:, y, x] = total
    return scores


@pytest.mark.parametrize("fit", ["warp", "crop", "pad"])
@pytest.mark.parametrize("block", [1 << 20, 1])
def test_every_pixel_is_between_its_cells(
    fit: str, block: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    result = class_map(fit)
    scores = expected(result)
    monkeypatch.setattr("netsurgery.maps.row_blocks._BLOCK", block)
    words = [*CLASSIFY.split(), "--size", "30x43", "--fit", fit]
    assert run([*words, "--npy", "m.npy", "--geotiff", "m.tif", "--class", "2,0"]) == 0
    values = np.load("m.npy")
    assert (values.dtype, values.shape) == (np.float32, (3, 25, 50))
    np.testing.assert_allclose(values, scores, atol=1e-5)
    # At the middle of a cell's window the score is the cell's; beyond the windows there is none.
    assert np.isnan(values).any()
    assert not np.isnan(values).all((1, 2)).any()
    with pytest.warns(NotGeoreferencedWarning):  # so it lies at the pixels
        file = rasterio.open("m.tif")
    with file:
        bands = file.read()
        assert file.transform == rasterio.Affine.identity()
        assert file.descriptions[2:] == ("score of class 2", "score of class 0")
    covered = ~np.isnan(values[0])
    np.testing.assert_array_equal(np.isnan(bands).all(0), ~covered)
    np.testing.assert_array_equal(bands[0][covered], values[:, covered].argmax(0))
    np.testing.assert_array_equal(bands[1][covered], values[:, covered].max(0))
    np.testing.assert_array_equal(bands[2:], values[[2, 0]])


def test_blocks_are_some_rows_each() -> None:
    """What is in memory at once does not grow with the picture."""
    pixels = np.zeros((3000, 900), np.float32)
    result = ns.classify_map(
        pixels, "netsurgery.toml", size=ns.PictureOptions((60, 64)), engine="embedded"
    )
    upsampled = Upsampled.of(result)
    assert upsampled.shape == (3, 3000, 900)
    sizes = [block.size for _, block in upsampled.blocks()]
    assert sum(sizes) == 3 * 3000 * 900
    assert max(sizes) <= 1 << 18
    assert max(part.size for part in upsampled.by_class()) <= 1 << 18


def test_a_map_put_together_in_a_file_beside_it() -> None:
    """In tiles the file of the cells' scores does not become the output."""
    words = [*CLASSIFY.split(), "--size", "30x43", "--npy"]
    assert run([*words, "whole.npy"]) == 0
    assert run([*words, "tiled.npy", "--tile", "24"]) == 0
    np.testing.assert_allclose(np.load("tiled.npy"), np.load("whole.npy"), atol=1e-6)
    assert sorted(path.name for path in Path().glob("*.npy")) == ["tiled.npy", "whole.npy"]
    assert not list(Path().glob(".*"))


def test_with_scales_and_in_a_job() -> None:
    words = [*CLASSIFY.split(), "--size", "30x43", "--scales", "1,1.3", "--npy"]
    assert run([*words, "whole.npy"]) == 0
    assert run([*words, "job.npy", "--job", "a.job"]) == 0
    np.testing.assert_array_equal(np.load("job.npy"), np.load("whole.npy"))


def test_pixels_lie_between_the_windows_that_are_named() -> None:
    assert run([*CLASSIFY.split(), "--size", "30x43", "--npy", "m.npy", "--window", "9x12"]) == 0
    settings = ns.Settings("net.prototxt", "w.caffemodel", window=(9, 12))
    result = ns.classify_map("a.png", settings, size=SIZE, engine="embedded")
    np.testing.assert_allclose(np.load("m.npy"), expected(result), rtol=1e-5, atol=1e-6)


def test_without_an_output_that_has_pixels(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(CLASSIFY.split()) == 2
    assert (
        "--upsample does nothing without --npy, --geotiff or --picture" in capsys.readouterr().err
    )


def test_a_blob_whose_cells_lie_nowhere(capsys: pytest.CaptureFixture[str]) -> None:
    text = (
        NET
        + """layer { name: "r" type: "Reshape" bottom: "c" top: "r"
      reshape_param { shape { dim: 0 dim: 1 dim: 3 dim: -1 } } }"""
    )
    Path("net.prototxt").write_text(text)
    assert run([*CLASSIFY.split(), "--npy", "m.npy"]) == 1
    error = capsys.readouterr().err
    assert error == (
        "error: blob 'r': the net does not say its total stride, so its cells cannot be placed on "
        "the picture\n"
    )
    assert not Path("m.npy").exists()
