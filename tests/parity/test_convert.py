"""`convert` judged by real Caffe: the same function before and after, whichever engine moved it."""

from __future__ import annotations

import gzip
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from random_weights import fill_randomly, thin

from netsurgery.engines.contract import EngineChoice, EngineOptions
from netsurgery.engines.pycaffe import CaffeNet, PycaffeEngine
from netsurgery.engines.registry import open_engine
from netsurgery.formats.caffemodel import Caffemodel
from netsurgery.verbs.convert import convert
from netsurgery.verbs.convert_result import Conversion

pytestmark = pytest.mark.caffe

Array = NDArray[np.float32]

TRAINED = {
    "lenet": ("lenet/lenet.prototxt", "lenet/lenet_iter_10000.caffemodel"),
    "lenet_v1": ("lenet_v1/lenet_v1_deploy.prototxt", "lenet_v1/lenet_iter_10000"),
    "det2": ("mtcnn/det2.prototxt", "mtcnn/det2.caffemodel"),
    "det3": ("mtcnn/det3.prototxt", "mtcnn/det3.caffemodel"),
    "det4": ("mtcnn/det4.prototxt", "mtcnn/det4.caffemodel"),
    "landmark68_bn": (
        "landmark68_bn/deploy_68_new.prototxt",
        "landmark68_bn/vgg_68_new.caffemodel",
    ),
    "landmark68_folded": ("landmark68_bn/result.prototxt", "landmark68_bn/result.caffemodel"),
    "plate_characters": (
        "plate/Linux_hyperlpr_CharacterRecognization.prototxt",
        "plate/Linux_hyperlpr_CharacterRecognization.caffemodel",
    ),
    "plate_lines": (
        "plate/Linux_hyperlpr_HorizonalFinemapping.prototxt",
        "plate/Linux_hyperlpr_HorizonalFinemapping.caffemodel",
    ),
    "squeezenet": ("squeezenet/SqueezeNet_deploy.prototxt", "squeezenet/squeezenet.caffemodel"),
}

UNTRAINED = {
    "caffenet": "bvlc/bvlc_reference_caffenet.prototxt",
    "alexnet": "bvlc/bvlc_alexnet.prototxt",
    "rcnn": "bvlc/bvlc_reference_rcnn_ilsvrc13.prototxt",
    "googlenet": "bvlc/bvlc_googlenet.prototxt",
    "cifar10_quick": "prototxts/BVLC__caffe__examples_cifar10_cifar10_quick.prototxt",
    "siamese": "prototxts/BVLC__caffe__examples_siamese_mnist_siamese.prototxt",
    "mlp": "prototxts/IntelLabs__SkimCaffe__examples_mnist_mlp_deploy.prototxt",
    "gtsrb": "prototxts/arrybn__opencv_extra__testdata_dnn_gtsrb.prototxt",
    "age_net": "prototxts/GilLevi__AgeGenderDeepLearning__age_net_definitions_deploy.prototxt",
    "nsfw": "prototxts/yahoo__open_nsfw__nsfw_model_deploy.prototxt",
    "face": "prototxts/ydwen__caffe-face__face_example_face_deploy.prototxt",
}

#: Of these an eighth of the channels will do: 61 million params, as caffenet has, take long.
THIN = ("alexnet", "rcnn", "face")


@pytest.fixture(params=[*TRAINED, *UNTRAINED, "cifar10_full"])
def classifier(
    request: pytest.FixtureRequest, tmp_path: Path, caffe_engine: PycaffeEngine
) -> Iterator[tuple[Path, Path]]:
    """A deploy prototxt and weights for it."""
    name = request.param
    if name == "cifar10_full":
        docs = request.getfixturevalue("caffe_docs")
        prototxt = docs / "examples" / "cifar10" / "cifar10_full.prototxt"
    else:
        data = request.getfixturevalue("shared_data")
        if name in TRAINED:
            prototxt, weights = (data / "models" / path for path in TRAINED[name])
            yield prototxt, weights
            return
        prototxt = data / UNTRAINED[name]
        if name in THIN:
            (tmp_path / "thin.prototxt").write_text(thin(prototxt.read_text()))
            prototxt = tmp_path / "thin.prototxt"
    weights = fill_randomly(caffe_engine, prototxt, tmp_path / f"{name}.caffemodel")
    yield prototxt, weights
    weights.unlink()


