"""Whole nets in the embedded engine and in real Caffe: every blob, before and after `convert`."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from parity.conformance import difference
from PIL import Image as Picture
from random_weights import fill_randomly

from netsurgery.engines.contract import EngineOptions, LoadedNet
from netsurgery.engines.ort import EmbeddedEngine, open_engine
from netsurgery.engines.pycaffe import PycaffeEngine
from netsurgery.verbs.convert import convert

pytestmark = pytest.mark.caffe

Array = NDArray[np.float32]

WITHIN = 1e-4

#: Sequences side by side in the recurrent net.
STREAMS = 3

#: name -> prototxt and weights under models/
TRAINED = {
    "landmark68_bn": "landmark68_bn/deploy_68_new.prototxt landmark68_bn/vgg_68_new.caffemodel",
    "landmark68_folded": "landmark68_bn/result.prototxt landmark68_bn/result.caffemodel",
    "lenet": "lenet/lenet.prototxt lenet/lenet_iter_10000.caffemodel",
    "lenet_v1": "lenet_v1/lenet_v1_deploy.prototxt lenet_v1/lenet_iter_10000",
    "det1": "mtcnn/det1.prototxt mtcnn/det1.caffemodel",
    "det2": "mtcnn/det2.prototxt mtcnn/det2.caffemodel",
    "det3": "mtcnn/det3.prototxt mtcnn/det3.caffemodel",
    "det4": "mtcnn/det4.prototxt mtcnn/det4.caffemodel",
    "convolution": "opencv/layer_convolution.prototxt opencv/layer_convolution.caffemodel",
    "deconvolution": "opencv/layer_deconvolution.prototxt opencv/layer_deconvolution.caffemodel",
    "inner_product": "opencv/layer_inner_product.prototxt opencv/layer_inner_product.caffemodel",
    "plate_characters": (
        "plate/Linux_hyperlpr_CharacterRecognization.prototxt "
        "plate/Linux_hyperlpr_CharacterRecognization.caffemodel"
    ),
    "plate_lines": (
        "plate/Linux_hyperlpr_HorizonalFinemapping.prototxt "
        "plate/Linux_hyperlpr_HorizonalFinemapping.caffemodel"
    ),
    "squeezenet": "squeezenet/SqueezeNet_deploy.prototxt squeezenet/squeezenet.caffemodel",
}

#: name -> prototxt, which gets random weights
UNTRAINED = {
    "caffenet": "bvlc/bvlc_reference_caffenet.prototxt",
    "googlenet": "bvlc/bvlc_googlenet.prototxt",
    "cifar10_quick": "prototxts/BVLC__caffe__examples_cifar10_cifar10_quick.prototxt",
    "gtsrb": "prototxts/arrybn__opencv_extra__testdata_dnn_gtsrb.prototxt",
    "open_nsfw": "prototxts/yahoo__open_nsfw__nsfw_model_deploy.prototxt",
    "siamese": "prototxts/BVLC__caffe__examples_siamese_mnist_siamese.prototxt",
    "lstm": (
        "prototxts/LisaAnne__lisa-caffe-public__examples_LRCN_activity_recognition_"
        "deploy_lstm.prototxt"
    ),
}

#: Those of them with InnerProduct layers that `convert` converts.
CLASSIFIERS = [
    *("landmark68_bn", "landmark68_folded", "lenet", "lenet_v1", "det2", "det3", "det4"),
    *("caffenet", "googlenet", "cifar10_quick"),
]


@pytest.fixture(scope="module")
def embedded() -> Iterator[EmbeddedEngine]:
    with open_engine(EngineOptions(threads=2)) as engine:
        yield engine


@pytest.fixture
def files(
    caffe_engine: PycaffeEngine, shared_data: Path, tmp_path: Path
) -> Iterator[Callable[[str], tuple[Path, Path]]]:
    """Gives the prototxt and the weights of a net by its name."""
    paths: list[Path] = []

    def find(name: str) -> tuple[Path, Path]:
        if name in TRAINED:
            prototxt, weights = TRAINED[name].split()
            return shared_data / "models" / prototxt, shared_data / "models" / weights
        prototxt_path = small_batch(shared_data / UNTRAINED[name], tmp_path)
        paths.append(fill_randomly(caffe_engine, prototxt_path, tmp_path / "random.caffemodel"))
        return prototxt_path, paths[-1]

    yield find
    for path in paths:
        path.unlink()


def small_batch(prototxt: Path, folder: Path) -> Path:
    """The same net for one picture where its author had ten or ten thousand, and for 2 x 3 steps
    where he had 16 x 10.
    """
    text = re.sub(r"dim: 10(000)? ", "dim: 1 ", prototxt.read_text(), count=1)
    if "clip_markers" in text:
        text = text.replace("input_dim: 160", f"input_dim: {2 * STREAMS}")
        text = text.replace("dim: 16\n", "dim: 2\n").replace("dim: 10\n", f"dim: {STREAMS}\n")
    path = folder / prototxt.name
    path.write_text(text)
    return path


def inputs_of(net: LoadedNet, seed: int = 0) -> dict[str, Array]:
    random = np.random.default_rng(seed)
    arrays = {}
    for name, shape in net.inputs.items():
        values = random.standard_normal(shape).astype(np.float32)
        if name == "clip_markers":
            # A recurrent layer's sequences: the first step begins one.
            values = np.ones(shape, np.float32)
            values[:STREAMS] = 0
        arrays[name] = values
    return arrays


def assert_agree(ours: LoadedNet, theirs: LoadedNet) -> None:
    """Every blob, asked for all at once, and the outputs alone, which is another graph."""
    blobs = [blob for blob in theirs.blobs if "_split_" not in blob]
    assert {blob: theirs.blobs[blob] for blob in blobs} == dict(ours.blobs)
    inputs = inputs_of(ours)
    expected, actual = theirs.forward(inputs, blobs), ours.forward(inputs, blobs)
    assert list(actual) == blobs
    apart = {blob: difference(actual[blob], expected[blob]) for blob in blobs}
    assert max(apart.values()) <= WITHIN, apart
    alone = ours.forward({}, blobs[-1:])
    assert difference(alone[blobs[-1]], expected[blobs[-1]]) <= WITHIN


@pytest.mark.parametrize("name", [*TRAINED, *UNTRAINED])
def test_every_blob(
    name: str,
    files: Callable[[str], tuple[Path, Path]],
    caffe_engine: PycaffeEngine,
    embedded: EmbeddedEngine,
) -> None:
    prototxt, weights = files(name)
    with (
        caffe_engine.load(prototxt, weights) as theirs,
        embedded.load(prototxt, weights) as ours,
    ):
        assert dict(ours.params) == {k: v for k, v in theirs.params.items() if v}
        assert_agree(ours, theirs)


@pytest.mark.parametrize("name", CLASSIFIERS)
def test_after_conversion(
    name: str,
    files: Callable[[str], tuple[Path, Path]],
    caffe_engine: PycaffeEngine,
    embedded: EmbeddedEngine,
    tmp_path: Path,
) -> None:
    """The map, and at another size the same net reshaped."""
    prototxt, weights = files(name)
    folder = tmp_path / "made"
    folder.mkdir()
    conversion = convert(
        prototxt,
        weights,
        folder,
        engine=EngineOptions(choice="embedded"),
    ).paths
    with (
        caffe_engine.load(conversion.prototxt, conversion.weights) as theirs,
        embedded.load(conversion.prototxt, conversion.weights) as ours,
    ):
        assert_agree(ours, theirs)
        larger: Mapping[str, tuple[int, ...]] = {
            blob: (2, shape[1], shape[2] + 16, shape[3] + 5) for blob, shape in ours.inputs.items()
        }
        for net in (theirs, ours):
            net.reshape(larger)
        assert_agree(ours, theirs)
    conversion.weights.unlink()


def test_squeezenet_sees_what_it_sees_in_caffe(
    files: Callable[[str], tuple[Path, Path]],
    shared_data: Path,
    caffe_engine: PycaffeEngine,
    embedded: EmbeddedEngine,
) -> None:
    """cat.jpg's top five; BGR, 0 to 255, mean 104, 117, 123."""
    prototxt, weights = files("squeezenet")
    blob = Picture.open(shared_data / "bvlc" / "cat.jpg").convert("RGB").resize((227, 227))
    bgr = np.asarray(blob, np.float32)[:, :, ::-1] - np.array([104, 117, 123], np.float32)
    feed = {"data": np.ascontiguousarray(bgr.transpose(2, 0, 1)[None])}
    synsets = (shared_data / "bvlc" / "synset_words.txt").read_text().splitlines()
    with (
        caffe_engine.load(prototxt, weights) as theirs,
        embedded.load(prototxt, weights) as ours,
    ):
        last = [*ours.blobs][-1]
        both = [net.forward(feed, [last])[last].ravel() for net in (theirs, ours)]
    best = [[int(i) for i in np.argsort(-values)[:5]] for values in both]
    assert best[0] == best[1]
    words = [synsets[i].split(" ", 1)[1].split(",")[0] for i in best[1]]
    assert words == ["kit fox", "red fox", "Pembroke", "grey fox", "bucket"]
