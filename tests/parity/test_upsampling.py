"""`convert --upsample` in both engines: the scores of every pixel, between those of the cells."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Literal

import numpy as np
import pytest

import netsurgery as ns
from netsurgery.engines.pycaffe import PycaffeEngine
from netsurgery.net.field import fields

pytestmark = pytest.mark.caffe

NET = """name: "Net" input: "x" input_shape {{ dim: [1, 2, {0}, {1}] }}
layer {{ name: "c1" type: "Convolution" bottom: "x" top: "c1"
  convolution_param {{ num_output: 4 kernel_h: {2} kernel_w: 3 stride: 2 pad: 1
    weight_filler {{ type: "gaussian" std: 0.5 }} }} }}
layer {{ name: "p" type: "Pooling" bottom: "c1" top: "p"
  pooling_param {{ pool: AVE kernel_size: 2 stride: 2 }} }}
layer {{ name: "fc" type: "InnerProduct" bottom: "p" top: "fc"
  inner_product_param {{ num_output: 3 weight_filler {{ type: "gaussian" std: 0.5 }} }} }}
layer {{ name: "prob" type: "Softmax" bottom: "fc" top: "prob" }}
"""


@pytest.mark.parametrize("sides", [(16, 12, 3), (17, 16, 4)])
@pytest.mark.parametrize("engine", ["embedded", "caffe"])
def test_every_pixel_is_between_its_cells(
    sides: tuple[int, int, int],
    engine: Literal["embedded", "caffe"],
    tmp_path: Path,
    live_caffe_engine: Callable[[], PycaffeEngine],
) -> None:
    """The params are moved by the engine that runs the net, too; inputs may be of other sizes."""
    live_caffe_engine()
    prototxt = tmp_path / "net.prototxt"
    prototxt.write_text(NET.format(*sides))
    ns.init(prototxt, tmp_path / "w.caffemodel", seed=1)
    with ns.convert(
        prototxt, tmp_path / "w.caffemodel", tmp_path / "new", upsample=True, engine=engine
    ) as result:
        paths, plan = result.paths, result.plan
    text = paths.prototxt.read_text()
    assert "lr_mult: 0 decay_mult: 0" in text
    with ns.Net(paths.prototxt, paths.weights, engine=engine) as net:
        assert plan.maps["prob"][2:] == plan.inputs[0].new[2:]
        for more in ((0, 0), (1, 3), (2, 2)):
            size = tuple(a + b for a, b in zip(plan.inputs[0].new[2:], more, strict=True))
            image = np.random.default_rng(0).uniform(-1, 1, (1, 2, *size)).astype(np.float32)
            names = ["fc-conv", "fc-conv_upsampled", "prob"]
            blobs = net.forward(x=image, blobs=names)
            cells, pixels = blobs["fc-conv"][0], blobs["fc-conv_upsampled"][0]
            assert pixels.shape == (3, *size)
            field = fields(plan.new, {"x": image.shape})
            lines = []
            for axis in range(2):
                middle, stride = field["fc-conv"].middle[axis], field["fc-conv"].stride[axis]
                middles = [float(middle + stride * cell) for cell in range(cells.shape[1 + axis])]
                places = np.arange(size[axis]) + 0.5
                apart = np.abs(places[:, None] - np.array(middles)) / float(stride)
                lines.append(np.maximum(0, 1 - apart))
                # A cell of what comes out is a pixel, to the window's place.
                pixel = field["fc-conv_upsampled"]
                assert pixel.stride[axis] == 1
                assert abs(pixel.middle[axis] - Fraction(1, 2)) <= Fraction(1, 2)
            expected = np.einsum("yi,cij,xj->cyx", lines[0], cells, lines[1])
            np.testing.assert_allclose(pixels, expected, atol=1e-5)
            shares = np.exp(expected) / np.exp(expected).sum(0)
            np.testing.assert_allclose(blobs["prob"][0], shares, atol=1e-5)