def converted(
    prototxt: Path, weights: Path, folder: Path, engine: EngineChoice, caffe_python: str
) -> Conversion:
    folder.mkdir()
    return convert(
        prototxt,
        weights,
        folder,
        engine=EngineOptions(choice=engine, caffe_python=caffe_python),
    )


def relative(a: Array, b: Array) -> float:
    """max|a-b| / max|a|; the shapes may differ, the counts not."""
    assert a.size == b.size
    assert np.abs(a).max() > 0
    return float(np.abs(a.ravel() - b.ravel()).max() / np.abs(a).max())


def test_the_same_function_and_the_same_params(
    classifier: tuple[Path, Path], tmp_path: Path, caffe_engine: PycaffeEngine, caffe_python: str
) -> None:
    prototxt, weights = classifier
    by_caffe = converted(prototxt, weights, tmp_path / "caffe", "caffe", caffe_python)
    by_embedded = converted(prototxt, weights, tmp_path / "embedded", "embedded", caffe_python)
    assert by_caffe.engine.startswith("caffe 1.0.0, CPU")
    assert by_embedded.engine == "embedded"
    assert by_caffe.paths.prototxt.read_bytes() == by_embedded.paths.prototxt.read_bytes()
    with (
        caffe_engine.load(by_caffe.paths.prototxt, by_caffe.paths.weights) as caffe_net,
        caffe_engine.load(by_embedded.paths.prototxt, by_embedded.paths.weights) as embedded_net,
    ):
        assert_same_params(caffe_net, embedded_net)
        assert_maps_as_planned(caffe_net, by_caffe)
        with caffe_engine.load(prototxt, weights) as original:
            assert_same_function(original, caffe_net, by_caffe)
    for conversion in (by_caffe, by_embedded):
        conversion.paths.weights.unlink()


def assert_same_params(first: CaffeNet, second: CaffeNet) -> None:
    """Bit for bit."""
    assert first.params == second.params
    for layer, shapes in first.params.items():
        for index in range(len(shapes)):
            assert first.param(layer, index).tobytes() == second.param(layer, index).tobytes(), (
                layer
            )


def assert_maps_as_planned(net: CaffeNet, conversion: Conversion) -> None:
    assert dict(net.inputs) == {
        net_input.name: net_input.new for net_input in conversion.plan.inputs
    }
    for blob, shape in conversion.plan.maps.items():
        assert net.blobs[blob] == shape


def assert_same_function(original: CaffeNet, new: CaffeNet, conversion: Conversion) -> None:
    """At the original size the outputs are equal to 1e-5 relative."""
    (net_input,) = conversion.plan.inputs
    name, shape = net_input.name, (1, *net_input.old[1:])
    array = np.random.default_rng(1).standard_normal(shape).astype(np.float32)
    outputs = conversion.plan.net.outputs
    renamed = [conversion.plan.renames.get(blob, blob) for blob in outputs]
    for net in (original, new):
        net.reshape({name: shape})
    before = original.forward({name: array}, outputs)
    after = new.forward({name: array}, renamed)
    for old, now in zip(outputs, renamed, strict=True):
        assert relative(before[old], after[now]) <= 1e-5, old


def test_layers_the_net_does_not_have_are_kept_by_embedded_and_lost_by_caffe(
    shared_data: Path, tmp_path: Path, caffe_python: str
) -> None:
    prototxt, weights = (shared_data / "models" / path for path in TRAINED["det2"])
    by_caffe = converted(prototxt, weights, tmp_path / "caffe", "caffe", caffe_python)
    by_embedded = converted(prototxt, weights, tmp_path / "embedded", "embedded", caffe_python)
    assert by_caffe.match.extra == by_embedded.match.extra == ("conv5-3",)
    with (
        Caffemodel.open(weights) as old,
        Caffemodel.open(by_embedded.paths.weights) as wire,
        Caffemodel.open(by_caffe.paths.weights) as caffe,
    ):
        extra = old.layer("conv5-3").blobs[0].numpy()
        assert wire.layer("conv5-3").blobs[0].numpy().tobytes() == extra.tobytes()
        assert "conv5-3" not in [layer.name for layer in caffe.layers]


TRANSPOSED = """
input: "x" input_shape { dim: [1, 2, 4, 5] }
layer { name: "a" type: "InnerProduct" bottom: "x" top: "a"
  inner_product_param { num_output: 7 transpose: true weight_filler { type: "xavier" } } }
layer { name: "b" type: "InnerProduct" bottom: "a" top: "b"
  inner_product_param { num_output: 3 transpose: true bias_term: false
                        weight_filler { type: "xavier" } } }
"""


