"""Layers of forks in `edit fold` and `outputs`, `convert` and `init`: the same function after."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from small_models import model_layer, write_model

from netsurgery.cli import run
from netsurgery.engines.contract import EngineOptions
from netsurgery.engines.ort import open_engine
from netsurgery.net.net import NetDefinition
from netsurgery.net.shapes import infer

Array = NDArray[np.float32]

CONV = "convolution_param { num_output: 6 kernel_size: 3 pad: 1 weight_filler { type: 'xavier' } "

#: What a normalization folds into: its type and its message.
TARGETS = {
    "convolution": f"type: 'Convolution' {CONV} }}",
    "grouped": f"type: 'Convolution' {CONV} group: 2 bias_term: false }}",
    "deconvolution": f"type: 'Deconvolution' {CONV} }}",
    "grouped deconvolution": f"type: 'Deconvolution' {CONV} group: 3 }}",
    "depthwise": "type: 'DepthwiseConvolution' convolution_param { kernel_size: 3 bias_term: false "
    "num_output: 6 group: 6 }",
    "depthwise without a group": "type: 'ConvolutionDepthwise' convolution_param { kernel_size: 3 "
    "num_output: 6 }",
    "inner product": "type: 'InnerProduct' inner_product_param { num_output: 6 }",
    "turned inner product": "type: 'InnerProduct' inner_product_param { num_output: 6 "
    "transpose: true bias_term: false }",
}
NORMS = {
    "nvcaffe": "type: 'BatchNorm' batch_norm_param { scale_bias: true }",
    "pspnet": "type: 'BN' bn_param { slope_filler { } bias_filler { } frozen: true }",
    "segnet": "type: 'BN' bn_param { bn_mode: INFERENCE scale_filler { } }",
}


def net_and_weights(folder: Path, *layers: str, seed: int = 0) -> tuple[Path, Path]:
    """A net of layers l0, l1 ... one behind the other, and random weights above 0."""
    net, weights = folder / "net.prototxt", folder / "net.caffemodel"
    text, bottom = 'input: "x" input_shape { dim: [2, 6, 5, 4] }\n', "x"
    for i, layer in enumerate(layers):
        text += f"layer {{ name: 'l{i}' bottom: '{bottom}' top: 'l{i}' {layer} }}\n"
        bottom = f"l{i}"
    net.write_text(text)
    read, rng = NetDefinition.read(net), np.random.default_rng(seed)
    shapes, stored = infer(read), []
    for each in read.layers:
        if params := shapes.params_of(each):
            arrays = [np.asarray(rng.random(shape) + 0.5, np.float32) for shape in params]
            arrays = [np.ones_like(a) if a.shape == (1,) else a for a in arrays]
            stored.append(model_layer(each.name, each.type, *arrays))
    return net, write_model(weights, *stored)


def output(net: Path, weights: Path, picture: Array) -> Array:
    with open_engine(EngineOptions(threads=1)) as engine, engine.load(net, weights) as loaded:
        (name,) = NetDefinition.read(net).outputs
        return loaded.forward({"x": picture}, [name])[name]


def edited(net: Path, weights: Path, *operations: str) -> tuple[Path, Path]:
    new = net.with_name("new.prototxt"), net.with_name("new.caffemodel")
    words = ["edit", net, weights, "-o", new[1], "--prototxt-out", new[0], "--force", *operations]
    assert run([str(word) for word in words]) == 0
    return new


def picture(channels: int = 6) -> Array:
    return np.random.default_rng(1).standard_normal((2, channels, 5, 4)).astype(np.float32)


#: NVCaffe's takes maps alone, and an InnerProduct makes none.
PAIRS = [(t, n) for t in TARGETS for n in NORMS if "inner" not in t or n != "nvcaffe"]


@pytest.mark.parametrize(("target", "norm"), PAIRS)
def test_a_forks_normalization_folds(tmp_path: Path, target: str, norm: str) -> None:
    behind = ["type: 'Power' power_param { scale: 0.5 }", "type: 'Flatten'"]
    net, weights = net_and_weights(tmp_path, TARGETS[target], NORMS[norm], *behind)
    before = output(net, weights, picture())
    new = edited(net, weights, "fold")
    assert [layer.name for layer in NetDefinition.read(new[0]).layers][:2] != ["l0", "l1"]
    after = output(*new, picture())
    assert np.abs(before).max() > 0
    np.testing.assert_allclose(after.ravel(), before.ravel(), rtol=1e-4, atol=1e-4)


NAMES = ["DepthwiseConvolution", "DepthwiseConv", "ConvolutionDepthwise"]
GIVEN = ["num_output: 6 group: 6", "num_output: 6", "group: 6", ""]


def depthwise(kind: str, fields: str) -> str:
    return f"type: '{kind}' convolution_param {{ kernel_size: 3 {fields} }}"


@pytest.mark.parametrize("fields", GIVEN)
@pytest.mark.parametrize("kind", NAMES)
def test_a_depthwise_convolution_by_any_name(
    tmp_path: Path, kind: str, fields: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """It runs, folds, is pruned through, converted behind and filled."""
    norm, scale = "type: 'BatchNorm'", "type: 'Scale' scale_param { bias_term: true }"
    head, fc = f"type: 'Convolution' {CONV} }}", "type: 'InnerProduct' inner_product_param { "
    fc += "num_output: 3 weight_filler { type: 'xavier' } }"
    net, weights = net_and_weights(tmp_path, head, depthwise(kind, fields), norm, scale, fc)
    before = output(net, weights, picture())
    np.testing.assert_allclose(
        output(*edited(net, weights, "fold"), picture()), before, rtol=1e-3, atol=1e-3
    )
    pruned = edited(net, weights, "outputs:l0:keep=1,4")
    assert infer(NetDefinition.read(pruned[0])).of("l3") == (2, 2, 3, 2)
    assert output(*pruned, picture()).shape == before.shape
    folder = str(tmp_path / "o")
    words = ["convert", str(net), str(weights), "-o", folder, "--engine", "embedded", "--verify"]
    assert run(words) == 0
    assert run(["init", str(net), "-o", str(tmp_path / "filled.caffemodel")]) == 0
    capsys.readouterr()
    assert run(["inspect", str(net), str(tmp_path / "filled.caffemodel"), "--json"]) == 0
