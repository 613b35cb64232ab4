"""Grad-CAM by real Caffe's backward pass, against its definition and nets whose maps are known."""

from __future__ import annotations

import subprocess
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

import netsurgery as ns
from netsurgery.cli import run

pytestmark = pytest.mark.caffe

Array = NDArray[np.float32]

ROOT = Path(__file__).resolve().parent.parent.parent
NET, MODEL = ROOT / "prototxt/digits_deploy.prototxt", ROOT / "models/digits/digits.caffemodel"

#: What a user of pycaffe would write: from the scores down to the layer behind the map. On to the
#: input, the ReLU in place would make the gradient of conv2 that of what it is given.
PYCAFFE = """
import sys, numpy as np, caffe
net = caffe.Net(sys.argv[1], caffe.TEST, weights=sys.argv[2])
net.blobs["data"].data[...] = np.load(sys.argv[3])
net.forward()
for number in (3, 7):
    for blob, end in (("conv2", "pool2"), ("pool3", "ip1")):
        net.blobs["ip2"].diff[...] = 0
        net.blobs["ip2"].diff[0, number] = 1
        net.backward(start="ip2", end=end)
        gradient, channels = net.blobs[blob].diff[0], net.blobs[blob].data[0]
        weights = gradient.mean(axis=(1, 2))
        cam = sum(weight * channel for weight, channel in zip(weights, channels))
        np.save("%s-%s-%d.npy" % (sys.argv[4], blob, number), np.maximum(cam, 0))
"""

#: A global average pooling twice, of a map that a layer works on in place; what Caffe must be given
#: of gradients is said otherwise.
POOLED = """force_backward: false
input: "data" input_shape { dim: [1, 3, 9, 8] }
layer { name: "conv" type: "Convolution" bottom: "data" top: "map" param { lr_mult: 0 }
  convolution_param { num_output: 5 kernel_size: 3 weight_filler { type: "gaussian" std: 1 } } }
layer { name: "relu" type: "ReLU" bottom: "map" top: "map" }
layer { name: "pool1" type: "Pooling" bottom: "map" top: "pool1"
  pooling_param { pool: AVE global_pooling: true } }
layer { name: "drop" type: "Dropout" bottom: "pool1" top: "pool1" }
layer { name: "pool2" type: "Pooling" bottom: "map" top: "pool2"
  pooling_param { pool: AVE global_pooling: true } }
layer { name: "fc1" type: "InnerProduct" bottom: "pool1" top: "fc1" param { lr_mult: 0 }
  inner_product_param { num_output: 4 weight_filler { type: "gaussian" std: 1 } } }
layer { name: "fc2" type: "InnerProduct" bottom: "pool2" top: "fc2" param { lr_mult: 0 }
  inner_product_param { num_output: 4 weight_filler { type: "gaussian" std: 1 } } }
layer { name: "sum" type: "Eltwise" bottom: "fc1" bottom: "fc2" top: "score" }
layer { name: "prob" type: "Softmax" bottom: "score" top: "prob" }
"""


@pytest.fixture(scope="module")
def noise() -> Array:
    return np.random.default_rng(5).random((32, 32), np.float32)


def test_the_map_is_that_of_pycaffes_own_backward(
    noise: Array, tmp_path: Path, caffe_python: str
) -> None:
    text = tmp_path / "net.prototxt"
    text.write_text(f"{NET.read_text()}\nforce_backward: true\n")
    np.save(tmp_path / "x.npy", noise[np.newaxis, np.newaxis])
    words = ["-c", PYCAFFE, text, MODEL, tmp_path / "x.npy", tmp_path / "cam"]
    subprocess.run([caffe_python, *map(str, words)], check=True, capture_output=True, timeout=300)
    settings = ns.Settings(NET, MODEL)
    for layer in (None, "conv2"):
        explain = ns.GradCam(layer, "7,3")
        explanation = ns.classify_map(noise, settings, explain=explain, engine="caffe")
        assert isinstance(explanation, ns.Explanation)
        assert explanation.blob == (layer or "pool3")  # the last with more than one cell
        assert explanation.method.facts["score"] == "ip2"  # before the Softmax
        for number, values in zip((7, 3), explanation.values, strict=True):
            expected = np.load(tmp_path / f"cam-{explanation.blob}-{number}.npy")
            np.testing.assert_allclose(values, expected, rtol=1e-5, atol=1e-5 * expected.max())


