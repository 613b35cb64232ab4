"""`convert --upsample`: what is written, and what is refused. In Caffe: tests/parity."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import netsurgery as ns
from netsurgery.cli import run
from netsurgery.maps.upsampled import Upsampled
from netsurgery.surgery.dense.interpolation import Upsampling

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
        (NET + NET[NET.index('layer { name: "fc"'):].replace('"fc"', '"fc2"')
         + 'layer { name: "sum" type: "Eltwise" bottom: "fc" bottom: "fc2" top: "sum" }\n'
         + SOFTMAX % "prob",
         "error: net.prototxt: with a score for each pixel: layer 'sum' (Eltwise): its bottoms"),
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


def test_maps_of_other_layers_exclude_verify(capsys: pytest.CaptureFixture[str]) -> None:
    """Asked for at once or later: the classifier has no such scores."""
    write(RAMP % 2)
    words = ["net.prototxt", "w.caffemodel", "--upsample", "--skip", "c1", "-o", "out"]
    assert run(["convert", *words, "--verify"]) == 1
    said = "--skip adds those of other layers to it; convert without it first to verify"
    assert said in capsys.readouterr().err
    with ns.convert(
        "net.prototxt", "w.caffemodel", upsample=True, skip="c1", engine="embedded"
    ) as result:
        with pytest.raises(ns.SurgeryError, match="verify=True compares the classifier's map"):
            result.verify()
        with pytest.raises(ns.SurgeryError, match="skip adds those of other layers"):
            result.save("out", verify=True)
    assert not Path("out").exists()


@pytest.mark.parametrize("behind", ["", SOFTMAX % "prob"])
@pytest.mark.parametrize("more", [{}, {"before_pooling": True}, {"stride": 2}])
def test_verify_compares_the_map_that_is_interpolated(behind: str, more: dict[str, Any]) -> None:
    write(NET + behind)
    net = "net.prototxt", "w.caffemodel"
    with ns.convert(*net, upsample=True, engine="embedded", **more) as result:
        verification = result.verify()
        assert verification.to_json() == ns.verify(net, result.net, engine="embedded").to_json()
    assert verification.verified
    (output,) = verification.outputs
    assert (output.blob, output.new_blob) == ("fc", "fc-conv")
    assert (output.mean is not None) == ("before_pooling" in more)
    if output.mean is None:
        (each,) = verification.maps
        assert each.check.new_blob == "fc-conv"
        assert each.compared > 4
    said = " ".join(verification.notes)
    assert "'fc-conv_upsampled' is 'fc-conv' interpolated to pixels" in said
    assert ("'prob' is taken of each pixel" in said) == bool(behind)
    assert "one more output" not in said


def _shifted(text: str) -> str:
    """The pixels lie a place further on."""
    offset = re.search(r"offset: (\d+)", text)
    assert offset is not None
    return text.replace(offset[0], f"offset: {int(offset[1]) + 1}", 1)


@pytest.mark.parametrize("wrong", ["scores", "between", "places"])
def test_verify_notices_other_pixels(wrong: str) -> None:
    write(NET + SOFTMAX % "prob")
    net = "net.prototxt", "w.caffemodel"
    paths = ns.convert(*net, "up", upsample=True, engine="embedded").paths
    if wrong == "places":
        paths.prototxt.write_text(_shifted(paths.prototxt.read_text()))
        weights: Path | str = paths.weights
    else:
        param = "fc-conv[0][1]" if wrong == "scores" else "fc-conv_spread[0][1,0,2]"
        weights = "other.caffemodel"
        ns.edit(paths.prototxt, paths.weights, [f"{param}*=1.01"], weights)
    verification = ns.verify(net, (paths.prototxt, weights), engine="embedded")
    assert not verification.verified
    assert verification.same == (wrong != "scores")
    compared = [each.new_blob for each in verification.outputs]
    assert compared == (["fc-conv"] if wrong == "scores" else [])


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


RAMP = """input: "x" input_shape { dim: [1, 1, 56, 72] }
layer { name: "c1" type: "Convolution" bottom: "x" top: "c1"
  convolution_param { num_output: 1 kernel_size: 3 stride: 2 pad: 1 bias_term: false } }
layer { name: "p1" type: "Pooling" bottom: "c1" top: "p1"
  pooling_param { pool: AVE kernel_size: 2 stride: 2 } }
layer { name: "c2" type: "Convolution" bottom: "p1" top: "c2"
  convolution_param { num_output: 1 kernel_size: 3 pad: 3 bias_term: false } }
layer { name: "p2" type: "Pooling" bottom: "c2" top: "p2"
  pooling_param { pool: AVE kernel_size: %d stride: 2 } }
layer { name: "c3" type: "Convolution" bottom: "p2" top: "c3"
  convolution_param { num_output: 1 kernel_size: 3 pad: 1 bias_term: false } }
layer { name: "g" type: "Pooling" bottom: "c3" top: "g"
  pooling_param { pool: AVE global_pooling: true } }
