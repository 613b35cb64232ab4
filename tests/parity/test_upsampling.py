"""`convert --upsample` in both engines: the scores of every pixel, between those of the cells."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Literal

import numpy as np
import pytest
from numpy.typing import NDArray

import netsurgery as ns
from netsurgery.engines.pycaffe import PycaffeEngine
from netsurgery.net.field import ReceptiveField, fields

pytestmark = pytest.mark.caffe

Array = NDArray[np.float32]
Places = NDArray[np.floating]

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


STAGES = """input: "x" input_shape { dim: [1, 2, 33, 30] }
layer { name: "c1" type: "Convolution" bottom: "x" top: "c1"
  convolution_param { num_output: 4 kernel_size: 5 stride: 2 pad: 4
    weight_filler { type: "gaussian" std: 0.3 } } }
layer { name: "r1" type: "ReLU" bottom: "c1" top: "c1" }
layer { name: "p1" type: "Pooling" bottom: "c1" top: "p1"
  pooling_param { pool: MAX kernel_size: 3 stride: 2 } }
layer { name: "p2" type: "Pooling" bottom: "p1" top: "p2"
  pooling_param { pool: MAX kernel_size: 2 stride: 2 } }
layer { name: "fc" type: "InnerProduct" bottom: "p2" top: "fc"
  inner_product_param { num_output: 3 weight_filler { type: "gaussian" std: 0.3 } } }
layer { name: "prob" type: "Softmax" bottom: "fc" top: "prob" }
"""


@pytest.mark.parametrize("engine", ["embedded", "caffe"])
def test_skips_are_stages(
    engine: Literal["embedded", "caffe"],
    tmp_path: Path,
    live_caffe_engine: Callable[[], PycaffeEngine],
) -> None:
    """A padded net at several sizes: with scores of zeros the map, and with others their sum.

    The reference goes from middle to middle of cells, and knows nothing of crops.
    """
    live_caffe_engine()
    paths = tmp_path / "net.prototxt", tmp_path / "w.caffemodel"
    paths[0].write_text(STAGES)
    ns.init(*paths, seed=1)
    with ns.convert(
        *paths, tmp_path / "new", upsample=True, skip=["p1", "c1"], map_size=(2, 3), engine=engine
    ) as result:
        new, plan = result.paths, result.plan
    names = ["fc-conv", "p1", "c1", "fc-conv_upsampled"]
    random = np.random.default_rng(0)
    with ns.Net(new.prototxt, new.weights, engine=engine) as net:
        for scored in (False, True):
            scores = []
            for name in ("score_p1", "score_c1"):
                weight, bias = net.params[name]
                assert not weight.any()
                assert not bias.any()
                if scored:
                    weight[...], bias[...] = random.normal(size=weight.shape), [1, 2, 3]
                scores.append((weight[:, :, 0, 0].copy(), bias.copy()))
            for more in ((0, 0), (3, 5)):
                size = tuple(a + b for a, b in zip(plan.inputs[0].new[2:], more, strict=True))
                image = random.uniform(-1, 1, (1, 2, *size)).astype(np.float32)
                blobs = net.forward(x=image, blobs=names)
                field = fields(plan.new, {"x": image.shape})
                expected, before = blobs["fc-conv"][0], middles(field["fc-conv"], blobs["fc-conv"])
                for name, (weight, bias) in zip(("p1", "c1"), scores, strict=True):
                    grid = middles(field[name], blobs[name])
                    expected = between(expected, before, grid)
                    expected += np.einsum("oc,cyx->oyx", weight, blobs[name][0])
                    expected += bias[:, None, None]
                    before = grid
                pixels = [np.arange(side) + 0.5 for side in size]
                expected = between(expected, before, pixels)
                scale = max(1, float(np.abs(expected).max()))
                result_ = blobs["fc-conv_upsampled"][0]
                assert float(np.abs(expected).max()) > 0.1
                np.testing.assert_allclose(result_, expected, rtol=0, atol=1e-5 * scale)


def middles(field: ReceptiveField, blob: Array) -> list[Places]:
    """Where the middles of the rows and of the columns of a blob's cells lie, in pixels."""
    return [
        float(field.middle[axis]) + float(field.stride[axis]) * np.arange(blob.shape[2 + axis])
        for axis in range(2)
    ]


def between(values: Array, cells: list[Places], places: list[Places]) -> NDArray[np.float64]:
    """C x H x W values, interpolated from these cells to other places, and to 0 outside."""
    lines = []
    for middle, place in zip(cells, places, strict=True):
        stride = middle[1] - middle[0]
        lines.append(np.maximum(0, 1 - np.abs(place[:, None] - middle) / stride))
    result: NDArray[np.float64] = np.einsum("yi,cij,xj->cyx", lines[0], values, lines[1])
    return result
