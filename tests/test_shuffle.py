"""Channel shuffles written as Reshape, Permute, Reshape, held against ShuffleNet's own layer."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnxruntime as ort
import pytest
from numpy.typing import NDArray
from small_models import model_layer, write_model

import netsurgery
from netsurgery.engines.contract import EngineOptions
from netsurgery.engines.ort import open_engine
from netsurgery.errors import SurgeryError
from netsurgery.formats.prototxt import Prototxt
from netsurgery.net.field import fields
from netsurgery.net.net import NetDefinition
from netsurgery.net.shapes import infer
from netsurgery.net.shuffle import channel_shuffles, of_any_size
from netsurgery.surgery.convolution.plan import plan_convolution
from netsurgery.verbs.convert import convert

Array = NDArray[np.float32]


def layer(kind: str, bottom: str, top: str, more: str = "") -> str:
    return f'layer {{ name: "{top}" type: "{kind}" bottom: "{bottom}" top: "{top}" {more} }}\n'


def reshape(bottom: str, top: str, dims: str, more: str = "") -> str:
    return layer("Reshape", bottom, top, f"reshape_param {{ shape {{ dim: [{dims}] }} {more} }}")


def permute(bottom: str, top: str, order: str) -> str:
    return layer("Permute", bottom, top, f"permute_param {{ order: [{order}] }}")


HEAD = (
    'input: "data" input_shape { dim: [1, 2, 13, 15] }\n'
    'layer { name: "c" type: "Convolution" bottom: "data" top: "c" '
    "convolution_param { num_output: 6 kernel_size: 3 stride: 2 } }\n"
)  # 6 x 6 x 7
TAIL = (
    'layer { name: "d" type: "Convolution" bottom: "s" top: "d" '
    "convolution_param { num_output: 4 kernel_size: 3 group: 2 } }\n"
    'layer { name: "p" type: "Pooling" bottom: "d" top: "p" '
    "pooling_param { pool: AVE global_pooling: true } }\n"
    'layer { name: "fc" type: "InnerProduct" bottom: "p" top: "fc" '
    "inner_product_param { num_output: 5 } }\n"
)
OWN = layer("ShuffleChannel", "c", "s", "shuffle_channel_param { group: 3 }")

BOUND = {
    "heights named": reshape("c", "a", "1, 3, 2, 6, 7")
    + permute("a", "b", "0, 2, 1, 3, 4")
    + reshape("b", "s", "1, 6, 6, 7"),
    "positions joined": reshape("c", "a", "0, 3, 2, -1")
    + permute("a", "b", "0, 2, 1, 3")
    + reshape("b", "s", "0, 6, -1, 7"),
    "rest unnamed": reshape("c", "a", "-1, 3, 2, 42")
    + permute("a", "b", "0, 2, 1")
    + reshape("b", "s", "-1, 6, 6, 7"),
}
FREE = (
    reshape("c", "a", "3, 2", "axis: 1 num_axes: 1")
    + permute("a", "b", "0, 2, 1, 3, 4")
    + reshape("b", "s", "-1", "axis: 1 num_axes: 2")
)


def net_of(text: str) -> NetDefinition:
    return NetDefinition.of(Prototxt.parse(HEAD + text + TAIL, "n.prototxt"))


@pytest.mark.parametrize("text", [*BOUND.values(), FREE])
def test_a_shuffle_is_recognised(text: str) -> None:
    net = net_of(text)
    (shuffle,) = channel_shuffles(net, infer(net))
    assert [each.name for each in shuffle.layers] == ["a", "b", "s"]
    assert shuffle.groups == (3, 2)
    assert shuffle.free is (text == FREE)


def test_its_field_is_that_of_the_map() -> None:
    known = fields(net_of(BOUND["positions joined"]))
    assert known["s"] == known["c"]
    assert known["fc"] == fields(net_of(OWN))["fc"]
    assert {"a", "b"}.isdisjoint(known)


def test_written_for_any_size_it_is_free() -> None:
    for text in BOUND.values():
        net = of_any_size(net_of(text), infer(net_of(text)))
        (shuffle,) = channel_shuffles(net, infer(net))
        assert shuffle.free
        assert infer(net).blobs["s"] == (1, 6, 6, 7)
        assert infer(net, {"data": (3, 2, 21, 17)}).blobs["s"] == (3, 6, 10, 8)
    free = net_of(FREE)
    assert of_any_size(free, infer(free)) is free


#: What looks like one and is none.
OTHERS = [
    reshape("c", "a", "1, 3, 2, 42") + permute("a", "b", "0, 2, 3, 1")
    + reshape("b", "s", "1, 6, 6, 7"),
    reshape("c", "a", "1, 3, 2, 42") + permute("a", "b", "0, 2, 1, 3")
    + reshape("b", "s", "1, 6, 7, 6"),
    reshape("c", "a", "1, 2, 6, 21") + permute("a", "b", "0, 2, 1, 3")
    + reshape("b", "s", "1, 6, 6, 7"),
    BOUND["positions joined"] + layer("Power", "a", "seen"),
    BOUND["positions joined"].replace('bottom: "b"', 'bottom: "r"').replace(
        'layer { name: "s"', layer("ReLU", "b", "r") + 'layer { name: "s"'
    ),
]  # fmt: skip


@pytest.mark.parametrize("text", OTHERS)
def test_what_is_none(text: str) -> None:
    net = net_of(text)
    assert channel_shuffles(net, infer(net)) == []
    with pytest.raises(SurgeryError, match="moves numbers from position to position"):
        plan_convolution(net)


def model(path: Path) -> Path:
    random = np.random.default_rng(1)
    shapes = {
        "c": ("Convolution", (6, 2, 3, 3), (6,)),
        "d": ("Convolution", (4, 3, 3, 3), (4,)),
        "fc": ("InnerProduct", (5, 4), (5,)),
    }
    layers = [
        model_layer(name, kind, *(random.standard_normal(shape).astype("<f4") for shape in each))
        for name, (kind, *each) in shapes.items()
    ]
    return write_model(path, *layers)


@pytest.mark.parametrize("text", [*BOUND.values(), FREE])
def test_converted_it_is_the_same_map_as_with_shufflenets_layer(text: str, tmp_path: Path) -> None:
    weights = model(tmp_path / "m.caffemodel")
    maps = []
    for name, net_text in (("written", text), ("own", OWN)):
        prototxt = tmp_path / f"{name}.prototxt"
        prototxt.write_text(HEAD + net_text + TAIL)
        conversion = convert(
            prototxt,
            weights,
            tmp_path / name,
            engine=EngineOptions(choice="embedded"),
            verify=True,
        )
        assert conversion.verification is not None
        assert [check.check.reasons for check in conversion.verification.maps] == [()]
        with (
            open_engine(EngineOptions(threads=1)) as engine,
            engine.load(conversion.paths.prototxt, conversion.paths.weights) as net,
        ):
            picture = np.random.default_rng(2).standard_normal((1, 2, 31, 40)).astype("f4")
            net.reshape({"data": picture.shape})
            maps.append(net.forward({"data": picture}, ["fc-conv"])["fc-conv"])
        message = "the channel shuffle of 'a' and 'b' and 's' is written for maps of any size"
        assert (message in conversion.plan.notes) is (net_text in BOUND.values())
    assert maps[0].shape == (1, 5, 10, 13)
    assert maps[0].tobytes() == maps[1].tobytes()


@pytest.mark.parametrize("text", [*BOUND.values(), FREE])
def test_exported_it_takes_any_size(text: str, tmp_path: Path) -> None:
    weights, tail = model(tmp_path / "m.caffemodel"), TAIL.split('layer { name: "p"')[0]
    results = []
    for name, net_text in (("written", text), ("own", OWN)):
        prototxt = tmp_path / f"{name}.prototxt"
        prototxt.write_text(HEAD + net_text + tail)
        netsurgery.export_onnx(prototxt, weights, tmp_path / f"{name}.onnx")
        session = ort.InferenceSession(tmp_path / f"{name}.onnx")
        assert session.get_inputs()[0].shape == ["batch", 2, "data_height", "data_width"]
        picture = np.random.default_rng(2).standard_normal((3, 2, 20, 29)).astype("f4")
        results.append(session.run(None, {"data": picture})[0])
    assert results[0].shape == (3, 4, 7, 12)
    assert results[0].tobytes() == results[1].tobytes()
