"""A cell's window is what the cell classifies: the old classifier says the same of the crop.

Exact for nets without padding, as LeNet: with it, a cell sees past its window where the crop on its
own is padded with zeros.
"""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import numpy as np
import pytest
from map_cells import cells_of
from PIL import Image

from netsurgery.cli import run
from netsurgery.engines.pycaffe import PycaffeEngine
from netsurgery.maps.image import Picture
from netsurgery.maps.transformer import Transformer

pytestmark = [pytest.mark.caffe, pytest.mark.usefixtures("option_names")]


@pytest.mark.parametrize("fit", ["warp", "crop", "pad"])
def test_the_crop_of_a_window_gives_what_its_cell_gives(
    shared_data: Path,
    caffe_python: str,
    caffe_engine: PycaffeEngine,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    fit: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    lenet = shared_data / "models" / "lenet"
    old = lenet / "lenet.prototxt", lenet / "lenet_iter_10000.caffemodel"
    caffe = ["--engine", "caffe", "--caffe-python", caffe_python, "--threads", "1"]
    assert run(["convert", *map(str, old), "--raw-scale", "0.99609375", "-q", *caffe]) == 0
    packed = gzip.decompress((shared_data / "mnist" / "t10k-images-idx3-ubyte.gz").read_bytes())
    digits = np.frombuffer(packed, np.uint8)[16:].reshape(-1, 28, 28)[:6]
    canvas = np.concatenate([np.concatenate(digits[i : i + 3], axis=1) for i in (0, 3)])
    Image.fromarray(canvas).save("canvas.png")

    # The input has the image's height; only crop and pad then keep the pixels as they are, the one
    # losing columns at both ends and the other adding some.
    width = {"warp": 84, "crop": 60, "pad": 116}[fit]
    args = ["canvas.png", "--json", "--top-k", "10", "--size", f"56x{width}", "--fit", fit]
    assert run(["classify-map", *args, "-q", *caffe]) == 0
    cells = list(cells_of(json.loads(capsys.readouterr().out)))
    assert len(cells) == 8 * ((width - 28) // 4 + 1)

    inside = [cell for cell in cells if cell.window[0] >= 0 and cell.window[2] <= 84]
    assert len(inside) >= 72
    maker = Transformer(1, raw_scale=0.99609375)
    crops = []
    for cell in inside:
        x0, y0, x1, y1 = map(int, cell.window)
        assert [x0, y0, x1, y1] == cell.window
        crop = Picture("crop", np.ascontiguousarray(canvas[y0:y1, x0:x1, np.newaxis]))
        crops.append(maker.blob(crop, (28, 28))[0])
    with caffe_engine.load(*old) as net:
        net.reshape({"data": (len(crops), 1, 28, 28)})
        said = net.forward({"data": np.concatenate(crops)}, ["prob"])["prob"]
    for cell, expected in zip(inside, said, strict=True):
        assert [cell.scores[number] for number in range(10)] == pytest.approx(expected, abs=1e-5)
