"""Our reading and writing of caffemodels against real pycaffe's."""

from __future__ import annotations

import math
import struct
from pathlib import Path

import pytest
from golden import floats

from netsurgery.engines.contract import EngineOptions, Shape
from netsurgery.engines.ort import open_engine
from netsurgery.engines.pycaffe import CaffeNet, PycaffeEngine
from netsurgery.errors import EngineFailed, NetError
from netsurgery.formats.caffemodel import FIELDS, Caffemodel, StoredBlob
from netsurgery.formats.caffemodel_write import (
    Chunks,
    LayerChange,
    check_written,
    planned,
    rewrite,
)
from netsurgery.io.files import Outputs
from netsurgery.io.wire import delimited, packed_varints, varint_field
from netsurgery.net.net_with_weights import NetWithWeights
from netsurgery.verbs.inspect import inspect_net

pytestmark = pytest.mark.caffe

#: folder of models/, prototxt, caffemodel
TRAINED = [
    ("landmark68_bn", "deploy_68_new.prototxt", "vgg_68_new.caffemodel"),
    ("landmark68_bn", "result.prototxt", "result.caffemodel"),
    ("lenet", "lenet.prototxt", "lenet_iter_10000.caffemodel"),
    ("lenet_v1", "lenet_v1_deploy.prototxt", "lenet_iter_10000"),
    ("mtcnn", "det1.prototxt", "det1.caffemodel"),
    ("mtcnn", "det2.prototxt", "det2.caffemodel"),
    ("mtcnn", "det3.prototxt", "det3.caffemodel"),
    ("mtcnn", "det4.prototxt", "det4.caffemodel"),
    ("opencv", "layer_convolution.prototxt", "layer_convolution.caffemodel"),
    ("opencv", "layer_deconvolution.prototxt", "layer_deconvolution.caffemodel"),
    ("opencv", "layer_inner_product.prototxt", "layer_inner_product.caffemodel"),
    (
        "plate",
        "Linux_hyperlpr_CharacterRecognization.prototxt",
        "Linux_hyperlpr_CharacterRecognization.caffemodel",
    ),
    (
        "plate",
        "Linux_hyperlpr_HorizonalFinemapping.prototxt",
        "Linux_hyperlpr_HorizonalFinemapping.caffemodel",
    ),
    ("squeezenet", "SqueezeNet_deploy.prototxt", "squeezenet.caffemodel"),
]


@pytest.fixture(params=TRAINED, ids=[f"{folder}-{model}" for folder, _, model in TRAINED])
def trained(request: pytest.FixtureRequest, shared_data: Path) -> tuple[Path, Path]:
    folder, prototxt, model = request.param
    place = shared_data / "models" / folder
    return place / prototxt, place / model


def padded(shape: Shape, blob: StoredBlob) -> Shape:
    return (1,) * (4 - len(shape)) + shape if blob.legacy else shape


def agree(net: CaffeNet, model: Caffemodel) -> int:
    """Every param of the net is the model's, bit for bit; how many there are."""
    params = 0
    for name, shapes in net.params.items():
        blobs = model.layer(name).blobs
        assert [blob.shape for blob in blobs] == [
            padded(shape, blob) for shape, blob in zip(shapes, blobs, strict=True)
        ]
        for index, blob in enumerate(blobs):
            assert net.param(name, index).tobytes() == blob.numpy().tobytes()
            params += 1
    return params


def test_params_are_those_caffe_loads(
    caffe_engine: PycaffeEngine, trained: tuple[Path, Path]
) -> None:
    prototxt, weights = trained
    with caffe_engine.load(prototxt, weights) as net, Caffemodel.open(weights) as model:
        assert agree(net, model) > 0


def numbers_of(blob: StoredBlob) -> Chunks:
    return lambda: [blob.numpy().tobytes()]


def test_caffe_loads_what_we_write(
    caffe_engine: PycaffeEngine, trained: tuple[Path, Path], tmp_path: Path
) -> None:
    """Every shape written again, every first blob's numbers too, the net renamed."""
    prototxt, weights = trained
    out = tmp_path / "new.caffemodel"
    with caffe_engine.load(prototxt, weights) as net, Caffemodel.open(weights) as model:
        changes = {
            name: LayerChange(shapes=shapes, data={0: numbers_of(model.layer(name).blobs[0])})
            for name, shapes in net.params.items()
        }
        with Outputs([out]) as outputs:
            outputs[out].write_segments(rewrite(model, changes, "another name"))
            check_written(outputs[out].temporary, planned(model, changes))
        with caffe_engine.load(prototxt, out) as again:
            assert again.params == net.params
            assert agree(again, model) > 0


