"""`convert --upsample`: what is written, and what is refused. In Caffe: tests/parity."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import netsurgery as ns
from netsurgery.cli import run
from netsurgery.maps.upsampled import Upsampled
from netsurgery.surgery.dense.upsampling import Upsampling

NET = """input: "x" input_shape { dim: [1, 1, 16, 16] }
layer { name: "c" type: "Convolution" bottom: "x" top: "c"
  convolution_param { num_output: 4 kernel_size: 4 stride: 4
    weight_filler { type: "gaussian" std: 1 } } }
layer { name: "p" type: "Pooling" bottom: "c" top: "p"
  pooling_param { pool: AVE global_pooling: true } }
layer { name: "fc" type: "InnerProduct" bottom: "p" top: "fc" # the scores
  inner_product_param { num_output: 3 weight_filler { type: "gaussian" std: 1 } } }
"""
SOFTMAX = 'layer { name: "prob" type: "Softmax" bottom: "fc" top: "%s" }\n'


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def write(text: str) -> None:
    Path("net.prototxt").write_text(text)
    ns.init("net.prototxt", "w.caffemodel", seed=1)


@pytest.mark.parametrize(("stride", "kernel"), [(2, 4), (2, 3), (5, 10), (4, 7)])
def test_its_weights_sum_to_one_at_every_pixel(stride: int, kernel: int) -> None:
    weight = Upsampling("u", "b", 2, (stride, stride), (kernel, kernel)).weight()
    assert weight.dtype == np.float32
    assert weight.shape == (2, 1, kernel, kernel)
    line = weight[1, 0].sum(0) / weight[1, 0].sum() * stride
    sums = [line[first::stride].sum() for first in range(stride)]
    np.testing.assert_allclose(sums, 1, atol=1e-6)


@pytest.mark.parametrize("behind", ["", SOFTMAX % "prob"])
def test_an_activation_map_of_every_pixel(behind: str, capsys: pytest.CaptureFixture[str]) -> None:
    """What the net gives is what classify-map interpolates, where that has scores."""
    write(NET + behind)
    words = ["net.prototxt", "w.caffemodel", "--before-pooling", "--input-size", "24x32"]
    assert run(["convert", *words, "-o", "cells", "--engine", "embedded", "-q"]) == 0
    assert run(["convert", *words, "-o", "pixels", "--engine", "embedded", "--upsample"]) == 0
    shown = capsys.readouterr().out
    assert "'fc-conv' is interpolated to the 24x32 pixels of 'x'" in shown
    assert ("--blob fc-conv_upsampled" in shown) == bool(behind)
    text = Path("pixels/net_full_conv.prototxt").read_text()
    assert text.startswith(Path("cells/net_full_conv.prototxt").read_text().partition("# the")[0])
    picture = np.random.default_rng(0).uniform(0, 1, (24, 32)).astype(np.float32)
    cells, pixels = (
        ns.classify_map(picture, f"{name}/netsurgery.toml", blob=blob, engine="embedded")
        for name, blob in (("cells", "fc-conv"), ("pixels", "fc-conv_upsampled"))
    )
    assert (cells.shape, pixels.shape) == ((6, 8), (24, 32))
    expected = np.concatenate([block for _, block in Upsampled.of(cells).blocks()], axis=1)
    inside = np.s_[:, 2:-2, 2:-2]
    np.testing.assert_allclose(pixels.values[inside], expected[inside], atol=1e-5)
    # Each pixel's share of the picture is that pixel.
    tiles = pixels.geometry.tiles(24, 32)
    assert tiles is not None
    np.testing.assert_array_equal(tiles[3, 5], [5, 3, 6, 4])


def test_classes_are_of_interpolated_scores() -> None:
    """A place between classes 0 and 2 is no class 1."""
    write(NET + 'layer { name: "best" type: "ArgMax" bottom: "fc" top: "best" }\n')
    result = ns.convert("net.prototxt", "w.caffemodel", upsample=True)
    assert result.plan.upsampling is not None
    assert result.plan.upsampling.blob == "fc-conv_upsampled"
    assert result.plan.upsampling.channels == 3
    assert list(result.plan.maps) == ["best"]
    with result.net as net:
        picture = np.random.default_rng(0).uniform(0, 1, (1, 1, 20, 24)).astype(np.float32)
        blobs = net.forward(x=picture, blobs=["fc-conv_upsampled", "best"])
    best, scores = blobs["best"][:, 0], blobs["fc-conv_upsampled"]
    apart = scores.any(axis=1)  # far from every cell all are 0
    assert apart.sum() > 100
    np.testing.assert_array_equal(best[apart], scores.argmax(axis=1)[apart])


def test_a_net_without_outputs(capsys: pytest.CaptureFixture[str]) -> None:
    write(NET + 'layer { name: "unread" type: "Silence" bottom: "fc" }\n')
    assert run(["convert", "net.prototxt", "w.caffemodel", "--upsample"]) == 1
    error = capsys.readouterr().err
    assert error == "error: net.prototxt: the net has no output to interpolate\n"


OLD = """input: "x" input_dim: [1, 1, 16, 16]
layers { name: "c" type: CONVOLUTION bottom: "x" top: "c"
  convolution_param { num_output: 4 kernel_size: 4 stride: 4 } }
layers { name: "fc" type: INNER_PRODUCT bottom: "c" top: "fc"
  inner_product_param { num_output: 3 } }
"""


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (OLD, "layer 'fc-conv': a Crop behind it has no name in a prototxt of V1; `netsurgery up"),
        (NET + SOFTMAX % "fc", "layer 'prob': it works in place on the scores"),
        (NET.replace("stride: 4", "stride: 1"),
         "layer 'fc-conv': 'fc-conv' has a cell for each pixel already"),
    ],
)  # fmt: skip
def test_what_stands_in_the_way_is_named(
    text: str, words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    write(text)
    assert run(["convert", "net.prototxt", "w.caffemodel", "--upsample"]) == 1
    error = capsys.readouterr().err
    assert words in error
    assert error.count("\n") == 1
    assert not Path("netsurgery.toml").exists()


def test_it_excludes_verify(capsys: pytest.CaptureFixture[str]) -> None:
    write(NET)
    assert run(["convert", "net.prototxt", "w.caffemodel", "--upsample", "--verify"]) == 2
    assert "--verify compares cells with the classifier" in capsys.readouterr().err
    with pytest.raises(ns.SurgeryError, match="verify=True compares cells with the classifier"):
        ns.convert("net.prototxt", "w.caffemodel", upsample=True, verify=True)


def test_hdf5_and_an_open_net() -> None:
    write(NET)
    ns.convert(
        "net.prototxt", "w.caffemodel", "out", weights_out="w.caffemodel.h5", upsample=True,
        engine="embedded",
    )  # fmt: skip
    with (
        ns.convert("net.prototxt", "w.caffemodel", upsample=True).net as opened,
        ns.Net("out/net_full_conv.prototxt", "w.caffemodel.h5") as saved,
    ):
        for net in (opened, saved):
            weight = net.params["fc-conv_spread"][0]
            np.testing.assert_array_equal(weight, weight[::-1])
            assert weight.shape == (3, 1, 7, 7) or weight.shape == (3, 1, 8, 8)
            assert float(weight.max()) > 0.7
