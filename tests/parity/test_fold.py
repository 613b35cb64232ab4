"""`edit fold` judged by real Caffe: the same function with fewer layers."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from random_weights import fill_randomly

from netsurgery.engines.pycaffe import PycaffeEngine
from netsurgery.formats.caffemodel import Caffemodel
from netsurgery.net.net import NetDefinition
from netsurgery.net.net_with_weights import NetWithWeights
from netsurgery.surgery.edit.plan import plan_edit
from netsurgery.surgery.edit.write import EditPaths, write_edit

pytestmark = pytest.mark.caffe

Array = NDArray[np.float32]


def edited(prototxt: Path, weights: Path, folder: Path, *operations: str) -> EditPaths:
    places = EditPaths(folder / "new.caffemodel", folder / "new.prototxt")
    with NetWithWeights.open(prototxt, weights) as model:
        plan = plan_edit(model, operations)
        write_edit(plan, model, places, force=True)
    return places


def outputs(
    engine: PycaffeEngine, prototxt: Path, weights: Path, seed: int = 1
) -> dict[str, Array]:
    """The net's outputs for one random input."""
    random = np.random.default_rng(seed)
    names = NetDefinition.read(prototxt).outputs
    with engine.load(prototxt, weights) as net:
        feed = {
            name: random.standard_normal(shape).astype(np.float32)
            for name, shape in net.inputs.items()
        }
        return net.forward(feed, names)


def assert_same(old: dict[str, Array], new: dict[str, Array], limit: float = 1e-5) -> None:
    assert set(old) == set(new)
    for name, before in old.items():
        assert np.abs(before).max() > 0
        assert np.abs(before - new[name]).max() <= limit * np.abs(before).max(), name


def test_a_real_net_and_somebody_elses_fold_of_it(
    shared_data: Path, tmp_path: Path, caffe_engine: PycaffeEngine
) -> None:
    folder = shared_data / "models" / "landmark68_bn"
    old = folder / "deploy_68_new.prototxt", folder / "vgg_68_new.caffemodel"
    new = edited(*old, tmp_path, "fold")
    assert new.prototxt is not None
    with caffe_engine.load(new.prototxt, new.weights) as net:
        assert {"BatchNorm", "Scale"}.isdisjoint(kind for _, kind in net.layers)
    before = outputs(caffe_engine, *old)
    after = outputs(caffe_engine, new.prototxt, new.weights)
    assert_same(before, after)
    theirs = outputs(caffe_engine, folder / "result.prototxt", folder / "result.caffemodel")
    assert set(theirs) == set(after)
    for name, values in theirs.items():
        assert np.abs(values - after[name]).max() < 5e-6
    with Caffemodel.open(new.weights) as model:
        assert {"BatchNorm", "Scale"}.isdisjoint(layer.type for layer in model.layers)


def test_the_bundled_net(repo_root: Path, tmp_path: Path, caffe_engine: PycaffeEngine) -> None:
    prototxt = repo_root / "prototxt" / "batchnorm_after_ip.prototxt"
    weights = fill_randomly(caffe_engine, prototxt, tmp_path / "old.caffemodel")
    new = edited(prototxt, weights, tmp_path, "fold:conv1/bn", "fold:ip1/scale")
    assert new.prototxt is not None
    assert_same(
        outputs(caffe_engine, prototxt, weights),
        outputs(caffe_engine, new.prototxt, new.weights),
    )
    assert "BatchNorm" not in new.prototxt.read_text().split("\n", 3)[3]


DATA = 'layer { name: "x" type: "Input" top: "x" input_param { shape { dim: [3, 4, 7, 6] } } }\n'
BN = 'layer { name: "bn" type: "BatchNorm" bottom: "%s" top: "%s" %s }\n'
SCALE = 'layer { name: "scale" type: "Scale" bottom: "%s" top: "%s" scale_param { %s } }\n'
BIAS = 'layer { name: "bias" type: "Bias" bottom: "%s" top: "%s" bias_param { } }\n'
RELU = 'layer { name: "relu" type: "ReLU" bottom: "%s" top: "%s" }\n'