def test_transposed_weights_are_turned(
    tmp_path: Path, caffe_engine: PycaffeEngine, caffe_python: str
) -> None:
    prototxt = tmp_path / "turned.prototxt"
    prototxt.write_text(TRANSPOSED)
    weights = fill_randomly(caffe_engine, prototxt, tmp_path / "turned.caffemodel")
    by_caffe = converted(prototxt, weights, tmp_path / "caffe", "caffe", caffe_python)
    by_embedded = converted(prototxt, weights, tmp_path / "embedded", "embedded", caffe_python)
    with (
        caffe_engine.load(by_caffe.paths.prototxt, by_caffe.paths.weights) as caffe_net,
        caffe_engine.load(by_embedded.paths.prototxt, by_embedded.paths.weights) as embedded_net,
        caffe_engine.load(prototxt, weights) as original,
    ):
        assert_same_params(caffe_net, embedded_net)
        assert_same_function(original, embedded_net, by_embedded)


PERMISSIVE = """
input: "x" input_shape { dim: [1, 4, 3, 3] }
layer { name: "a" type: "InnerProduct" bottom: "x" top: "a" param { name: "w" }
  inner_product_param { num_output: 5 } }
layer { name: "d" type: "Convolution" bottom: "x" top: "d"
  convolution_param { num_output: 9 kernel_size: 2 } }
layer { name: "b" type: "InnerProduct" bottom: "d" top: "b"
  param { name: "w" share_mode: PERMISSIVE } inner_product_param { num_output: 5 } }
layer { name: "c" type: "Convolution" bottom: "x" top: "c"
  param { name: "w" share_mode: 1 } convolution_param { num_output: 5 kernel_size: 3 } }
layer { name: "e" type: "Eltwise" bottom: "a" bottom: "b" top: "e" }
"""


def test_params_shared_by_their_count(
    tmp_path: Path, caffe_engine: PycaffeEngine, caffe_python: str
) -> None:
    prototxt = tmp_path / "permissive.prototxt"
    prototxt.write_text(PERMISSIVE)
    weights = fill_randomly(caffe_engine, prototxt, tmp_path / "permissive.caffemodel")
    conversion = converted(prototxt, weights, tmp_path / "out", "embedded", caffe_python)
    with (
        caffe_engine.load(conversion.paths.prototxt, conversion.paths.weights) as net,
        caffe_engine.load(prototxt, weights) as original,
        open_engine(EngineOptions(choice="embedded")) as embedded,
        embedded.load(prototxt, weights) as twin,
    ):
        assert_same_function(original, net, conversion)
        feed = {"x": np.random.default_rng(2).standard_normal((1, 4, 3, 3)).astype(np.float32)}
        before, after = original.forward(feed, ["c", "e"]), twin.forward(feed, ["c", "e"])
        for blob in before:
            assert relative(before[blob].reshape(after[blob].shape), after[blob]) <= 1e-5


POOLED = """
input: "x" input_shape { dim: [1, 3, 11, 12] }
layer { name: "c" type: "Convolution" bottom: "x" top: "c"
  convolution_param { num_output: 4 kernel_size: 3 } }
layer { name: "g" type: "Pooling" bottom: "c" top: "g"
  pooling_param { pool: AVE global_pooling: 1 } }
layer { name: "h" type: "Flatten" bottom: "g" top: "h" }
"""
GATE = """
layer { name: "s" type: "Scale" bottom: "c" bottom: "h" top: "s" scale_param { axis: 0 } }
layer { name: "i" type: "Pooling" bottom: "s" top: "i"
  pooling_param { pool: AVE global_pooling: 1 } }
layer { name: "j" type: "Flatten" bottom: "i" top: "j" }
layer { name: "t" type: "Scale" bottom: "s" bottom: "j" top: "t" scale_param { axis: 0 } }
layer { name: "fc" type: "InnerProduct" bottom: "t" top: "fc"
  inner_product_param { num_output: 5 } }
"""
BESIDE = """
layer { name: "a" type: "InnerProduct" bottom: "c" top: "a" inner_product_param { num_output: 5 } }
layer { name: "both" type: "Concat" bottom: "a" bottom: "h" top: "both" }
layer { name: "best" type: "ArgMax" bottom: "both" top: "best" argmax_param { top_k: 3 } }
layer { name: "flat" type: "Flatten" bottom: "best" top: "flat" }
layer { name: "fc" type: "InnerProduct" bottom: "flat" top: "fc"
  inner_product_param { num_output: 5 } }
"""
ALONE = 'layer { name: "p" type: "Softmax" bottom: "h" top: "p" softmax_param { axis: -1 } }'


