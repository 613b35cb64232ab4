"""`transplant` judged by real Caffe."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from random_weights import fill_randomly

from netsurgery.engines.pycaffe import PycaffeEngine
from netsurgery.surgery.transplant.plan import NameRule, TransplantPlan
from netsurgery.verbs.transplant import transplant

pytestmark = pytest.mark.caffe

Files = tuple[Path, Path]


def carried_out(
    source: Files, target: tuple[Path, Path | None], out: Path, rule: NameRule, strict: bool = True
) -> TransplantPlan:
    names: dict[str, Any] = {"names": rule.pairs, "prefix": rule.prefix, "suffix": rule.suffix}
    with transplant(source, target, out, **names, strict=strict) as result:
        return result.plan


#: Surgery as it is done by hand in pycaffe: every param of a layer by its name, numbers in order.
#: Arguments: prototxt and weights from, prototxt to, suffix, where to save.
BY_HAND = """
import sys
import caffe
prototxt, weights, target, suffix, saved = sys.argv[1:]
old = caffe.Net(prototxt, caffe.TEST, weights=weights)
new = caffe.Net(target, caffe.TEST)
for name in old.params:
    goal = name + suffix if name + suffix in new.params else name
    for one, other in zip(old.params[name], new.params[goal]):
        assert one.data.size == other.data.size, name
        other.data.flat = one.data.flat
new.save(saved)
"""


def assert_same_in_caffe(
    engine: PycaffeEngine, prototxt: Path, first_path: Path, second_path: Path
) -> None:
    with engine.load(prototxt, first_path) as first, engine.load(prototxt, second_path) as second:
        assert first.params == second.params
        for layer, shapes in first.params.items():
            for index in range(len(shapes)):
                first_param, second_param = first.param(layer, index), second.param(layer, index)
                assert first_param.tobytes() == second_param.tobytes(), (layer, index)


def test_bvlcs_full_conv_net_as_by_hand(
    shared_data: Path,
    tmp_path: Path,
    caffe_engine: PycaffeEngine,
    run_in_caffe: Callable[..., str],
) -> None:
    source = shared_data / "bvlc" / "bvlc_reference_caffenet.prototxt"
    target = shared_data / "bvlc" / "bvlc_caffenet_full_conv.prototxt"
    weights = fill_randomly(caffe_engine, source, tmp_path / "caffenet.caffemodel")
    run_in_caffe(BY_HAND, source, weights, target, "-conv", tmp_path / "hand")
    out = tmp_path / "out.caffemodel"
    plan = carried_out((source, weights), (target, None), out, NameRule(suffix="-conv"))
    assert plan.counts["reshaped"] == 3
    assert plan.counts["dropped"] == plan.counts["unmatched"] == 0
    assert_same_in_caffe(caffe_engine, target, tmp_path / "hand", out)
    for path in (weights, out, tmp_path / "hand"):
        path.unlink()


FCN = """
input: "data" input_shape { dim: [1, 1, 40, 52] }
layer { name: "conv1" type: "Convolution" bottom: "data" top: "conv1"
  convolution_param { num_output: 20 kernel_size: 5 } }
layer { name: "pool1" type: "Pooling" bottom: "conv1" top: "pool1"
  pooling_param { pool: MAX kernel_size: 2 stride: 2 } }
layer { name: "conv2" type: "Convolution" bottom: "pool1" top: "conv2"
  convolution_param { num_output: 50 kernel_size: 5 } }
layer { name: "pool2" type: "Pooling" bottom: "conv2" top: "pool2"
  pooling_param { pool: MAX kernel_size: 2 stride: 2 } }
layer { name: "ip1" type: "Convolution" bottom: "pool2" top: "ip1"
  convolution_param { num_output: 500 kernel_size: 4 } }
layer { name: "relu1" type: "ReLU" bottom: "ip1" top: "ip1" }
layer { name: "ip2" type: "Convolution" bottom: "ip1" top: "ip2"
  convolution_param { num_output: 10 kernel_size: 1 } }
