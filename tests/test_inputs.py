"""A net whose inputs its own text declares: data layers replaced, shapes given written out."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

import netsurgery as ns
from netsurgery.cli import run
from netsurgery.formats.prototxt import Prototxt
from netsurgery.net.inputs import assume_input, declare_inputs, split_shapes
from netsurgery.net.net import NetDefinition, Shape
from netsurgery.net.shapes import infer
from netsurgery.net.state import NetState

#: Messages are compared as the command words them.
pytestmark = pytest.mark.usefixtures("option_names")

MEMORY = "memory_data_param { batch_size: 2 channels: 3 height: 6 width: 6 }"
CONV = (
    'layer { name: "c" type: "Convolution" bottom: "data" top: "c" '
    "convolution_param { num_output: 1 kernel_size: 3 } }\n"
)
INPUT = "input_param { shape { dim: 2 dim: 3 dim: 6 dim: 6 } }"
#: What is said of a MemoryData, but for its end.
SAID = "data layer 'd' (MemoryData) becomes an Input of 2x3x6x6"


def declared(text: str, **shapes: Shape) -> NetDefinition:
    state = NetState(shapes=tuple(shapes.items()))
    return declare_inputs(NetDefinition.of(Prototxt.parse(text, "n.prototxt"), state))


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        (
            f'layer {{ name: "d" type: "MemoryData" top: "data" {MEMORY} }}',
            f'layer {{ name: "d" type: "Input" top: "data" {INPUT} }}',
            SAID,
        ),
        (
            f'layer {{ name: "d" type: "MemoryData" top: "data" top: "label" {MEMORY} }}',
            f'layer {{ name: "d" type: "Input" top: "data" {INPUT} }}',
            f"{SAID}, without its 'label'",
        ),
        (
            f'layer {{ name: "d" type: "MemoryData" top: ["data", "label"] {MEMORY} }}',
            f'layer {{ name: "d" type: "Input" top: ["data"] {INPUT} }}',
            f"{SAID}, without its 'label'",
        ),
        (
            "# in\nlayer {\n  name: 'd'  # its name\n  type: 'MemoryData'\n  top: 'data'\n"
            "  top: 'label'  # unread\n  include { phase: TEST }\n  transform_param {\n"
            "    scale: 0.5\n    mean_value: 1\n    mean_value: 2\n  }\n"
            f"  # all of it\n  {MEMORY}\n}}",
            "# in\nlayer {\n  name: 'd'  # its name\n  type: 'Input'\n  top: 'data'\n"
            f"  include {{ phase: TEST }}\n  # all of it\n  {INPUT}\n}}",
            f"{SAID}, without its 'label'; what its transform_param did (scale, mean_value) is for "
            "whoever feeds it",
        ),
        (
            'layer { name: "d" type: "WindowData" top: "data" top: "l" window_data_param '
            "{ batch_size: 2 } transform_param { crop_size: 6 } }",
            f'layer {{ name: "d" type: "Input" top: "data" {INPUT} }}',
            "data layer 'd' (WindowData) becomes an Input of 2x3x6x6, without its 'l'; what its "
            "transform_param did (crop_size) is for whoever feeds it",
        ),
    ],
)
def test_an_input_in_the_place_of_a_data_layer(old: str, new: str, said: str) -> None:
    net = declared(old + CONV)
    assert net.prototxt.text == new + CONV
    assert net.prototxt.original == old + CONV
    assert net.notes == (said,)
    assert infer(net).blobs == {"data": (2, 3, 6, 6), "c": (2, 1, 4, 4)}
    assert [net_input.shape for net_input in net.inputs] == [(2, 3, 6, 6)]
    assert declare_inputs(net) is net


def test_a_layer_that_reads_labels_alone_goes_with_them() -> None:
    data = f'layer {{ name: "d" type: "MemoryData" top: "data" top: "label" {MEMORY} }}\n'
    silence = 'layer { name: "s" type: "Silence" bottom: "label" }\n'
    net = declared(data + silence + CONV)
    assert "Silence" not in net.prototxt.text
    assert net.notes[1] == "layer 's' (Silence) reads nothing else and is removed"


def test_readers_of_another_state_are_named() -> None:
    data = f'layer {{ name: "d" type: "MemoryData" top: "data" top: "label" {MEMORY} }}\n'
    loss = (
        'layer { name: "l" type: "SoftmaxWithLoss" bottom: "c" bottom: "label" top: "l" '
        "include { phase: TRAIN } }"
    )
    net = declared(data + CONV + loss)
    assert net.notes[1:] == ("layer 'l' in line 3, which another state includes, reads 'label'",)


@pytest.mark.parametrize(
    "reader",
    [
        'layer { name: "x" type: "SoftmaxWithLoss" bottom: "c" bottom: "label" top: "x" }',
        'layer { name: "x" type: "Silence" bottom: "c" bottom: "label" }',
    ],
)
def test_a_data_layer_whose_labels_are_read_stays(reader: str) -> None:
    text = f'layer {{ name: "d" type: "MemoryData" top: "data" top: "label" {MEMORY} }}{CONV}'
    net = declared(text + reader)
    assert net.prototxt.text == text + reader
    kind = reader.split('"')[3]
    assert net.notes == (f"data layer 'd' stays: layer 'x' ({kind}) reads its top 'label'",)


def test_a_data_layer_of_unknown_shape_stays_until_it_is_given() -> None:
    data = 'layer { name: "d" type: "Data" top: "data" top: "label" data_param { backend: LMDB } }'
    assert declared(data + CONV).prototxt.text == data + CONV
    net = declared(data + CONV, data=(1, 3, 8, 8))
    assert net.inputs[0].shape == (1, 3, 8, 8)
    assert net.state.shapes == ()


def test_every_top_of_hdf5_data_is_an_input() -> None:
    data = 'layer { name: "h" type: "HDF5Data" top: "data" top: "more" top: "idle" }'
    text = data + CONV + 'layer { name: "r" type: "ReLU" bottom: "more" top: "r" }'
    assert declared(text, data=(1, 3, 8, 8)).prototxt.text == text
    net = declared(text, data=(1, 3, 8, 8), more=(4, 5))
    assert {net_input.name: net_input.shape for net_input in net.inputs} == {
        "data": (1, 3, 8, 8),
        "more": (4, 5),
    }
    assert infer(net).blobs["r"] == (4, 5)


def test_a_source_of_an_unknown_type_is_an_input_once_its_shape_is_given() -> None:
    data = (
        'layer { name: "p" type: "Python" top: "data" top: "label" '
        'python_param { module: "m" } other_param { x: 1 } }'
    )
    net = declared(data + CONV, data=(2, 3, 6, 6))
    new = f'layer {{ name: "p" type: "Input" top: "data" {INPUT} }}'
    assert net.prototxt.text == new + CONV
    loss = 'layer { name: "l" type: "EuclideanLoss" bottom: "c" bottom: "label" top: "l" }'
    net = declared(data + CONV + loss, data=(2, 3, 6, 6))
    assert net.prototxt.text == data + CONV + loss
    assert net.notes == (
        "data layer 'p' stays: layer 'p' is of type Python, which Caffe 1.0 gives no fixed shape; "
        "--input-shape label=NxCxHxW gives it",
    )
    net = declared(data + CONV + loss, data=(2, 3, 6, 6), label=(2, 1, 4, 4))
    assert [net_input.name for net_input in net.inputs] == ["data", "label"]


def test_an_input_of_unknown_shape_is_assumed_to_be_the_one_of_another_net() -> None:
    known = NetDefinition.of(Prototxt.parse('input: "x" input_dim: [1, 3, 8, 8]', "one"))
    data = 'layer { name: "d" type: "Data" top: "data" top: "label" }' + CONV
    unknown = NetDefinition.of(Prototxt.parse(data, "other"))
    assumed = assume_input(unknown, known)
    assert infer(assumed).blobs["c"] == (1, 1, 6, 6)
    assert assumed.notes == (
        "the shape of 'data' is not known; it is taken to be 1x3x8x8, as of 'x' in one",
    )
    assert assume_input(known, unknown) is known
    two = NetDefinition.of(
        Prototxt.parse('input: ["x", "y"] input_dim: [1, 3, 8, 8, 1, 3, 8, 8]', "two")
    )
    assert assume_input(unknown, two) is unknown


def test_a_net_of_2014_is_upgraded_for_it() -> None:
    net = declared(
        f'layers {{ name: "d" type: MEMORY_DATA top: "data" top: "label" {MEMORY} }}'
        'layers { name: "r" type: RELU bottom: "data" top: "r" }'
    )
    assert net.prototxt.generation == "V2"
    assert net.inputs[0].shape == (2, 3, 6, 6)
    assert net.notes[0].endswith("which has no Input layer: it was upgraded")


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('input: "data" input_dim: [1, 3, 5, 5]', 'input: "data" input_dim: [2, 3, 6, 6]'),
        (
            'input: "data" input_shape { dim: 1 dim: 3 dim: 5 dim: 6 }',
            'input: "data" input_shape { dim: 2 dim: 3 dim: 6 dim: 6 }',
        ),
        (
            'input: "data"',
            'input: "data"\ninput_shape { dim: 2 dim: 3 dim: 6 dim: 6 }',
        ),
        (
            'layer { name: "d" type: "Input" top: "data" }',
            f'layer {{ name: "d" type: "Input" {INPUT} top: "data" }}',
        ),
        (
            'layer { name: "d" type: "Input" top: "data" input_param { } }',
            f'layer {{ name: "d" type: "Input" top: "data" {INPUT} }}',
        ),
    ],
)
def test_shapes_that_are_given_are_written(old: str, new: str) -> None:
    net = declared(f"{old}\n{CONV}", data=(2, 3, 6, 6))
    assert net.prototxt.text == f"{new}\n{CONV}"
    assert net.state.shapes == ()
    assert infer(net).blobs["c"] == (2, 1, 4, 4)


def test_a_shape_of_an_unknown_layers_top_stays_with_the_state() -> None:
    text = 'input: "x" input_dim: [1, 2, 3, 4] '
    text += 'layer { name: "m" type: "Mystery" bottom: "x" top: "data" }' + CONV
    net = declared(text, data=(2, 3, 6, 6))
    assert (net.prototxt.text, infer(net).blobs["c"]) == (text, (2, 1, 4, 4))


def test_one_shape_for_several_tops_is_written_if_it_is_theirs() -> None:
    two = 'layer { name: "d" type: "Input" top: ["a", "b"] input_param { shape { dim: 2 } } }'
    assert declared(two, a=(3,)).state.shapes == (("a", (3,)),)
    assert "dim: 3" in declared(two, a=(3,), b=(3,)).prototxt.text


def test_a_shape_goes_to_the_net_that_has_the_blob() -> None:
    state = NetState(shapes=(("a", (1,)), ("b", (2,)), ("none", (3,))))
    nets = [NetDefinition.of(Prototxt.parse(f'input: "{name}"'), state) for name in "ab"]
    first, second = split_shapes(nets[0], nets[1])
    assert first.state.shapes == (("a", (1,)), ("none", (3,)))
    assert second.state.shapes == (("b", (2,)),)


def _layout(seed: int) -> str:
    """A net that begins with a data layer, in one of the layouts that text format allows."""
    pick = random.Random(seed)
    own = {
        "MemoryData": ("memory_data_param", "batch_size: 2 channels: 3 height: 6 width: 6"),
        "ImageData": ("image_data_param", "batch_size: 2 new_height: 6\n new_width: 6"),
        "WindowData": ("window_data_param", "batch_size: 2 # two\n"),
        "Data": ("data_param", "backend: LMDB"),
    }

    def message(name: str, fields: str) -> str:
        opened, closed = pick.choice([("{", "}"), ("<", ">")])
        inside = f"{pick.choice([' ', chr(10)])}{fields}{pick.choice([' ', '  # end' + chr(10)])}"
        return f"{name}{pick.choice([' ', ': ', ''])}{opened}{inside}{closed}"

    kind = pick.choice(list(own))
    fields = ['name: "d"', f"type: '{kind}'", message(*own[kind])]
    fields.append(
        message("transform_param", "crop_size: 6" if kind == "WindowData" else "scale: 2")
    )
    fields += ["include { phase: TEST }"] if pick.random() < 0.3 else []
    pick.shuffle(fields)
    tops = ['top: "data"', 'top: "label"'] if pick.random() < 0.7 else ['top: ["data", "label"]']
    at = pick.randrange(len(fields) + 1)
    fields[at:at] = tops
    gaps = [" ", "\n  ", "\n", "  # why\n ", "\r\n "]
    layer = "".join(pick.choice(gaps) + field + pick.choice(["", "", ";", ","]) for field in fields)
    silence = 'layer { name: "s" type: "Silence" bottom: "label" }' * pick.randint(0, 1)
    return f"layer {{{layer}{pick.choice(gaps)}}}{pick.choice(gaps)}{silence}\n{CONV}"


@pytest.mark.parametrize("seed", range(200))
def test_every_layout_of_a_data_layer(seed: int) -> None:
    text = _layout(seed)
    net = declared(text, **({"data": (2, 3, 6, 6)} if "backend" in text else {}))
    assert [layer.type for layer in net.layers] == ["Input", "Convolution"]
    assert (net.layers[0].name, net.layers[0].tops) == ("d", ("data",))
    assert infer(net).blobs == {"data": (2, 3, 6, 6), "c": (2, 1, 4, 4)}
    assert "label" not in net.prototxt.text


FILLED = """
layer { name: "own" type: "DummyData" top: "data" dummy_data_param { shape { dim: [1, 1, 8, 8] } } }
layer { name: "fc" type: "InnerProduct" bottom: "data" top: "fc"
        inner_product_param { num_output: 2 } }
