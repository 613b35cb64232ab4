"""`inspect` judged by real Caffe: the shapes of blobs and params that it lists are Caffe's."""

from __future__ import annotations

from collections.abc import Mapping
from math import prod
from pathlib import Path

import pytest

from netsurgery.engines.pycaffe import PycaffeEngine
from netsurgery.formats.caffemodel import Caffemodel
from netsurgery.net.net import Shape
from netsurgery.net.net_with_weights import NetWithWeights
from netsurgery.verbs.inspect import NewInputSize, inspect_net, inspect_weights
from netsurgery.verbs.inspect_result import Inspection

pytestmark = pytest.mark.caffe

#: prototxt, caffemodel ("" for none), another size of the input.
NETS = {
    "lenet": ("models/lenet/lenet.prototxt", "models/lenet/lenet_iter_10000.caffemodel", None),
    "lenet_v1": (
        "models/lenet_v1/lenet_v1_deploy.prototxt",
        "models/lenet_v1/lenet_iter_10000",
        None,
    ),
    "det4": ("models/mtcnn/det4.prototxt", "models/mtcnn/det4.caffemodel", None),
    "landmark68_bn": (
        "models/landmark68_bn/deploy_68_new.prototxt",
        "models/landmark68_bn/vgg_68_new.caffemodel",
        None,
    ),
    "squeezenet": ("models/squeezenet/SqueezeNet_deploy.prototxt", "", (301, 259)),
    "googlenet": ("bvlc/bvlc_googlenet.prototxt", "", None),
    "caffenet_conv": ("bvlc/bvlc_caffenet_full_conv.prototxt", "", (371, 499)),
    "lstm": (
        "prototxts/LisaAnne__lisa-caffe-public__examples_LRCN_activity_recognition_"
        "deploy_lstm.prototxt",
        "",
        None,
    ),
    "siamese": ("prototxts/BVLC__caffe__examples_siamese_mnist_siamese.prototxt", "", None),
}


@pytest.mark.parametrize("name", NETS)
def test_shapes_and_params_are_caffes(
    name: str, shared_data: Path, caffe_engine: PycaffeEngine
) -> None:
    prototxt, weights, size = NETS[name]
    path = shared_data / prototxt
    sizes = [] if size is None else [NewInputSize(None, size)]
    model = shared_data / weights if weights else None
    inspection = _inspected(path, model, sizes)
    assert not inspection.unknown
    with caffe_engine.load(path, model) as net:
        if sizes:
            net.reshape({blob: shape for blob, shape in inspection.inputs.items() if shape})
        _same_as_caffe(inspection, net.blobs, net.params)


def _inspected(path: Path, model: Path | None, sizes: list[NewInputSize]) -> Inspection:
    with NetWithWeights.open(path, model) as opened:
        return inspect_net(opened, sizes=sizes)


def _same_as_caffe(
    inspection: Inspection, blobs: Mapping[str, Shape], params: Mapping[str, tuple[Shape, ...]]
) -> None:
    shapes = {
        top: shape
        for layer in inspection.layers
        for top, shape in zip(layer.tops, layer.shapes, strict=True)
    }
    # Caffe's own Split layers, which it adds for a blob with several readers, are not ours.
    assert {**inspection.inputs, **shapes} == {
        blob: shape for blob, shape in blobs.items() if "_split_" not in blob
    }
    listed = {layer.name: layer.params for layer in inspection.layers if layer.params}
    assert listed == params
    if not inspection.differing:
        assert not inspection.missing


def test_a_model_that_caffe_saved_lists_what_caffe_had(
    repo_root: Path, tmp_path: Path, caffe_engine: PycaffeEngine
) -> None:
    with caffe_engine.load(repo_root / "prototxt" / "branches.prototxt") as net:
        net.save(tmp_path / "m")
        with Caffemodel.open(tmp_path / "m") as model:
            inspection = inspect_weights(model)
        assert {
            layer.name: layer.params for layer in inspection.layers if layer.params
        } == net.params
        assert inspection.total.params == sum(
            prod(shape) for shapes in net.params.values() for shape in shapes
        )
