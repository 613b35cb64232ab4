"""The params of converted layers, byte by byte; real Caffe judges in parity/test_convert.py."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from golden import floats

from netsurgery.errors import NetError, SurgeryError
from netsurgery.formats.caffemodel import Caffemodel
from netsurgery.formats.caffemodel_write import rewrite
from netsurgery.formats.prototxt import Prototxt
from netsurgery.formats.weights import open_weights
from netsurgery.io.files import Outputs
from netsurgery.io.segments import write_segments
from netsurgery.io.wire import delimited, packed_varints, text_field, varint_field
from netsurgery.net.net import NetDefinition
from netsurgery.net.net_with_weights import NetWithWeights
from netsurgery.net.write_weights import ModelChange, write_model
from netsurgery.surgery.convolution.plan import ConvolutionPlan, plan_convolution
from netsurgery.surgery.convolution.weights import (
    convolution_changes,
    match_weights,
)

#: Messages are compared as the command words them.
pytestmark = pytest.mark.usefixtures("option_names")

NET = """
input: "x" input_shape { dim: [1, 2, 3, 2] }
layer { name: "flat" type: "Flatten" bottom: "x" top: "y" }
layer { name: "fc" type: "InnerProduct" bottom: "y" top: "fc"
  inner_product_param { num_output: 2 transpose: true } }
layer { name: "relu" type: "ReLU" bottom: "fc" top: "fc" }
layer { name: "square" type: "InnerProduct" bottom: "fc" top: "out"
  inner_product_param { num_output: 1 bias_term: false } }