layer { name: "fc" type: "InnerProduct" bottom: "g" top: "fc"
  inner_product_param { num_output: 1 } }
"""


@pytest.mark.parametrize("kernel", [2, 3])
def test_a_ramp_comes_out_where_it_went_in(kernel: int) -> None:
    """Every layer takes means, so that what it makes of a ramp is the ramp at its cells' middles.

    So whichever map is scored alone, each pixel is the ramp at that pixel, off the padded edges.
    """
    write(RAMP % kernel)
    rows, columns = np.ogrid[:56, :72]
    ramp = (0.25 * rows + 0.125 * columns).astype(np.float32)
    scores = ("fc-conv", "score_p1", "score_c1")
    with ns.convert(
        "net.prototxt", "w.caffemodel", before_pooling=True, upsample=True, skip=["c1", "p1"]
    ).net as net:
        for name in ("c1", "c2", "c3"):
            net.params[name][0][...] = 1 / 9
        assert not any(net.params[name][number].any() for name in scores[1:] for number in (0, 1))
        for scored in scores:
            for name in scores:
                net.params[name][0][...] = float(name == scored)
                net.params[name][1][...] = 0
            pixels = net.forward(x=ramp[None, None])["fc-conv_upsampled"][0, 0]
            inside = np.s_[24:-24, 24:-24]
            np.testing.assert_allclose(pixels[inside], ramp[inside], rtol=0, atol=2e-5)


def test_skips_in_any_order_are_the_same_text(capsys: pytest.CaptureFixture[str]) -> None:
    write(RAMP % 2)
    words = ["convert", "net.prototxt", "w.caffemodel", "--before-pooling", "--upsample"]
    texts = []
    for number, skips in enumerate((["p1", "c1"], ["c1", "p1"])):
        more = [word for name in skips for word in ("--skip", name)]
        assert run([*words, *more, "-o", str(number), "--engine", "embedded"]) == 0
        texts.append(Path(f"{number}/net_full_conv.prototxt").read_text())
        shown = capsys.readouterr().out
        assert (
            "note: on the way the scores of 'p1' are added, by Convolution 'score_p1': zeros until "
            "it is trained"
        ) in shown
    assert texts[0] == texts[1]
    assert texts[0].index("fuse_p1") < texts[0].index("fuse_c1")
    with ns.Net("0/net_full_conv.prototxt", "0/w_full_conv.caffemodel") as net:
        assert [net.params[name][0].shape for name in ("score_p1", "score_c1")] == [
            (1, 1, 1, 1)
        ] * 2


@pytest.mark.parametrize(
    ("skips", "what"),
    [
        (["p3"], "layer 'p3': the net has no such layer"),
        (["p1", "p1"], "--skip p1 is named twice"),
        (["p2"], "layer 'p2': its total stride is 8 x 8; expected a smaller one that divides that "
         "of the map, 8 x 8"),
        (["p1", "c2"], "layer 'c2': its total stride is 4 x 4; expected a smaller one that divides "
         "that of 'p1', 4 x 4"),
        (["fc-conv"], "layer 'fc-conv': it does not come before layer 'fc-conv', which makes"),
        (["s"], "layer 's': it (Silence) makes no blob"),
        (["f"], "layer 'f': where the cells of 'f' lie is not known"),
        (["q"], "layer 'q': the cells of the map lie neither on its cells nor halfway between"),
    ],
)  # fmt: skip
def test_a_skip_that_cannot_be_is_named(
    skips: list[str], what: str, capsys: pytest.CaptureFixture[str]
) -> None:
    beside = """layer { name: "s" type: "Silence" bottom: "p1" }
layer { name: "f" type: "Flatten" bottom: "p1" top: "f" }
layer { name: "sf" type: "Silence" bottom: "f" }
layer { name: "q" type: "Convolution" bottom: "x" top: "q"
  convolution_param { num_output: 1 kernel_size: 2 stride: 4 } }
layer { name: "sq" type: "Silence" bottom: "q" }
"""
    head, first, rest = (RAMP % 2).partition('layer { name: "p2"')
    write(head + beside + first + rest)
    more = [word for name in skips for word in ("--skip", name)]
    words = ["convert", "net.prototxt", "w.caffemodel", "--before-pooling", "--upsample"]
    assert run([*words, "--engine", "embedded", *more]) == 1
    error = capsys.readouterr().err
    assert what in error
    assert error.count("\n") == 1
    assert not Path("netsurgery.toml").exists()


def test_a_skip_without_a_map_of_pixels(capsys: pytest.CaptureFixture[str]) -> None:
    write(NET)
    assert run(["convert", "net.prototxt", "w.caffemodel", "--skip", "c"]) == 2
    assert "--skip does nothing without --upsample" in capsys.readouterr().err
    with pytest.raises(ns.SurgeryError, match="skip adds finer maps to the one of upsample"):
        ns.convert("net.prototxt", "w.caffemodel", skip="c")