def first(kind: str, more: str) -> str:
    param = "inner_product_param" if kind == "InnerProduct" else "convolution_param"
    kernel = "" if kind == "InnerProduct" else "kernel_size: 3"
    return (
        f'layer {{ name: "c" type: "{kind}" bottom: "x" top: "c" '
        f"{param} {{ num_output: 6 {kernel} {more} }} }}\n"
    )


CHAINS = {
    "in place, scale with bias": BN % ("c", "c", "") + SCALE % ("c", "c", "bias_term: true"),
    "tops of their own, scale without bias": BN % ("c", "b", "") + SCALE % ("b", "s", ""),
    "no scale": BN % ("c", "b", "batch_norm_param { eps: 0.01 }") + RELU % ("b", "r"),
    "scale alone": SCALE % ("c", "s", "bias_term: true axis: 1 num_axes: 1"),
    "bias behind": BN % ("c", "c", "") + SCALE % ("c", "s", "") + BIAS % ("s", "t"),
    "not next to each other in the file": (
        BN % ("c", "b", "")
        + 'layer { name: "other" type: "TanH" bottom: "x" top: "other" }\n'
        + SCALE % ("b", "b", "")
    ),
}

LAYERS = {
    "convolution": ("Convolution", "pad: 1"),
    "convolution without bias": ("Convolution", "bias_term: false"),
    "grouped": ("Convolution", "group: 2"),
    "inner product": ("InnerProduct", ""),
    "turned inner product": ("InnerProduct", "transpose: true bias_term: false"),
    "deconvolution": ("Deconvolution", "stride: 2"),
    "grouped deconvolution": ("Deconvolution", "group: 2 bias_term: false"),
}


NAMES = re.compile(r'"(c|b|s|t|r|bn|scale|bias|relu|other)"')


@pytest.mark.parametrize("chain", list(CHAINS))
def test_every_layer_takes_up_every_chain(
    chain: str, tmp_path: Path, caffe_engine: PycaffeEngine
) -> None:
    """All the layers in one net, each with a number before its names."""
    text = DATA + "".join(
        NAMES.sub(rf'"{number}\1"', first(*layer) + CHAINS[chain])
        for number, layer in enumerate(LAYERS.values())
    )
    prototxt = tmp_path / "old.prototxt"
    prototxt.write_text(text)
    weights = fill_randomly(caffe_engine, prototxt, tmp_path / "old.caffemodel")
    name = "scale" if chain == "scale alone" else "bn"
    words = [f"fold:{number}{name}" for number in range(len(LAYERS))]
    new = edited(prototxt, weights, tmp_path, *words)
    assert new.prototxt is not None
    assert_same(
        outputs(caffe_engine, prototxt, weights),
        outputs(caffe_engine, new.prototxt, new.weights),
    )
    kinds = {layer.type for layer in NetDefinition.read(new.prototxt).layers}
    assert kinds.isdisjoint({"BatchNorm", "Scale", "Bias"})


def test_a_scale_factor_of_zero_means_no_statistics(
    tmp_path: Path, caffe_engine: PycaffeEngine
) -> None:
    prototxt = tmp_path / "old.prototxt"
    prototxt.write_text(DATA + first("Convolution", "") + BN % ("c", "c", ""))
    weights = fill_randomly(caffe_engine, prototxt, tmp_path / "random.caffemodel")
    zero = edited(prototxt, weights, tmp_path, "bn[2]=0").weights
    zero = zero.rename(tmp_path / "zero.caffemodel")
    new = edited(prototxt, zero, tmp_path, "fold:bn")
    assert new.prototxt is not None
    assert_same(
        outputs(caffe_engine, prototxt, zero), outputs(caffe_engine, new.prototxt, new.weights)
    )
