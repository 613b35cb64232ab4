"""`edit fold` into the layer behind, judged by real Caffe: the same function with fewer layers."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from random_weights import fill_randomly

from netsurgery.engines.pycaffe import PycaffeEngine
from netsurgery.net.net import NetDefinition
from netsurgery.net.net_with_weights import NetWithWeights
from netsurgery.surgery.edit.plan import plan_edit
from netsurgery.surgery.edit.write import EditPaths, write_edit

pytestmark = pytest.mark.caffe

Array = NDArray[np.float32]

DATA = 'layer { name: "x" type: "Input" top: "x" input_param { shape { dim: [3, 4, 6, 5] } } }\n'
#: Nothing folds into a pooling, and BN, SCALE and BIAS are behind one.
POOL = 'layer { name: "p" type: "Pooling" bottom: "x" top: "p" pooling_param { kernel_size: 2 } }\n'


def layer(kind: str, name: str, bottom: str, top: str, more: str = "") -> str:
    return f'layer {{ name: "{name}" type: "{kind}" bottom: "{bottom}" top: "{top}" {more} }}\n'


def scale(bottom: str, top: str, more: str = "bias_term: true") -> str:
    return layer("Scale", "scale", bottom, top, f"scale_param {{ {more} }}")


def convolution(more: str, kind: str = "Convolution") -> str:
    return layer(kind, "c", "in", "c", f"convolution_param {{ num_output: 6 {more} }}")


def product(more: str = "", bottom: str = "in") -> str:
    return layer(
        "InnerProduct", "c", bottom, "c", f"inner_product_param {{ num_output: 5 {more} }}"
    )


RESHAPED = "reshape_param { shape { dim: [%s] } }"

#: What stands behind the pooling; the last affine layer's top is "in".
CHAINS = {
    "in place": layer("BatchNorm", "bn", "in", "in") + scale("in", "in"),
    "tops of their own": layer("BatchNorm", "bn", "p", "b") + scale("b", "in", "axis: -3"),
    "a bias": layer("BatchNorm", "bn", "p", "b") + layer("Bias", "scale", "b", "in"),
    "two BatchNorms": (
        layer("BatchNorm", "bn", "p", "b", "batch_norm_param { eps: 0.5 }")
        + layer("BatchNorm", "scale", "b", "in")
    ),
}
#: What takes them up: convolutions by groups, strides, gaps; products with H x W numbers a channel.
TARGETS = {
    "convolution": convolution("kernel_size: 3"),
    "grouped, strided": convolution("kernel_size: 2 stride: 2 group: 2 bias_term: false"),
    "a group for each channel": layer(
        "Convolution", "c", "in", "c", "convolution_param { num_output: 8 group: 4 kernel_size: 2 }"
    ),
    "dilated, of two sides": convolution("kernel_h: 2 kernel_w: 1 dilation: 2"),
    "inner product": product(),
    "turned inner product": product("transpose: true bias_term: false"),
    "flattened": layer("Flatten", "f", "in", "f") + product(bottom="f"),
    "reshaped twice, turned": (
        layer("Reshape", "f", "in", "f", RESHAPED % "0, 2, -1")
        + layer("Reshape", "g", "f", "g", RESHAPED % "0, -1")
        + product("transpose: true", bottom="g")
    ),
    "a channel for each row": (
        layer("Reshape", "f", "in", "f", RESHAPED % "0, -1, 1, 4")
        + convolution("kernel_h: 1 kernel_w: 2").replace('"in"', '"f"')
    ),
}

NAMES = re.compile(r'"(p|b|in|bn|scale|c|f|g)"')


def numbered(number: int, text: str) -> str:
    """The layers under names of their own."""
    return NAMES.sub(rf'"{number}\1"', text)


def folded(prototxt: Path, weights: Path, *operations: str) -> tuple[EditPaths, tuple[str, ...]]:
    places = EditPaths(prototxt.with_name("new.caffemodel"), prototxt.with_name("new.prototxt"))
    with NetWithWeights.open(prototxt, weights) as model:
        plan = plan_edit(model, operations)
        write_edit(plan, model, places, force=True)
    return places, plan.notes


def outputs(engine: PycaffeEngine, prototxt: Path, weights: Path) -> dict[str, Array]:
    random = np.random.default_rng(1)
    names = NetDefinition.read(prototxt).outputs
    with engine.load(prototxt, weights) as net:
        shapes = net.inputs.items()
        feed = {name: random.standard_normal(shape).astype(np.float32) for name, shape in shapes}
        return net.forward(feed, names)


def check_same(engine: PycaffeEngine, old: tuple[Path, Path], new: EditPaths) -> NetDefinition:
    assert new.prototxt is not None
    before, after = outputs(engine, *old), outputs(engine, new.prototxt, new.weights)
    assert set(before) == set(after)
    for name, values in before.items():
        assert np.abs(values).max() > 0
        assert np.abs(values - after[name]).max() <= 1e-5 * np.abs(values).max(), name
    return NetDefinition.read(new.prototxt)


@pytest.mark.parametrize("word", ["bn", "scale", ""])
@pytest.mark.parametrize("chain", CHAINS)
def test_every_layer_behind_takes_up_every_chain(
    chain: str, word: str, tmp_path: Path, caffe_engine: PycaffeEngine
) -> None:
    """All the layers in one net, each with a number before its names."""
    pooled = POOL.replace('top: "p"', 'top: "in"') if chain == "in place" else POOL
    text = DATA + "".join(
        numbered(number, pooled + CHAINS[chain] + target)
        for number, target in enumerate(TARGETS.values())
    )
    old = tmp_path / "old.prototxt", tmp_path / "old.caffemodel"
    old[0].write_text(text)
    fill_randomly(caffe_engine, *old)
    words = [f"fold:{number}{word}" for number in range(len(TARGETS))] if word else ["fold"]
    new, notes = folded(*old, *words)
    assert notes == ()
    net = check_same(caffe_engine, old, new)
    assert {each.type for each in net.layers}.isdisjoint({"BatchNorm", "Scale", "Bias"})


def test_both_ways_in_one_net(tmp_path: Path, caffe_engine: PycaffeEngine) -> None:
    """On the input, into one layer from both sides, through what was folded, past other readers."""
    old = tmp_path / "old.prototxt", tmp_path / "old.caffemodel"
    small = "convolution_param { num_output: 3 kernel_size: 2 bias_term: false }"
    old[0].write_text(
        DATA
        + layer("BatchNorm", "bn0", "x", "x0")
        + layer("Convolution", "c1", "x0", "c1", small)
        + layer("BatchNorm", "bn1", "c1", "c1")
        + layer("ReLU", "r1", "c1", "r1")
        + layer("Scale", "s2", "r1", "s2", "scale_param { bias_term: true }")
        + layer("Flatten", "f2", "s2", "f2")
        + layer("Scale", "s3", "f2", "s3")
        + layer("InnerProduct", "fc3", "s3", "fc3", "inner_product_param { num_output: 4 }")
        + layer("Scale", "s4", "fc3", "s4", "scale_param { bias_term: true }")
        # Two read the convolution, so that it cannot take up the BatchNorm.
        + layer("Convolution", "c5", "r1", "c5", small)
        + layer("BatchNorm", "bn5", "c5", "b5")
        + layer("InnerProduct", "fc5", "b5", "fc5", "inner_product_param { num_output: 2 }")
        + layer("TanH", "t5", "c5", "t5")
        # A factor alone passes padding, and a Deconvolution.
        + layer("Scale", "s6", "r1", "s6")
        + layer("Convolution", "c6", "s6", "c6", small.replace("bias_term: false", "pad: 1"))
        + layer("Scale", "s7", "r1", "s7")
        + layer("Deconvolution", "d7", "s7", "d7", small.replace("num", "group: 3 pad: 1 num"))
    )
    fill_randomly(caffe_engine, *old)
    new, notes = folded(*old, "fold")
    assert notes == ()
    net = check_same(caffe_engine, old, new)
    assert [each.name for each in net.layers if each.type in ("BatchNorm", "Scale")] == []
    bottoms = {each.name: each.bottoms[0] for each in net.layers if each.bottoms}
    assert bottoms == {
        "c1": "x", "r1": "c1", "f2": "r1", "fc3": "f2", "c5": "r1", "fc5": "c5", "t5": "c5",
        "c6": "r1", "d7": "r1",
    }  # fmt: skip
    assert net.layer("fc3").tops == ("s4",)