layer { name: "scale" type: "Scale" bottom: "out" top: "out" }
"""

WEIGHT = np.arange(24, dtype="<f4").reshape(12, 2)
XAVIER, CONSTANT = text_field(1, "xavier"), text_field(1, "constant")


def blob(shape: bytes, *values: float) -> bytes:
    return delimited(7, shape + delimited(5, floats(*values)))


def model_layer(name: str, kind: str, bottom: str, top: str, more: bytes = b"") -> bytes:
    texts = [text_field(n, text) for n, text in enumerate((name, kind, bottom, top), 1)]
    return delimited(100, b"".join(texts) + more)


#: The weight K x O with the ones before it that a file of 2014 has.
LEGACY = b"".join(varint_field(n, size) for n, size in enumerate((1, 1, 12, 2), 1))
FC = (
    blob(LEGACY, *WEIGHT.ravel())
    + blob(delimited(7, packed_varints(1, [2])), 50, 60)
    + delimited(
        117,
        varint_field(1, 2)
        + varint_field(2, 1)
        + delimited(3, XAVIER)
        + delimited(4, CONSTANT)
        + varint_field(5, 1)
        + varint_field(6, 1),
    )
)
SQUARE = blob(delimited(7, packed_varints(1, [1, 2])), 70, 80) + delimited(117, varint_field(1, 1))
MODEL = (
    model_layer("flat", "Flatten", "x", "y")
    + model_layer("fc", "InnerProduct", "y", "fc", FC)
    + model_layer("relu", "ReLU", "fc", "fc")
    + model_layer("square", "InnerProduct", "fc", "out", SQUARE)
    + model_layer("scale", "Scale", "out", "out")
    + model_layer("loss1", "InnerProduct", "fc", "z", blob(b"", 90))
)


def planned() -> ConvolutionPlan:
    return plan_convolution(NetDefinition.of(Prototxt.parse(NET)))


@pytest.fixture
def old(tmp_path: Path) -> Path:
    (tmp_path / "old.caffemodel").write_bytes(MODEL)
    return tmp_path / "old.caffemodel"


def test_a_caffemodel_says_what_its_net_does(old: Path, tmp_path: Path) -> None:
    with Caffemodel.open(old) as model, (tmp_path / "new").open("w+b") as out:
        write_segments(out.fileno(), rewrite(model, convolution_changes(planned(), model)))
    with Caffemodel.open(tmp_path / "new") as written:
        assert [
            (layer.name, layer.type, layer.bottoms, layer.tops) for layer in written.layers
        ] == [
            ("flat", "Flatten", ("x",), ("x",)),
            ("fc-conv", "Convolution", ("x",), ("fc-conv",)),
            ("relu", "ReLU", ("fc-conv",), ("fc-conv",)),
            ("square-conv", "Convolution", ("fc-conv",), ("out",)),
            ("scale", "Scale", ("out",), ("out",)),
            ("loss1", "InnerProduct", ("fc-conv",), ("z",)),
        ]
        weight, bias = written.layer("fc-conv").blobs
        assert weight.numpy().tobytes() == WEIGHT.T.tobytes()
        assert (weight.shape, bias.numpy().tolist()) == ((2, 2, 3, 2), [50, 60])
        (square,) = written.layer("square-conv").blobs
        assert square.numpy().tolist() == [[[[70]], [[80]]]]
        for name in ("fc-conv", "square-conv"):
            assert written.layer(name).param_bytes(117) == b""
        assert written.layer("fc-conv").param_bytes(106) == (
            varint_field(1, 2)
            + varint_field(2, 1)
            + delimited(7, XAVIER)
            + delimited(8, CONSTANT)
            + varint_field(11, 3)
            + varint_field(12, 2)
        )
        assert written.layer("square-conv").param_bytes(106) == varint_field(1, 1) + varint_field(
            4, 1
        )


@pytest.mark.parametrize("name", ["new.caffemodel", "new.h5"])
def test_a_new_file_has_the_layers_of_the_new_net_and_what_else_there_was(
    old: Path, tmp_path: Path, name: str
) -> None:
    """But "scale", of whose params the model has none, is left to its fillers."""
    plan, again = planned(), tmp_path / "again.h5"
    with NetWithWeights(plan.net, old) as model, Outputs([again]) as outputs:
        write_model(outputs[again], model, ModelChange(plan.net))
    with NetWithWeights(plan.net, again) as model, Outputs([tmp_path / name]) as outputs:
        changes = convolution_changes(plan, model.weights)
        write_model(outputs[tmp_path / name], model, ModelChange(plan.new, changes))
    with open_weights(tmp_path / name) as written:
        params = {layer.name: [b.numpy().tolist() for b in layer.blobs] for layer in written.layers}
    assert {key: value for key, value in params.items() if value} == {
        "fc-conv": [WEIGHT.T.reshape(2, 2, 3, 2).tolist(), [50, 60]],
        "square-conv": [[[[[70]], [[80]]]]],
        "loss1": [90],
    }
    assert "scale" not in params


#: What MODEL lacks.
SCALE = model_layer("scale", "Scale", "out", "out", blob(b"", 1))


def test_what_the_model_has_and_what_the_net_has(old: Path) -> None:
    old.write_bytes(MODEL + SCALE)
    plan = planned()
    with NetWithWeights(plan.net, old) as model:
        match = match_weights(plan, model)
    assert (match.missing, match.extra) == ((), ("loss1",))


@pytest.mark.parametrize("filler", ["", 'scale_param { filler { type: "constant" value: 3 } }'])
def test_a_layer_without_params_is_refused(old: Path, filler: str) -> None:
    """Whatever fills it: the weights are not all of the net."""
    text = NET.replace('bottom: "out" top: "out" }', f'bottom: "out" top: "out" {filler} }}')
    assert filler in text
    plan = plan_convolution(NetDefinition.of(Prototxt.parse(text)))
    with NetWithWeights(plan.net, old) as model, pytest.raises(NetError) as caught:
        match_weights(plan, model)
    assert str(caught.value) == (
        f"{old}: no params for layer 'scale' of {plan.net.prototxt.path}; "
        "netsurgery init --missing fills them on purpose"
    )


def test_a_layer_that_shares_all_of_its_params_needs_none(old: Path) -> None:
    """Of a layer whose first param is shared and whose second is not, the second is missing."""
    twin = 'layer { name: "twin" type: "Scale" bottom: "out" top: "out" param { name: "s" } }'
    text = NET.replace('name: "scale" ', 'name: "scale" param { name: "s" } ') + twin
    old.write_bytes(MODEL + SCALE)
    plan = plan_convolution(NetDefinition.of(Prototxt.parse(text)))
    with NetWithWeights(plan.net, old) as model:
        assert match_weights(plan, model).missing == ("twin",)
    bias = text.replace(
        'param { name: "s" } }', 'param { name: "s" } scale_param { bias_term: true } }'
    )
    plan = plan_convolution(NetDefinition.of(Prototxt.parse(bias)))
    with NetWithWeights(plan.net, old) as model, pytest.raises(NetError) as caught:
        match_weights(plan, model)
    assert str(caught.value) == (
        f"{old}: no params for layer 'twin' of {plan.net.prototxt.path}; "
        "netsurgery init --missing fills them on purpose"
    )


@pytest.mark.parametrize(
    ("more", "what"),
    [
        (
            model_layer("fc-conv", "Convolution", "a", "b", SQUARE),
            "layer 'fc-conv': the model has a layer of that name; try another --suffix",
        ),
        (
            model_layer("fc", "InnerProduct", "y", "fc", FC),
            "layer 'fc': the model has 2 layers of that name",
        ),
    ],
)
def test_names_that_do_not_say_which_layer_is_meant(old: Path, more: bytes, what: str) -> None:
    old.write_bytes(MODEL + SCALE + more)
    plan = planned()
    with NetWithWeights(plan.net, old) as model, pytest.raises(SurgeryError) as caught:
        match_weights(plan, model)
    assert str(caught.value) == f"{old}: {what}"
