"""HDF5 weights to and from real Caffe."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest

from netsurgery.engines.contract import EngineChoice, EngineOptions
from netsurgery.engines.pycaffe import CaffeNet, PycaffeEngine
from netsurgery.errors import EngineFailed
from netsurgery.formats.weights import WeightsFile, open_weights
from netsurgery.net.net import NetDefinition
from netsurgery.verbs.conversion import OutputPaths
from netsurgery.verbs.convert import convert
from netsurgery.verbs.transplant import transplant

pytestmark = [pytest.mark.caffe, pytest.mark.usefixtures("option_names")]

#: Arguments: prototxt, weights to load or "", HDF5 to save or "".
SCRIPT = """
import sys
import caffe
prototxt, weights, saved = sys.argv[1:]
net = caffe.Net(prototxt, caffe.TEST, **({"weights": weights} if weights else {}))
if saved:
    net.save_hdf5(saved)
"""

NET = """
name: "strange"
input: "x" input_shape { dim: [1, 2, 4, 5] }
layer { name: "one" type: "InnerProduct" bottom: "x" top: "a"
  param { name: "w" } param { name: "b" }
  inner_product_param { num_output: 3 weight_filler { type: "xavier" } } }
layer { name: "two" type: "InnerProduct" bottom: "x" top: "b"
  param { name: "w" } param { name: "b" }
  inner_product_param { num_output: 3 weight_filler { type: "xavier" } } }
layer { name: "half" type: "InnerProduct" bottom: "x" top: "h" param { name: "w" }
  inner_product_param { num_output: 3 weight_filler { type: "xavier" }
                        bias_filler { type: "uniform" } } }
layer { name: "relu.1-x" type: "ReLU" bottom: "b" top: "b" }
layer { name: "bn" type: "BatchNorm" bottom: "x" top: "bn" }
layer { name: "p" type: "PReLU" bottom: "bn" top: "p" prelu_param { channel_shared: true } }
layer { name: "c" type: "Convolution" bottom: "p" top: "c"
  convolution_param { num_output: 2 kernel_size: 3 bias_term: false
                      weight_filler { type: "xavier" } } }
"""


@pytest.fixture(params=["strange", "det3", "landmark68_bn"])
def net_and_model(
    request: pytest.FixtureRequest, tmp_path: Path, caffe_engine: PycaffeEngine
) -> tuple[Path, Path]:
    if request.param == "strange":
        strange, filled = tmp_path / "strange.prototxt", tmp_path / "strange.caffemodel"
        strange.write_text(NET)
        with caffe_engine.load(strange) as net:
            net.save(filled)
        return strange, filled
    models = request.getfixturevalue("shared_data") / "models"
    prototxt, weights = {
        "det3": ("mtcnn/det3.prototxt", "mtcnn/det3.caffemodel"),
        "landmark68_bn": (
            "landmark68_bn/deploy_68_new.prototxt",
            "landmark68_bn/vgg_68_new.caffemodel",
        ),
    }[request.param]
    return models / prototxt, models / weights


def assert_has_params(weights: WeightsFile, net: CaffeNet) -> None:
    """Bit for bit, shape for shape."""
    assert net.params
    for name, shapes in net.params.items():
        blobs = weights.layer(name).blobs
        assert tuple(blob.shape for blob in blobs) == shapes, name
        for index, blob in enumerate(blobs):
            assert blob.numpy().tobytes() == net.param(name, index).tobytes(), (name, index)


def test_what_caffe_saves_is_read(
    net_and_model: tuple[Path, Path],
    tmp_path: Path,
    caffe_engine: PycaffeEngine,
    run_in_caffe: Callable[..., str],
) -> None:
    prototxt, model = net_and_model
    saved = tmp_path / "saved.caffemodel.h5"
    run_in_caffe(SCRIPT, prototxt, model, saved)
    with (
        caffe_engine.load(prototxt, model) as net,
        open_weights(saved, NetDefinition.read(prototxt).sharing.owners) as weights,
    ):
        assert_has_params(weights, net)
        assert all(blob.packed for layer in weights.layers for blob in layer.blobs)


def itself(prototxt: Path, weights: Path, out: Path) -> Path:
    """The same weights, in the form that the name of `out` asks for."""
    transplant((prototxt, weights), (prototxt, None), out, strict=True).close()
    return out


def test_what_is_written_is_what_caffe_loads(
    net_and_model: tuple[Path, Path],
    tmp_path: Path,
    caffe_engine: PycaffeEngine,
    run_in_caffe: Callable[..., str],
) -> None:
    prototxt, model = net_and_model
    hdf5 = itself(prototxt, model, tmp_path / "ours.caffemodel.h5")
    back = itself(prototxt, hdf5, tmp_path / "back.caffemodel")
    by_caffe = tmp_path / "by_caffe.h5"
    run_in_caffe(SCRIPT, prototxt, hdf5, by_caffe)
    from_caffe = itself(prototxt, by_caffe, tmp_path / "from_caffe.caffemodel")
    with caffe_engine.load(prototxt, model) as original:
        for path in (hdf5, back, from_caffe):
            with caffe_engine.load(prototxt, path) as net, open_weights(path) as weights:
                assert net.params == original.params
                assert_has_params(weights, net)
                assert_has_params(weights, original)


def test_cifar10_h5_is_what_caffe_loads_of_it(
    shared_data: Path, tmp_path: Path, caffe_engine: PycaffeEngine
) -> None:
    folder = shared_data / "models" / "cifar10_h5"
    prototxt, weights = folder / "cifar10_small.prototxt", folder / "cifar10_small.caffemodel.h5"
    model = itself(prototxt, weights, tmp_path / "cifar10.caffemodel")
    with (
        caffe_engine.load(prototxt, weights) as first,
        caffe_engine.load(prototxt, model) as second,
    ):
        shape = first.inputs["data"]
        image = np.random.default_rng(1).standard_normal(shape).astype(np.float32)
        outputs = [net.forward({"data": image}, ["prob"])["prob"] for net in (first, second)]
        assert outputs[0].tobytes() == outputs[1].tobytes()
        assert first.params == second.params


SLASHES = """
input: "x" input_shape { dim: [1, 6, 2, 2] }
layer { name: "a" type: "InnerProduct" bottom: "x" top: "a" inner_product_param {
  num_output: 1 weight_filler { type: "xavier" } } }