"""


def test_where_nothing_can_come_next_nothing_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """What fills its input by itself takes no picture, converted or not."""
    monkeypatch.chdir(tmp_path)
    Path("net").write_text(FILLED)
    ns.init("net", "model")
    assert run(["convert", "net", "model", "--engine", "embedded"]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == "wrote net_full_conv.prototxt"


def test_a_net_that_fills_its_input_itself_says_which_layer_does(tmp_path: Path) -> None:
    """To give a shape, which is known, would not help."""
    net, model = tmp_path / "net", tmp_path / "model"
    net.write_text(FILLED)
    ns.init(net, model)
    (tmp_path / "truth.json").write_text('{"classes": ["a"], "pictures": [{"file": "a.png"}]}')
    picture = tmp_path / "a.png"
    Image.new("L", (8, 8)).save(picture)
    annotated: dict[str, Any] = {"annotations": tmp_path / "truth.json", "images": tmp_path}
    calls: list[Callable[[], object]] = [
        lambda: ns.classify_map(picture, ns.Settings(net, model), engine="embedded"),
        lambda: ns.features(picture, "fc", ns.Settings(net, model), engine="embedded"),
        lambda: ns.verify((net, model), (net, model), engine="embedded"),
        lambda: ns.train_plan(net, model, tmp_path / "plan", input_size=(8, 8), **annotated),
        lambda: ns.dense(net, stride=1),
    ]
    for call in calls:
        with pytest.raises(ns.NetsurgeryError) as error:
            call()
        assert str(error.value).endswith(
            "; layer 'own' (DummyData) fills 'data' by itself: write an Input layer of its shape "
            "in its place"
        )