def test_in_front_of_a_global_pooling_it_is_the_class_activation_map(tmp_path: Path) -> None:
    prototxt, model = tmp_path / "net.prototxt", tmp_path / "net.caffemodel"
    prototxt.write_text(POOLED)
    assert run(["init", str(prototxt), "-o", str(model), "--seed", "3", "-q"]) == 0
    picture = np.random.default_rng(1).random((9, 8, 3), np.float32)
    with ns.Net(prototxt, model, engine="embedded") as net:
        blobs = net.forward(data=picture.transpose(2, 0, 1)[np.newaxis], blobs=["map", "score"])
        weights = net.params["fc1"][0] + net.params["fc2"][0]
        channels = blobs["map"][0]
        sums = np.einsum("oc,chw->ohw", weights, channels) / (channels.shape[1] * channels.shape[2])
        best = int(blobs["score"].argmax())
    assert (channels == 0).any()  # or a gradient of what the ReLU got would do, too
    expected = np.maximum(sums, 0)
    for classes, numbers in (("max", [best]), ("3,0,1", [3, 0, 1])):
        explanation = ns.classify_map(
            picture,
            ns.Settings(prototxt, model),
            explain=ns.GradCam(classes=classes),
            engine="caffe",
        )
        assert explanation.blob == "map"
        np.testing.assert_allclose(explanation.values, expected[numbers], rtol=1e-4, atol=1e-6)


def test_squeezenets_is_its_own_map_of_the_class(shared_data: Path) -> None:
    folder = shared_data / "models" / "squeezenet"
    settings = ns.Settings(
        folder / "SqueezeNet_deploy.prototxt", folder / "squeezenet.caffemodel", preprocess="bvlc"
    )
    cat = shared_data / "bvlc" / "cat.jpg"
    explanation = ns.classify_map(cat, settings, explain=ns.GradCam(classes="281"), engine="caffe")
    scores = ns.classify_map(cat, settings, blob=explanation.blob, engine="embedded").values[281]
    expected = np.maximum(scores, 0) / scores.size
    np.testing.assert_allclose(
        explanation.values[0], expected, rtol=1e-4, atol=1e-5 * expected.max()
    )


def test_a_layer_may_be_named_by_its_name_or_its_blob(tmp_path: Path, noise: Array) -> None:
    prototxt = tmp_path / "net.prototxt"
    prototxt.write_text(
        NET.read_text()
        .replace('top: "conv2"', 'top: "maps"')
        .replace('bottom: "conv2"', 'bottom: "maps"')
    )
    values = [
        ns.classify_map(
            noise, ns.Settings(prototxt, MODEL), explain=ns.GradCam(name, 3), engine="caffe"
        ).values
        for name in ("conv2", "maps")
    ]
    np.testing.assert_array_equal(values[0], values[1])


def test_of_a_net_of_maps_at_the_input_of_one_cell(tmp_path: Path, noise: Array) -> None:
    converted = ns.convert(NET, MODEL, tmp_path, input_size=(40, 48), engine="embedded")
    explanation = ns.classify_map(
        noise, converted.paths.settings, explain=ns.GradCam(classes=3), size=32, engine="caffe"
    )
    assert explanation.blob == "pool3"  # the last with more than one cell at that size
    expected = ns.classify_map(
        noise, ns.Settings(NET, MODEL), explain=ns.GradCam(classes=3), engine="caffe"
    )
    np.testing.assert_allclose(explanation.values, expected.values, rtol=1e-4, atol=1e-6)


def test_a_gradient_has_nothing_of_those_asked_for_before(tmp_path: Path) -> None:
    """Of tops of one map, whose gradients Caffe adds up, and of a blob that none depends on."""
    prototxt, model = tmp_path / "net.prototxt", tmp_path / "net.caffemodel"
    tops = [
        f'''layer {{ name: "{top}" type: "InnerProduct" bottom: "map" top: "{top}"
          inner_product_param {{ num_output: 4 weight_filler {{ type: "gaussian" std: 1 }} }} }}'''
        for top in ("first", "second")
    ]
    conv = POOLED[POOLED.index("input:") : POOLED.index('layer { name: "relu"')]
    prototxt.write_text("\n".join([conv, *tops, "force_backward: true"]))
    assert run(["init", str(prototxt), "-o", str(model), "--seed", "3", "-q"]) == 0
    with ns.Net(prototxt, model, engine="embedded") as opened:
        weights = {top: opened.params[top][0] for top in ("first", "second")}
    ones = np.ones((1, 4), np.float32)
    with ns.open_engine(ns.EngineOptions("caffe")) as engine, engine.load(prototxt, model) as net:
        net.forward({"data": np.ones((1, 3, 9, 8), np.float32)}, ["first"])
        for top in ("first", "second", "first", "second"):
            expected = np.sum(weights[top], axis=0)
            gradient = net.backward(top, ones, "map").ravel()
            np.testing.assert_allclose(gradient, expected, rtol=1e-4, atol=1e-5)
        assert not net.backward("second", ones, "first").any()
