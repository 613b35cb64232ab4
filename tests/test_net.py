"""A prototxt read as a net: inputs, layers, who makes and reads a blob."""

from __future__ import annotations

import pytest

from netsurgery.errors import NetsurgeryError, PrototxtError
from netsurgery.formats.prototxt import Prototxt
from netsurgery.net.net import NetDefinition
from netsurgery.net.state import NetState, Phase

CHAIN = """
layer { name: "data" type: "Input" top: "data" input_param { shape { dim: 1 dim: 3 } } }
layer { name: "fc" type: "InnerProduct" bottom: "data" top: "fc" }
layer { name: "relu" type: "ReLU" bottom: "fc" top: "fc" }
layer { name: "drop" type: "Dropout" bottom: "fc" top: "fc" }
layer { name: "out" type: "Softmax" bottom: "fc" top: "out" }
layer { name: "side" type: "Power" bottom: "data" top: "side" }
"""


def net(text: str, phase: Phase = "TEST") -> NetDefinition:
    return NetDefinition.of(Prototxt.parse(text, "n.prototxt"), NetState(phase))


@pytest.mark.parametrize(
    ("text", "inputs"),
    [
        ('input: "x" input_dim: 1 input_dim: 2 input_dim: 3 input_dim: 4', {"x": (1, 2, 3, 4)}),
        ('input: "x" input_shape { dim: [1, 2] }', {"x": (1, 2)}),
        (
            'input: "x" input: "y" input_shape { dim: 1 } input_shape { dim: 2 }',
            {"x": (1,), "y": (2,)},
        ),
        ('input: "x"', {"x": None}),
        (
            'input: ["x", "y"] input_dim: [1, 2, 3, 4, 5, 6, 7, 8]',
            {"x": (1, 2, 3, 4), "y": (5, 6, 7, 8)},
        ),
        (
            'layer { type: "Input" top: "x" top: "y" '
            "input_param { shape { dim: 7 } shape { dim: 8 } } }",
            {"x": (7,), "y": (8,)},
        ),
        (
            'layer { name: "i" type: "Input" top: "x" top: "y" input_param { shape { dim: 7 } } }',
            {"x": (7,), "y": (7,)},
        ),
    ],
)
def test_the_ways_to_write_an_input(text: str, inputs: dict[str, tuple[int, ...] | None]) -> None:
    assert {i.name: i.shape for i in net(text).inputs} == inputs


def test_who_makes_and_who_reads_a_blob_in_place() -> None:
    chain = net(CHAIN)
    fc, relu, drop, out = (chain.layer(name) for name in ("fc", "relu", "drop", "out"))
    assert chain.producer(out, "fc") is drop
    assert chain.producer(relu, "fc") is fc
    assert chain.readers(fc, "fc") == (relu,)
    assert chain.readers(drop, "fc") == (out,)
    assert relu.in_place
    assert not fc.in_place


def test_outputs_come_in_file_order() -> None:
    assert net(CHAIN).outputs == ("out", "side")


@pytest.mark.parametrize(
    ("kind", "name"),
    [("INNER_PRODUCT", "InnerProduct"), ("14", "InnerProduct"), ("LRN", "LRN"), ("MINE", "MINE")],
)
def test_v1_types_bear_the_names_of_today(kind: str, name: str) -> None:
    definition = net(f'input: "x" layers {{ type: {kind} bottom: "x" top: "y" }}')
    assert definition.layers[0].type == name


@pytest.mark.parametrize(
    ("rules", "trains", "tests"),
    [
        ("", True, True),
        ("include { phase: TRAIN }", True, False),
        ("include { phase: TEST }", False, True),
        ("exclude { phase: TRAIN }", False, True),
        ("include { phase: TRAIN } include { phase: TEST }", True, True),
        ("include { stage: 'deploy' }", False, False),
        ("include { min_level: 1 }", False, False),
    ],
)
def test_phase_rules(rules: str, trains: bool, tests: bool) -> None:
    text = f'input: "x" layer {{ name: "r" type: "ReLU" bottom: "x" top: "y" {rules} }}'
    text += ' layer { name: "s" type: "ReLU" bottom: "x" top: "z" }'
    assert (len(net(text, "TRAIN").layers) == 2) is trains
    assert (len(net(text, "TEST").layers) == 2) is tests