layer { name: "a/b" type: "InnerProduct" bottom: "a" top: "b" inner_product_param {
  num_output: 2 weight_filler { type: "xavier" } } }
"""

#: Whether Caffe loads its own HDF5 of such a net; it aborts if not.
SAVES = """
import json, os, sys
import caffe
net = caffe.Net(sys.argv[1], caffe.TEST)
net.save_hdf5(sys.argv[2])
print(json.dumps({name: [p.data.ravel().tolist() for p in ps] for name, ps in net.params.items()}))
"""


def test_names_with_a_slash_as_caffe_writes_them(
    tmp_path: Path, run_in_caffe: Callable[..., str]
) -> None:
    """Caffe makes a group in the outer layer's group, and cannot load that file itself."""
    (tmp_path / "net.prototxt").write_text(SLASHES)
    saved = json.loads(run_in_caffe(SAVES, tmp_path / "net.prototxt", tmp_path / "a.h5"))
    with open_weights(tmp_path / "a.h5") as weights:
        for name, params in saved.items():
            values = [blob.numpy().ravel().tolist() for blob in weights.layer(name).blobs]
            assert values == params
    with pytest.raises(AssertionError, match="Incompatible number of blobs for layer a"):
        run_in_caffe(SCRIPT, tmp_path / "net.prototxt", tmp_path / "a.h5", "")


@pytest.mark.parametrize("engine", ["caffe", "embedded"])
def test_convert_from_hdf5_and_to_it(
    shared_data: Path,
    tmp_path: Path,
    caffe_engine: PycaffeEngine,
    caffe_python: str,
    engine: EngineChoice,
) -> None:
    """Both engines give what Caffe gives of the caffemodel, bit for bit."""
    folder = shared_data / "models" / "cifar10_h5"
    prototxt, hdf5 = folder / "cifar10_small.prototxt", folder / "cifar10_small.caffemodel.h5"
    model = itself(prototxt, hdf5, tmp_path / "cifar10.caffemodel")
    options = EngineOptions(choice=engine, caffe_python=caffe_python)
    pairs = [(model, ""), (hdf5, ".h5"), (hdf5, ""), (model, ".h5")]
    outputs: list[OutputPaths] = []
    for weights, form in pairs[: 2 if engine == "caffe" else 4]:
        out = tmp_path / f"{len(outputs)}.caffemodel{form}"
        places = OutputPaths(tmp_path / f"{len(outputs)}.prototxt", out)
        done = convert(
            prototxt, weights, prototxt_out=places.prototxt, weights_out=places.weights,
            engine=options, verify=form != "",
        )  # fmt: skip
        assert done.engine.startswith(engine)
        outputs.append(places)
    with caffe_engine.load(outputs[0].prototxt, outputs[0].weights) as first:
        assert first.params["ip1-conv"] == ((10, 32, 4, 4), (10,))
        for places in outputs[1:]:
            assert places.prototxt.read_bytes() == outputs[0].prototxt.read_bytes()
            with open_weights(places.weights) as weights_file:
                assert_has_params(weights_file, first)
            with caffe_engine.load(places.prototxt, places.weights) as converted:
                assert converted.params == first.params


def test_caffe_is_not_given_names_it_would_not_find(tmp_path: Path, caffe_python: str) -> None:
    (tmp_path / "net.prototxt").write_text(SLASHES)
    with h5py.File(tmp_path / "a.h5", "w") as file:
        for name, shape in (("a", (1, 24)), ("a/b", (2, 1))):
            file[f"data/{name}/0"] = np.ones(shape, "f4")
            file[f"data/{name}/1"] = np.ones(shape[:1], "f4")
    options = EngineOptions(choice="caffe", caffe_python=caffe_python)
    with pytest.raises(EngineFailed) as caught:
        convert(tmp_path / "net.prototxt", tmp_path / "a.h5", tmp_path, engine=options)
    assert str(caught.value) == (
        f"{tmp_path / 'a.h5'}: Caffe does not find layer 'a/b' in HDF5, for the / in its name; "
        "--engine embedded does"
    )
