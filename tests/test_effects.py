"""What layers do outside their net: known by type and text, and never given to Caffe unasked."""

from __future__ import annotations

from pathlib import Path

import pytest
from google.protobuf.descriptor import FieldDescriptor

from netsurgery.cli import run
from netsurgery.engines.contract import EngineOptions
from netsurgery.errors import EffectRefused, EngineError
from netsurgery.formats.prototxt import Prototxt
from netsurgery.formats.schema.descriptors import descriptor, schema_keys
from netsurgery.net import types
from netsurgery.net.effect import Effect
from netsurgery.net.effects import effects_of, harmless, permitted
from netsurgery.net.net import NetDefinition
from netsurgery.net.state import NetState
from netsurgery.net.types.naming import HARMLESS, NAMING

#: Messages are compared as the command words them.
pytestmark = pytest.mark.usefixtures("option_names")

ANYTHING = ("reads", "writes", "python")
IN = 'layer { name: "in" type: "Input" top: "x" input_param { shape { dim: [1, 3, 8, 8] } } }\n'


def net_of(text: str, state: NetState | None = None) -> NetDefinition:
    return NetDefinition.of(Prototxt.parse(text, "net.prototxt"), state or NetState(), wired=False)


def said(text: str) -> list[tuple[str, tuple[str, ...], tuple[str, ...]]]:
    """Of every layer that reaches out: its name, what it does, and what it names."""
    return [
        (each.layer.name, tuple(effect.value for effect in each.effects), each.names)
        for each in effects_of(net_of(text))
    ]


def test_every_field_of_a_string_is_known_to_name_a_file_or_not_to() -> None:
    """Of Caffe and all forks whose schemas are here: a new one has to be decided on."""
    names, seen, left = set(), set(), [descriptor("NetParameter", key) for key in schema_keys()]
    while left:
        message = left.pop()
        if message is None or (message.file.package, message.full_name) in seen:
            continue
        seen.add((message.file.package, message.full_name))
        strings = (FieldDescriptor.TYPE_STRING, FieldDescriptor.TYPE_BYTES)
        names |= {field.name for field in message.fields if field.type in strings}
        left += [field.message_type for field in message.fields if field.message_type]
    assert len(names) > 70
    assert names - set(NAMING) - HARMLESS == set()
    assert not HARMLESS & set(NAMING)


#: What stands in a layer -> what it does, and the names in it.
LAYERS = {
    'type: "HDF5Output" hdf5_output_param { file_name: "v.h5" }': (["writes"], ["v.h5"]),
    'type: "HDF5Output"': (["writes"], []),
    'type: "Data" data_param { source: "db" backend: LMDB }': (["reads", "writes"], ["db"]),
    'type: "AnnotatedData" data_param { source: "db" }': (["reads", "writes"], []),
    'type: "ImageData" image_data_param { source: "l" root_folder: "/" }': (["reads"], ["l", "/"]),
    'type: "WindowData" window_data_param { source: "w" }': (["reads"], ["w"]),
    'type: "HDF5Data" hdf5_data_param { source: "h" }': (["reads"], ["h"]),
    'type: "MemoryData" transform_param { mean_file: "m" }': (["reads"], ["m"]),
    'type: "InfogainLoss" infogain_loss_param { source: "i" }': (["reads"], ["i"]),
    'type: "Python" python_param { module: "os" layer: "L" }': (["python"], ["os"]),
    'type: "DetectionOutput" detection_output_param {'
    ' save_output_param { output_directory: "d" } }': (["writes"], ["d"]),
    'type: "DetectionOutput" detection_output_param { save_file: "f" }': (["writes"], ["f"]),
    'type: "RegionLoss" region_loss_param { class_map: "c" }': (["reads"], ["c"]),
    'type: "YoloDetectionOutput" yolo_detection_output_param { label_map_file: "y" }': (
        ["reads"],
        ["y"],
    ),
    'type: "SoftmaxWithLoss" softmax_loss_param { weight_source: "w" }': (["reads"], ["w"]),
    'type: "ReLU" relu_param { from: "where" }': ([*ANYTHING], ["where"]),
    'type: "ReLU" of_a_fork: "where"': ([*ANYTHING], ["where"]),
    'type: "OfAFork"': ([*ANYTHING], []),
    'type: "OfAFork" writer_param { file: "f" }': ([*ANYTHING], ["f"]),
    'type: "Data\\x00" data_param { source: "db" }': ([*ANYTHING], ["db"]),
    'type: "\\110DF5Out" "put"': (["writes"], []),
}


