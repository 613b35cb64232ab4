"""Nets with finer maps, in both engines: the old cells are there, and those between them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
from finer_maps import agreement
from random_weights import fill_randomly, thin

import netsurgery as ns
from netsurgery.engines.contract import EngineOptions
from netsurgery.engines.ort import EmbeddedEngine, open_engine
from netsurgery.engines.pycaffe import PycaffeEngine
from netsurgery.net.net import NetDefinition
from netsurgery.surgery.dense.plan import plan_dense

pytestmark = pytest.mark.caffe

WITHIN = 1e-5


class Case(NamedTuple):
    """A prototxt, the blob with the map, the side of the picture, and the strides given to it.

    hangs: a last window hangs over the edge, so that not all of the old cells are there. sees_all:
    a cell's field is larger than the picture.
    """

    prototxt: str
    blob: str
    side: int
    strides: tuple[int, ...]
    hangs: bool = False
    sees_all: bool = False


_PROTOTXTS = "prototxts/"
CASES = {
    "caffenet": Case("bvlc/bvlc_reference_caffenet.prototxt", "fc8-conv", 451, (16, 8)),
    "alexnet": Case("bvlc/bvlc_alexnet.prototxt", "fc8-conv", 451, (16, 8)),
    "rcnn": Case("bvlc/bvlc_reference_rcnn_ilsvrc13.prototxt", "fc-rcnn-conv", 451, (16, 8)),
    "vgg16": Case(
        _PROTOTXTS + "IntelLabs__SkimCaffe__models_vgg_VGG_ILSVRC_16_layers_deploy.prototxt",
        "fc8-conv", 448, (16, 8),
    ),
    "resnet50": Case(
        _PROTOTXTS + "yahoo__open_nsfw__nsfw_model_deploy.prototxt", "fc_nsfw-conv", 736, (16, 8)
    ),
    "squeezenet": Case("models/squeezenet/SqueezeNet_deploy.prototxt", "pool_final", 451, (8, 4)),
    "googlenet": Case(
        "bvlc/bvlc_googlenet.prototxt", "loss3/classifier-conv", 317, (16, 8), sees_all=True
    ),
    "lenet_v1": Case("models/lenet_v1/lenet_v1_deploy.prototxt", "ip2-conv", 60, (2,)),
    "cifar10": Case(
        _PROTOTXTS + "BVLC__caffe__examples_cifar10_cifar10_quick.prototxt",
        "ip2-conv", 96, (4, 2, 1), hangs=True,
    ),
    "digits": Case("", "ip2-conv", 88, (4, 2, 1)),
}  # fmt: skip


@pytest.fixture(scope="module")
def embedded() -> Iterator[EmbeddedEngine]:
    with open_engine(EngineOptions(threads=2)) as engine:
        yield engine


@pytest.fixture(scope="module")
def converted(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, repo_root: Path
) -> Callable[[str], tuple[NetDefinition, Path]]:
    """Case -> its net, fully convolutional, with random weights; made once."""
    models: dict[str, tuple[NetDefinition, Path]] = {}

    def of(name: str) -> tuple[NetDefinition, Path]:
        if name not in models:
            folder = tmp_path_factory.mktemp(name)
            prototxt = repo_root / "prototxt" / "digits_deploy.prototxt"
            if CASES[name].prototxt:
                prototxt = request.getfixturevalue("shared_data") / CASES[name].prototxt
            # Crop has no name in V1.
            if name == "vgg16":
                ns.upgrade(prototxt, folder / "v2.prototxt")
                prototxt = folder / "v2.prototxt"
            net = folder / "net.prototxt"
            side = CASES[name].side
            net.write_text(thin(ns.convert(prototxt, input_size=(side, side)).text))
            caffe = request.getfixturevalue("live_caffe_engine")()
            models[name] = (
                NetDefinition.read(net),
                fill_randomly(caffe, net, folder / "w.caffemodel"),
            )
        return models[name]

    return of


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("engine_name", ["embedded", "caffe"])
def test_the_old_cells_are_there_and_those_between_them(
    name: str,
    engine_name: str,
    converted: Callable[[str], tuple[NetDefinition, Path]],
    embedded: EmbeddedEngine,
    live_caffe_engine: Callable[[], PycaffeEngine],
) -> None:
    case, (net, weights) = CASES[name], converted(name)
    engine = embedded if engine_name == "embedded" else live_caffe_engine()
    random = np.random.default_rng(0)
    shape = net.inputs[0].shape
    assert shape is not None
    image = random.uniform(-1, 1, (1, shape[1], case.side, case.side)).astype(np.float32)
    with engine.load(net, weights) as old:
        for stride in case.strides:
            plan = plan_dense(net, stride)
            # The same caffemodel, untouched.
            with engine.load(plan.new, weights) as new:
                result = agreement((net, old), (plan.new, new), image, case.blob)
            assert result.inside <= WITHIN
            assert (result.cells == 0) == case.sees_all
            assert bool(plan.edge_notes) == case.hangs
            if not case.hangs:
                assert result.old_cells <= WITHIN
                steps = [2 * a - 1 <= b for a, b in zip(*result.shapes[::-1], strict=True)]
                assert all(steps)