@pytest.mark.parametrize(
    ("text", "what"),
    [
        (
            'layer { name: "r" type: "ReLU" bottom: "x" top: "y" }',
            "n.prototxt:1:7: layer 'r' (ReLU): its bottom 'x' is made by no layer before it",
        ),
        (
            CHAIN + 'layer { name: "z" type: "ReLU" bottom: "data" top: "out" }',
            "n.prototxt:8:7: layer 'z' (ReLU): its top 'out' is made by a layer before it too",
        ),
        (
            'input: "x" input_dim: 1',
            "n.prototxt:1:23: 1 input_dim for 1 input; each takes four",
        ),
        (
            'input: "x" input_shape { } input_shape { }',
            "n.prototxt:1:24: 2 input_shape for 1 input",
        ),
        (
            'input: "x" input_shape { } input_dim: 1',
            "n.prototxt:1:24: input_shape and input_dim are both given; Caffe takes one of them",
        ),
        (
            'input: "x" input_shape { dim: -1 }',
            "n.prototxt:1:31: found -1, expected a number from 0 to 2147483647",
        ),
        (
            'layers { layer { name: "r" type: "relu" } }',
            "n.prototxt:1:8: found a layer of Caffe's first generation (2013), expected "
            'layer { type: "..." }; `netsurgery upgrade` brings the file up to date',
        ),
    ],
)
def test_nets_that_contradict_themselves(text: str, what: str) -> None:
    with pytest.raises(NetsurgeryError) as caught:
        net(text)
    assert str(caught.value) == what


def test_a_layer_that_is_not_there_or_there_twice() -> None:
    with pytest.raises(NetsurgeryError, match="no layer named 'none'"):
        net(CHAIN).layer("none")
    twice = CHAIN + 'layer { name: "side" type: "Power" bottom: "data" top: "side2" }'
    with pytest.raises(NetsurgeryError, match="2 layers named 'side'"):
        net(twice).layer("side")


def test_layers_without_a_name_are_not_of_one_name() -> None:
    relu = 'layer { type: "ReLU" bottom: "fc" top: "fc" }\n'
    assert net(CHAIN + relu * 2).notes == ()
    (note,) = net(CHAIN + relu.replace("type", "name: 'r' type", 1) * 2).notes
    assert note.startswith("the layers in lines 8, 9 are all named 'r'")


def test_a_layer_without_a_type() -> None:
    text = 'input: "data"\nlayer { name: "x" typ: "Foo" bottom: "data" top: "x" }\n'
    with pytest.raises(PrototxtError) as caught:
        NetDefinition.of(Prototxt.parse(text))
    assert caught.value.what == "layer 'x' has no type"
    assert (caught.value.line, caught.value.column) == (2, 7)


def test_what_a_net_is_made_of_prints_short() -> None:
    """Whatever is behind: the text and the messages are not repeated."""
    definition = net(
        'input: "x" input_dim: [1, 2, 3, 4] layer { name: "r" type: "ReLU" bottom: "x" top: "y" '
        "relu_param { negative_slope: 0.5 } }" + "# far behind\n" * 999
    )
    (layer,) = definition.layers
    assert repr(layer) == ("Layer(index=0, name='r', type='ReLU', bottoms=('x',), tops=('y',))")
    message = layer.message
    parts = [
        definition,
        definition.prototxt,
        definition.inputs[0],
        message,
        message.source,
        *message.fields,
    ]
    assert max(len(repr(part)) for part in parts) < 300


@pytest.mark.parametrize(
    "maker",
    [
        'layer { name: "in" type: "Input" top: "x" input_param { shape { dim: 2 dim: 3 } } }',
        'layer { name: "in" type: "DummyData" top: "x" dummy_data_param { shape { dim: 7 } } }',
        'layers { name: "in" type: DATA top: "x" }',
    ],
)
def test_an_input_without_dims_is_left_out_where_a_layer_makes_it(maker: str) -> None:
    definition = net(f'input: "x" {maker}')
    shapes = {net_input.name: net_input.shape for net_input in definition.inputs}
    assert shapes == ({"x": (2, 3)} if "Input" in maker else {})
    assert definition.notes == (
        "input 'x' has no dims and is left out, as by Caffe: layer 'in' makes it",
    )


def test_an_input_with_dims_that_a_layer_makes_too_is_refused() -> None:
    """As by Caffe: "Top blob 'x' produced by multiple sources"."""
    with pytest.raises(PrototxtError, match="its top 'x' is made by a layer before it too"):
        net(
            'input: "x" input_shape { dim: 2 } '
            'layer { name: "in" type: "Input" top: "x" input_param { shape { dim: 2 } } }'
        )


def test_an_input_layer_need_not_have_a_shape() -> None:
    (net_input,) = net('layer { name: "in" type: "Input" top: "x" }').inputs
    assert (net_input.name, net_input.shape) == ("x", None)


def test_the_last_writer_of_a_blob() -> None:
    chain = net(CHAIN)
    assert chain.last_writer("fc") is chain.layer("drop")
    assert chain.last_writer("nothing") is None


def test_readers_behind_a_layer_that_does_not_write_the_blob() -> None:
    chain = net(CHAIN)
    data, fc, side = (chain.layer(name) for name in ("data", "fc", "side"))
    assert chain.readers(data, "data") == (fc, side)
    assert chain.readers(fc, "data") == (side,)
    assert chain.readers(side, "data") == chain.readers(side, "nothing") == ()


def test_layers_of_one_name() -> None:
    twice = net(CHAIN.replace('"side" type', '"out" type'))
    assert [layer.type for layer in twice.named("out")] == ["Softmax", "Power"]
    assert twice.named("side") == ()