@pytest.mark.parametrize(
    ("folder", "prototxt", "weights", "types"),
    [
        ("lenet", "lenet.prototxt", "lenet_iter_10000.caffemodel", ('"InnerProduct"',) * 2),
        ("lenet_v1", "lenet_v1_deploy.prototxt", "lenet_iter_10000", ("INNER_PRODUCT",) * 2),
    ],
)
def test_inner_products_as_convolutions(
    caffe_engine: PycaffeEngine,
    shared_data: Path,
    tmp_path: Path,
    folder: str,
    prototxt: str,
    weights: str,
    types: tuple[str, str],
) -> None:
    place = shared_data / "models" / folder
    text = (place / prototxt).read_text()
    for word, kernel in zip(types, (4, 1), strict=True):
        new = word.replace("InnerProduct", "Convolution").replace("INNER_PRODUCT", "CONVOLUTION")
        head, tail = text.split(word, 1)
        param = f"convolution_param {{ kernel_size: {kernel} "
        text = head + new + tail.replace("inner_product_param {", param, 1)
    (tmp_path / "net.prototxt").write_text(text)
    shapes: dict[str, Shape] = {"ip1": (500, 50, 4, 4), "ip2": (10, 500, 1, 1)}
    out = tmp_path / "out.caffemodel"
    with Caffemodel.open(place / weights) as model, Outputs([out]) as outputs:
        numbers = FIELDS[model.generation]
        changes = {
            name: LayerChange(
                type="Convolution",
                shapes=(shape,),
                messages={
                    numbers.inner_product_param: None,
                    numbers.convolution_param: varint_field(4, shape[-1]),
                },
            )
            for name, shape in shapes.items()
        }
        outputs[out].write_segments(rewrite(model, changes))
    with Caffemodel.open(out) as model, caffe_engine.load(tmp_path / "net.prototxt", out) as net:
        assert net.params["ip1"] == ((500, 50, 4, 4), (500,))
        assert dict(net.layers)["ip1"] == "Convolution"
        assert agree(net, model) == 8


NET = """
layer { name: "data" type: "Input" top: "data" input_param { shape { dim: 1 dim: 3 } } }
layer { name: "fc" type: "InnerProduct" bottom: "data" top: "fc"
  inner_product_param { num_output: 2 bias_term: false } }
"""
SIX = floats(1, 2, 3, 4, 5, 6)
SHAPE = delimited(7, packed_varints(1, (2, 3)))
OLD = b"".join(varint_field(number, dim) for number, dim in enumerate((1, 1, 2, 3), 1))
BLOBS = {
    "packed": SHAPE + delimited(5, SIX),
    "old dimensions": OLD + delimited(5, SIX),
    "old dimensions before a shape": delimited(7, b"\x0a\x01\x06") + OLD + delimited(5, SIX),
    "shape of unpacked numbers": delimited(7, varint_field(1, 2) + varint_field(1, 3))
    + delimited(5, SIX),
    "shape in pieces": delimited(7, varint_field(1, 2))
    + delimited(5, SIX)
    + delimited(7, varint_field(1, 3)),
    "in two runs": SHAPE + delimited(5, SIX[:8]) + delimited(5, SIX[8:]),
    "a tag before each": SHAPE + b"".join(b"\x2d" + SIX[at : at + 4] for at in range(0, 24, 4)),
    "mixed": delimited(5, SIX[:4]) + SHAPE + b"\x2d" + SIX[4:8] + delimited(5, SIX[8:]),
    "doubles": SHAPE + delimited(8, struct.pack("<6d", 1.1, 2, 3, 4, 5, 6e-300)),
    "doubles before floats": SHAPE + delimited(5, SIX) + delimited(8, struct.pack("<6d", *[7] * 6)),
    "no doubles beside floats": delimited(8, b"") + SHAPE + delimited(5, SIX),
    "unknown fields": SHAPE + delimited(5, SIX) + delimited(4000, b"x") + b"\x5b\x08\x01\x5c",
    "odd bits": SHAPE
    + delimited(5, struct.pack("<6I", 0x7FC00001, 0xFF800000, 1 << 31, 1, 0x7F7FFFFF, 0)),
}


@pytest.mark.parametrize("generation", ["V1", "V2"])
@pytest.mark.parametrize("blob", BLOBS.values(), ids=list(BLOBS))
def test_every_way_to_write_a_blob(
    caffe_engine: PycaffeEngine, tmp_path: Path, blob: bytes, generation: str
) -> None:
    if generation == "V2":
        head = delimited(1, b"fc") + delimited(2, b"InnerProduct")
        data = delimited(100, head + delimited(7, blob))
    else:
        data = delimited(2, delimited(4, b"fc") + varint_field(5, 14) + delimited(6, blob))
    (tmp_path / "net.prototxt").write_text(NET)
    (tmp_path / "model").write_bytes(data)
    with (
        Caffemodel.open(tmp_path / "model") as model,
        caffe_engine.load(tmp_path / "net.prototxt", tmp_path / "model") as net,
    ):
        stored = model.layer("fc").blobs[0]
        assert math.prod(stored.shape) == 6
        assert net.param("fc", 0).tobytes() == stored.numpy().tobytes()


def test_params_for_a_layer_that_has_none_are_refused_as_by_caffe(
    caffe_engine: PycaffeEngine, tmp_path: Path
) -> None:
    prototxt, model = tmp_path / "net.prototxt", tmp_path / "model"
    prototxt.write_text(NET + 'layer { name: "r" type: "ReLU" bottom: "fc" top: "fc" }')
    slope = delimited(7, SHAPE + delimited(5, SIX))
    weights = delimited(100, delimited(1, b"fc") + slope)
    model.write_bytes(weights + delimited(100, delimited(1, b"r") + slope))
    with pytest.raises(EngineFailed, match=r"Incompatible number of blobs for layer r "):
        caffe_engine.load(prototxt, model, partial=True)
    message = f"layer 'r' (ReLU): {model} has 1 param for it, expected 0"
    with pytest.raises(NetError) as caught:
        open_engine(EngineOptions()).load(prototxt, model)
    assert str(caught.value) == message
    with NetWithWeights.open(prototxt, model) as opened:
        (differing,) = inspect_net(opened).differing
    assert (differing.layer, differing.net, differing.model) == ("r", (), ((2, 3),))
    model.write_bytes(weights + delimited(100, delimited(1, b"r")))
    open_engine(EngineOptions()).load(prototxt, model).close()