layer { name: "prob" type: "Softmax" bottom: "ip2" top: "prob" }
"""


@pytest.mark.parametrize(
    "files",
    [
        ("lenet/lenet.prototxt", "lenet/lenet_iter_10000.caffemodel"),
        ("lenet_v1/lenet_v1_deploy.prototxt", "lenet_v1/lenet_iter_10000"),
    ],
    ids=["V2", "V1"],
)
def test_the_same_names_other_types(
    shared_data: Path,
    tmp_path: Path,
    caffe_engine: PycaffeEngine,
    run_in_caffe: Callable[..., str],
    files: tuple[str, str],
) -> None:
    """As fully convolutional nets for segmentation are begun: the names stay, the types not."""
    source, weights = (shared_data / "models" / name for name in files)
    (tmp_path / "fcn.prototxt").write_text(FCN)
    target, out = tmp_path / "fcn.prototxt", tmp_path / "out.caffemodel"
    run_in_caffe(BY_HAND, source, weights, target, "", tmp_path / "hand")
    for path in (out, tmp_path / "out.caffemodel.h5"):
        carried_out((source, weights), (target, None), path, NameRule())
        assert_same_in_caffe(caffe_engine, target, tmp_path / "hand", path)
    # Into Caffe's own file, then into the result: the same.
    again = tmp_path / "again.caffemodel"
    carried_out((source, weights), (target, tmp_path / "hand"), again, NameRule())
    assert again.read_bytes() == (tmp_path / "hand").read_bytes()


TURNED = """
input: "x" input_shape {{ dim: [2, 3, 4, 5] }}
layer {{ name: "fc" type: "InnerProduct" bottom: "x" top: "fc"
  inner_product_param {{ num_output: 7 transpose: {} weight_filler {{ type: "xavier" }} }} }}
"""


def test_a_turned_weight_is_the_same_function(tmp_path: Path, caffe_engine: PycaffeEngine) -> None:
    nets = {flag: tmp_path / f"{flag}.prototxt" for flag in ("true", "false")}
    for flag, path in nets.items():
        path.write_text(TURNED.format(flag))
    weights = fill_randomly(caffe_engine, nets["true"], tmp_path / "true.caffemodel")
    out, back = tmp_path / "false.caffemodel", tmp_path / "back.caffemodel"
    carried_out((nets["true"], weights), (nets["false"], None), out, NameRule())
    carried_out((nets["false"], out), (nets["true"], None), back, NameRule())
    assert_same_in_caffe(caffe_engine, nets["true"], weights, back)
    array = np.random.default_rng(2).standard_normal((2, 3, 4, 5)).astype(np.float32)
    with (
        caffe_engine.load(nets["true"], weights) as plain,
        caffe_engine.load(nets["false"], out) as turned,
    ):
        before, after = (net.forward({"x": array}, ["fc"])["fc"] for net in (plain, turned))
    assert np.abs(before - after).max() <= 1e-5 * np.abs(before).max()


def test_two_nets_in_one(
    shared_data: Path, tmp_path: Path, caffe_engine: PycaffeEngine, repo_root: Path
) -> None:
    """LeNet of 2014 and of 2016 side by side: each answers as it does alone."""
    folder = shared_data / "models"
    nets = {
        "a/": (folder / "lenet/lenet.prototxt", folder / "lenet/lenet_iter_10000.caffemodel"),
        "b/": (folder / "lenet_v1/lenet_v1_deploy.prototxt", folder / "lenet_v1/lenet_iter_10000"),
    }
    joined, weights = tmp_path / "joined.prototxt", None
    joined.write_text(both(["a/", "b/"]))
    for prefix, files in nets.items():
        out = tmp_path / f"{prefix[0]}.caffemodel"
        carried_out(files, (joined, weights), out, NameRule(prefix=prefix), strict=prefix == "b/")
        weights = out
    images = np.random.default_rng(3).random((4, 1, 28, 28)).astype(np.float32)
    with caffe_engine.load(joined, weights) as net:
        net.reshape({"data": (4, 1, 28, 28)})
        outputs = net.forward({"data": images}, ["a/prob", "b/prob"])
    for prefix, (prototxt, model) in nets.items():
        with caffe_engine.load(prototxt, model) as alone:
            (name,) = alone.inputs
            alone.reshape({name: (4, 1, 28, 28)})
            expected = alone.forward({name: images}, ["prob"])["prob"]
        assert np.abs(outputs[f"{prefix}prob"] - expected).max() <= 1e-6


def both(prefixes: list[str]) -> str:
    text = 'input: "data" input_shape { dim: [1, 1, 28, 28] }\n'
    for prefix in prefixes:
        body = FCN.split("\n", 2)[2].replace('name: "', f'name: "{prefix}')
        for word in ("bottom", "top"):
            body = body.replace(f'{word}: "', f'{word}: "{prefix}')
        body = body.replace(f'bottom: "{prefix}data"', 'bottom: "data"')
        for name in ("ip1", "ip2"):
            body = body.replace(
                f'name: "{prefix}{name}" type: "Convolution"',
                f'name: "{prefix}{name}" type: "InnerProduct"',
            )
        for outputs, size in ((500, 4), (10, 1)):
            body = body.replace(
                f"convolution_param {{ num_output: {outputs} kernel_size: {size} }}",
                f"inner_product_param {{ num_output: {outputs} }}",
            )
        text += body
    return text