@pytest.mark.parametrize("behind", [GATE, BESIDE, ALONE])
@pytest.mark.parametrize("by", ["caffe", "embedded"])
def test_what_is_pooled_over_the_whole_map(
    behind: str, by: EngineChoice, tmp_path: Path, caffe_engine: PycaffeEngine, caffe_python: str
) -> None:
    prototxt = tmp_path / "pooled.prototxt"
    prototxt.write_text(POOLED + behind)
    weights = fill_randomly(caffe_engine, prototxt, tmp_path / "pooled.caffemodel")
    conversion = converted(prototxt, weights, tmp_path / by, by, caffe_python)
    with (
        caffe_engine.load(conversion.paths.prototxt, conversion.paths.weights) as net,
        caffe_engine.load(prototxt, weights) as original,
    ):
        assert_maps_as_planned(net, conversion)
        assert all(shape[2:] == (8, 8) for shape in conversion.plan.maps.values())
        assert_same_function(original, net, conversion)


def test_caffe_is_spared_the_byte_order_mark(
    shared_data: Path, tmp_path: Path, caffe_python: str
) -> None:
    prototxt, weights = (shared_data / "models" / path for path in TRAINED["lenet"])
    marked = tmp_path / "marked.prototxt"
    marked.write_bytes(b"\xef\xbb\xbf" + prototxt.read_bytes())
    conversion = converted(marked, weights, tmp_path / "caffe", "caffe", caffe_python)
    assert conversion.paths.prototxt.read_bytes().startswith(b'name: "LeNetConv"')


def test_bvlcs_own_full_conv_net_loads_what_was_converted(
    shared_data: Path, tmp_path: Path, caffe_engine: PycaffeEngine, caffe_python: str
) -> None:
    prototxt = shared_data / "bvlc" / "bvlc_reference_caffenet.prototxt"
    weights = fill_randomly(caffe_engine, prototxt, tmp_path / "caffenet.caffemodel")
    conversion = converted(prototxt, weights, tmp_path / "out", "embedded", caffe_python)
    theirs = shared_data / "bvlc" / "bvlc_caffenet_full_conv.prototxt"
    with (
        caffe_engine.load(theirs, conversion.paths.weights) as net,
        caffe_engine.load(conversion.paths.prototxt, conversion.paths.weights) as ours,
    ):
        assert_same_params(net, ours)
        assert net.blobs["prob"] == (1, 1000, 8, 8)
    weights.unlink()
    conversion.paths.weights.unlink()


def mnist(shared_data: Path) -> tuple[Array, NDArray[np.uint8]]:
    images = gzip.decompress((shared_data / "mnist" / "t10k-images-idx3-ubyte.gz").read_bytes())
    labels = gzip.decompress((shared_data / "mnist" / "t10k-labels-idx1-ubyte.gz").read_bytes())
    pixels = np.frombuffer(images, np.uint8, offset=16).reshape(10_000, 1, 28, 28)
    return pixels.astype(np.float32) / np.float32(256), np.frombuffer(labels, np.uint8, offset=8)


def accuracy(net: CaffeNet, images: Array, labels: NDArray[np.uint8]) -> float:
    right = 0
    net.reshape({"data": (1000, 1, 28, 28)})
    for start in range(0, len(images), 1000):
        prob = net.forward({"data": images[start : start + 1000]}, ["prob"])["prob"]
        right += int((prob.reshape(1000, 10).argmax(1) == labels[start : start + 1000]).sum())
    return right / len(images)


def test_lenet_reads_as_many_digits_as_before(
    shared_data: Path, tmp_path: Path, caffe_engine: PycaffeEngine, caffe_python: str
) -> None:
    prototxt, weights = (shared_data / "models" / path for path in TRAINED["lenet"])
    conversion = converted(prototxt, weights, tmp_path / "out", "caffe", caffe_python)
    images, labels = mnist(shared_data)
    with (
        caffe_engine.load(prototxt, weights) as before,
        caffe_engine.load(conversion.paths.prototxt, conversion.paths.weights) as after,
    ):
        assert accuracy(before, images, labels) == accuracy(after, images, labels) == 0.9914