@pytest.mark.parametrize("text", LAYERS)
def test_what_a_layer_does(text: str) -> None:
    effects, names = LAYERS[text]
    assert said(f'layer {{ name: "l" {text} }}') == [("l", tuple(effects), tuple(names))]


@pytest.mark.parametrize(
    "text",
    [
        'type: "ReLU" relu_param { engine: CAFFE }',
        'type: "Convolution" convolution_param { weight_filler { type: "xavier" } }',
        'type: "MemoryData" memory_data_param { batch_size: 1 }',
        'type: "InfogainLoss"',
        'type: "InfogainLoss" infogain_loss_param { source: "" }',
        'type: "DetectionOutput" detection_output_param { num_classes: 2 }',
        # What was left of another type; this one does not read it.
        'type: "Input" data_param { source: "db" } python_param { module: "os" }',
        'type: "ReLU" param { name: "w" } include { stage: "s" } bottom: "x" top: "x"',
    ],
)
def test_a_layer_that_does_nothing(text: str) -> None:
    assert said(f'layer {{ name: "l" {text} }}') == []


@pytest.mark.parametrize(
    ("word", "does"),
    [
        ("HDF5_OUTPUT", ["writes"]),
        ("10", ["writes"]),
        ("012", ["writes"]),  # octal, as protobuf reads it
        ("0xA", ["writes"]),
        ("DATA", ["reads", "writes"]),
        ("IMAGE_DATA", ["reads"]),
        ("014", ["reads"]),
        ("WINDOW_DATA", ["reads"]),
        ("HDF5_DATA", ["reads"]),
        ("011", ["reads"]),
        ("INNER_PRODUCT", []),
        ("14", []),
        ("OF_A_FORK", [*ANYTHING]),
        ("99", [*ANYTHING]),
        ("-1", [*ANYTHING]),
    ],
)
def test_types_of_2014(word: str, does: list[str]) -> None:
    effects = said(f'layers {{ name: "l" type: {word} }}')
    assert [each for _, each, _ in effects] == ([tuple(does)] if does else [])


@pytest.mark.parametrize(
    ("word", "does"),
    [
        ("hdf5_output", ["writes"]),
        ("data", ["reads", "writes"]),
        ("images", ["reads"]),
        ("window_data", ["reads"]),
        ("hdf5_data", ["reads"]),
    ],
)
def test_types_of_2013(word: str, does: list[str], tmp_path: Path) -> None:
    path = tmp_path / "net.prototxt"
    source = 'hdf5_output_param { file_name: "f" }' if "output" in word else 'source: "f"'
    ends = "" if "output" in word else 'top: "a" top: "b"'
    path.write_text(
        'input: "a" input_dim: [1, 1, 1, 1] input: "b" input_dim: [1, 1, 1, 1]'
        f' layers {{ layer {{ name: "l" type: "{word}" {source} }} {ends}'
        ' bottom: "a" bottom: "b" }'
        if "output" in word
        else f'layers {{ layer {{ name: "l" type: "{word}" {source} batchsize: 1 }} {ends} }}'
    )
    (single_effect,) = effects_of(NetDefinition.read(path))
    assert [effect.value for effect in single_effect.effects] == does
    assert single_effect.names == ("f",)


OUT = 'layer { name: "out" type: "HDF5Output" hdf5_output_param { file_name: "v.h5" } }\n'
CODE = 'layer { name: "code" type: "Python" python_param { module: "os" } }\n'


def refusal(text: str, *allow: str, listed: tuple[str, ...] = ()) -> str:
    with pytest.raises(EffectRefused) as caught:
        permitted(net_of(text), allow, listed)
    return str(caught.value)


def test_the_refusal_names_layer_type_file_and_option() -> None:
    assert refusal(IN + OUT) == (
        "net.prototxt:2:7: layer 'out' (HDF5Output) writes files ('v.h5'): real Caffe runs such a "
        "net only with --allow writes"
    )
    assert refusal(IN + OUT + CODE) == (
        "net.prototxt:2:7: layer 'out' (HDF5Output) writes files ('v.h5'), one of 2 layers that "
        "reach out of the net: real Caffe runs such a net only with --allow writes,python"
    )
    assert refusal(IN + OUT + CODE, "writes") == (
        "net.prototxt:3:7: layer 'code' (Python) imports code ('os'): real Caffe runs such a net "
        "only with --allow writes,python"
    )
    assert "\n" not in refusal(CODE.replace('"os"', '"a\\n\\033[31m' + "b" * 500 + '"'))
    assert len(refusal(CODE.replace('"os"', f'"{"b" * 500}"'))) < 250


def test_what_is_allowed_is_given() -> None:
    text = IN + OUT + CODE
    assert permitted(net_of(text), ("writes", "python"), ()).text == text


def test_layers_of_another_state_are_not_given_at_all() -> None:
    """Whether a Caffe includes them is its own to say: an old one takes the text's level."""
    rules = ("exclude { phase: TEST }", 'include { stage: "s" }', "include { min_level: 1 }")
    for rule in rules:
        text = IN + OUT.replace("type:", f"{rule} type:") + 'layer { name: "r" type: "ReLU" }\n'
        text_given = permitted(net_of(text), (), ()).text
        assert (
            text_given
            == IN + " " * (len(text.splitlines()[1])) + "\n" + text.splitlines()[2] + "\n"
        )
        with pytest.raises(EffectRefused):
            permitted(net_of(text, NetState("TRAIN", 1, ("s",))), (), ())


def test_a_type_that_caffe_does_not_have_is_for_caffe_to_refuse() -> None:
    """But where it does not list its types, or the type is a number, it may have it."""
    text = 'layer { name: "l" type: "OfAFork" }'
    assert permitted(net_of(text), (), ("ReLU", "Python")).text == text
    message = "layer 'l' (OfAFork) is not known, and may read, write and import: real Caffe"
    for listed in ((), ("ReLU", "OfAFork")):
        assert message in refusal(text, listed=listed)
    assert refusal("layers { type: 77 }", listed=("ReLU",))


def test_the_view_is_not_what_is_asked() -> None:
    """A net whose layers are fewer than its text's does not hide them."""
    from dataclasses import replace

    net = net_of(IN + OUT)
    with pytest.raises(EffectRefused):
        permitted(replace(net, layers=net.layers[:1]), (), ())


def test_a_net_without_what_is_not_allowed() -> None:
    data = (
        'layer { name: "d" type: "ImageData" top: "x" top: "label" image_data_param '
        '{ source: "l" new_height: 8 new_width: 8 } }\n'
        'layer { name: "r" type: "ReLU" bottom: "x" top: "y" }\n'
        'layer { name: "loss" type: "SoftmaxWithLoss" bottom: "y" bottom: "label" top: "loss" }\n'
    )
    net = net_of(data)
    cut = harmless(net, ["y"], ())
    assert [(layer.name, layer.type) for layer in cut.layers] == [("d", "Input"), ("r", "ReLU")]
    assert cut.inputs[0].shape == (1, 3, 8, 8)
    assert harmless(net, ["y"], ("reads",)) is net
    assert effects_of(harmless(net, ["loss"], ())) != []
    plain = net_of(IN)
    assert harmless(plain, [], ()) is plain


def test_words_that_allow() -> None:
    assert EngineOptions(allow=frozenset({"reads", "python"})).allow == {"reads", "python"}
    with pytest.raises(EngineError, match="allow has 'all', expected any of reads, writes, python"):
        EngineOptions(allow=frozenset({"all"}))
    with pytest.raises(EngineError, match="allow is 'python', expected a set"):
        EngineOptions(allow="python")  # type: ignore[arg-type]
    assert {effect.value for effect in Effect} == {"reads", "writes", "python"}


@pytest.mark.parametrize("word", ["all", "reads,", "", "reads writes"])
def test_words_that_do_not(word: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["convert", "a", "b", "--allow", word]) == 2
    assert "expected any of reads, writes, python" in capsys.readouterr().err


def test_every_record_whose_message_names_files_says_so() -> None:
    """So does every one whose numbers come from data."""
    for record in types.RECORDS.values():
        fields, seen = [], set()
        for key in schema_keys():
            layer = descriptor("LayerParameter", key)
            fields += (
                [each for each in layer.fields if each.name == record.message] if layer else []
            )
        left = [field.message_type for field in fields]
        while left:
            message = left.pop()
            if message is not None and (message.file.package, message.full_name) not in seen:
                seen.add((message.file.package, message.full_name))
                fields += message.fields
                left += [field.message_type for field in message.fields]
        if record.source.value == "data" or any(field.name in NAMING for field in fields):
            assert record.effects, record.name
