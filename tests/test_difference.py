"""Nets compared: what counts as a difference, what does not, and which layer is which."""

from __future__ import annotations

from pathlib import Path

import pytest
from caffe_schema import net_parameter
from google.protobuf import text_format
from others_data import bound

from netsurgery.formats.prototxt import Prototxt
from netsurgery.net.net import NetDefinition
from netsurgery.surgery.convolution.plan import plan_convolution
from netsurgery.surgery.difference.compare import NetDifference, compare_nets
from netsurgery.surgery.difference.fields import FieldChange

CORPUS = sorted((Path(__file__).resolve().parent.parent / "prototxt").glob("*.prototxt"))

NET = """
name: "n"
input: "data" input_shape { dim: [1, 3, 8, 8] }
layer { name: "conv1" type: "Convolution" bottom: "data" top: "conv1"
        convolution_param { num_output: 4 kernel_size: 1 weight_filler { type: "xavier" } } }
layer { name: "relu1" type: "ReLU" bottom: "conv1" top: "conv1" }
layer { name: "pool1" type: "Pooling" bottom: "conv1" top: "pool1"
        pooling_param { pool: MAX kernel_size: 2 stride: 2 } }
layer { name: "fc" type: "InnerProduct" bottom: "pool1" top: "fc"
        inner_product_param { num_output: 2 } }
layer { name: "prob" type: "Softmax" bottom: "fc" top: "prob" }
"""


def compare(old: str, new: str) -> NetDifference:
    return compare_nets(Prototxt.parse(old, "a"), Prototxt.parse(new, "b"))


def changed(old: str, new: str) -> list[tuple[str, tuple[FieldChange, ...]]]:
    """Only layers of equal names may differ, and only in their fields."""
    difference = compare(old, new)
    assert not difference.added
    assert not difference.removed
    assert not difference.blobs
    assert not difference.fields
    assert all(layer.name == layer.new_name and not layer.moved for layer in difference.layers)
    return [(layer.name, layer.changes) for layer in difference.layers]


def in_layer(fields: str) -> str:
    return f'layer {{ name: "l" type: "T" {fields} }}'


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("a: 1  b: 2", "b: 2 # two\n a: 1"),
        ("p { x: 1 y: 2 }", "p: < y: 2, x: 1; >"),
        ("d: 1 d: 2", "d: [1, 2]"),
        ("k: 3", "k: [3]"),
        ('s: "one two"', "s: 'one' \" two\""),
        ("f: 0.5", "f: 5e-1"),
        ("f: 1", "f: 1.0"),
        ("f: 0.1", "f: 0.100000001"),
        ("f: -0.25f", "f: - 2.5e-1"),
        ("n: 0x10", "n: 16"),
        ("b: true", "b: 1"),
        ("b: False", "b: false"),
        ("b: f", "b: false"),
        ("b: t", "b: True"),
        ("pooling_param { pool: AVE }", "pooling_param { pool: 1 }"),
        ("include { phase: TRAIN }", "include { phase: 0 }"),
        ("convolution_param { engine: CAFFE }", "convolution_param { engine: 1 }"),
    ],
)
def test_spelling_is_no_difference(old: str, new: str) -> None:
    assert changed(in_layer(old), in_layer(new)) == []
    assert changed(in_layer(new), in_layer(old)) == []


@pytest.mark.parametrize(
    ("old", "new", "changes"),
    [
        (
            "convolution_param { kernel_size: 1 pad: 2 }",
            "convolution_param { kernel_size: 3 pad: 2 }",
            [FieldChange("convolution_param.kernel_size", "1", "3")],
        ),
        ("d: [1, 2]", "d: [2, 1]", [FieldChange("d", "[1, 2]", "[2, 1]")]),
        ("d: [1, 2]", "d: 1", [FieldChange("d", "[1, 2]", "1")]),
        ("", "stride: 1", [FieldChange("stride", None, "1")]),
        ("f: 0.1", "f: 0.2", [FieldChange("f", "0.1", "0.2")]),
        ('s: "a"', "s: a", [FieldChange("s", '"a"', "a")]),
        (
            "param { lr_mult: 1 } param { lr_mult: 2 }",
            "param { lr_mult: 1 } param { lr_mult: 3 }",
            [FieldChange("param[1].lr_mult", "2", "3")],
        ),
        (
            "param { lr_mult: 1 }",
            "param { lr_mult: 1 } param { lr_mult: 3 }",
            [FieldChange("param[1]", None, "{ lr_mult: 3 }")],
        ),
        (
            'weight_filler { type: "gaussian" std: 0.1 }',
            "",
            [FieldChange("weight_filler", '{ type: "gaussian" std: 0.1 }', None)],
        ),
        ("n: 16777217", "n: 16777216", [FieldChange("n", "16777217", "16777216")]),
    ],
)
def test_fields_are_reported_one_by_one(old: str, new: str, changes: list[FieldChange]) -> None:
    assert changed(in_layer(old), in_layer(new)) == [("l", tuple(changes))]


def test_types_bottoms_and_tops_are_fields_too() -> None:
    new = NET.replace('"Softmax"', '"Sigmoid"').replace('bottom: "fc"', 'bottom: "pool1"')
    new = new.replace('top: "prob"', 'top: "prob" top: "more"')
    changes = (
        FieldChange("type", "Softmax", "Sigmoid"),
        FieldChange("bottom", "fc", "pool1"),
        FieldChange("top", "prob", "prob, more"),
    )
    assert changed(NET, new) == [("prob", changes)]


def test_fields_of_the_net_itself() -> None:
    difference = compare(NET, NET.replace('name: "n"', 'name: "m" force_backward: true'))
    assert difference.fields == (
        FieldChange("name", '"n"', '"m"'),
        FieldChange("force_backward", None, "true"),
    )
    assert not difference.layers


def test_the_declared_input_is_the_input_layer_that_caffe_makes_of_it() -> None:
    declared = 'input: "data" input_shape { dim: [1, 3, 8, 8] }'
    old = NET.replace(declared, 'input: "data" input_dim: 1 input_dim: 3 input_dim: [8, 8]')
    layer = 'layer { name: "x" type: "Input" top: "data" input_param { shape { dim: [1,3,8,%d] }}}'
    assert compare(NET, old).same
    for text in (NET, old):
        assert compare(text, NET.replace(declared, layer % 8)).same
        assert compare(NET.replace(declared, layer % 8), text).same
    change = FieldChange("input_param.shape.dim", "[1, 3, 8, 8]", "[1, 3, 8, 9]")
    assert changed(NET, NET.replace(declared, layer % 9)) == [("x", (change,))]


V1 = """
layers { name: "c" type: CONVOLUTION bottom: "x" top: "c" blobs_lr: 1 blobs_lr: 2
         weight_decay: 1 weight_decay: 0 param: "w" param: ""
         convolution_param { num_output: 1 kernel_size: 1 } }
layers { name: "e" type: 15 bottom: "c" top: "e" include { phase: TEST } }
"""

V2 = """
layer { name: "c" type: "Convolution" bottom: "x" top: "c"
        param { name: "w" lr_mult: 1 decay_mult: 1 } param { lr_mult: 2 decay_mult: 0 }
        convolution_param { num_output: 1 kernel_size: 1 } }
layer { name: "e" type: "LRN" bottom: "c" top: "e" include { phase: TEST } }
"""


def test_generations_are_compared_by_todays_words() -> None:
    assert compare(V1, V2).same
    assert compare(V2, V1).same
    change = FieldChange("param[1].lr_mult", "2", "5")
    assert changed(V1, V2.replace("lr_mult: 2", "lr_mult: 5")) == [("c", (change,))]


def test_added_and_removed() -> None:
    layer = 'layer { name: "drop" type: "Dropout" bottom: "fc" top: "fc" }\n'
    difference = compare(NET, NET.replace('layer { name: "prob"', layer + 'layer { name: "prob"'))
    assert [(each.name, each.type) for each in difference.added] == [("drop", "Dropout")]
    assert not difference.removed
    assert not difference.layers
    assert not difference.blobs
    assert not difference.same
    difference = compare(NET + layer, NET)
    assert [(each.name, each.type) for each in difference.removed] == [("drop", "Dropout")]
    assert not difference.added
    assert not difference.layers


def renames(difference: NetDifference) -> dict[str, str]:
    return {layer.name: layer.new_name for layer in difference.layers if layer.renamed}


def test_a_renamed_layer_and_all_behind_it() -> None:
    difference = compare(NET, NET.replace("conv1", "first").replace("pool1", "second"))
    assert renames(difference) == {"conv1": "first", "pool1": "second"}
    assert difference.blobs == {"conv1": "first", "pool1": "second"}
    assert not any(layer.changes for layer in difference.layers)
    assert not difference.added
    assert not difference.removed


def test_a_blob_renamed_alone_is_a_difference() -> None:
    new = NET.replace('top: "fc"', 'top: "scores"').replace('bottom: "fc"', 'bottom: "scores"')
    difference = compare(NET, new)
    assert difference.blobs == {"fc": "scores"}
    assert not difference.layers
    assert not difference.same


def test_a_blob_renamed_in_one_place_only_is_a_changed_top() -> None:
    assert changed(NET, NET.replace('top: "fc"', 'top: "scores"')) == [
        ("fc", (FieldChange("top", "fc", "scores"),))
    ]
    in_place = NET.replace('bottom: "conv1" top: "conv1"', 'bottom: "conv1" top: "relu1"')
    assert changed(NET, in_place) == [("relu1", (FieldChange("top", "conv1", "relu1"),))]


def test_matching_sees_through_a_flatten_that_came_or_went() -> None:
    layer = 'layer { name: "f" type: "Flatten" bottom: "pool1" top: "f" }\nlayer { name: "fc"'
    flat = NET.replace('layer { name: "fc"', layer).replace(
        'bottom: "pool1" top: "fc"', 'bottom: "f" top: "fc"'
    )
    bare = NET.replace('"fc"', '"classes"')
    difference = compare(flat, bare)
    assert renames(difference) == {"fc": "classes"}
    assert [each.name for each in difference.removed] == ["f"]
    difference = compare(bare, flat)
    assert renames(difference) == {"classes": "fc"}
    assert [each.name for each in difference.added] == ["f"]


def test_of_several_candidates_the_most_alike_is_taken() -> None:
    layer = 'layer {{ name: "{}" type: "Power" bottom: "x" top: "{}" power_param {{ shift: {} }} }}'
    old = layer.format("a", "a", 1) + layer.format("b", "b", 2)
    new = layer.format("c", "c", 2) + layer.format("d", "d", 1)
    difference = compare(old, new)
    assert renames(difference) == {"a": "d", "b": "c"}
    assert not any(each.changes for each in difference.layers)
    assert [each.moved for each in difference.layers] == [True, False]


def test_a_layer_alone_of_its_type_between_others_is_matched_by_place() -> None:
    old = NET.replace('bottom: "pool1"', 'bottom: "conv1"')
    new = NET.replace('"fc"', '"classes"').replace("num_output: 2", "num_output: 9")
    difference = compare(old, new)
    assert renames(difference) == {"fc": "classes"}
    changes = {layer.name: layer.changes for layer in difference.layers}
    assert changes["fc"] == (
        FieldChange("bottom", "conv1", "pool1"),
        FieldChange("inner_product_param.num_output", "2", "9"),
    )


def test_params_show_which_layer_is_which() -> None:
    layer = 'layer {{ name: "{}" type: "{}" bottom: "{}" top: "{}" }}'
    old = layer.format("a", "Old", "x", "a") + layer.format("b", "Old", "x", "b")
    new = layer.format("c", "New", "x", "c") + layer.format("d", "New", "x", "d")
    nets = Prototxt.parse(old), Prototxt.parse(new)
    assert [each.name for each in compare_nets(*nets).removed] == ["a", "b"]
    counts = {"a": (6, 2), "b": (7,)}, {"c": (7,), "d": (6, 2)}
    assert compare_nets(*nets, counts).matched == (("a", "d"), ("b", "c"))
    counts = {"a": (6,), "b": (6,)}, {"c": (6,), "d": (6,)}
    assert compare_nets(*nets, counts).matched == ()


def test_layers_of_one_name_are_distinguished_by_their_phase() -> None:
    layer = (
        'layer {{ name: "d" type: "Data" top: "d" include {{ phase: {} }} data_param {{ b: {} }} }}'
    )
    train, test = layer.format("TRAIN", 1), layer.format("TEST", 2)
    difference = compare(train + test, test + train)
    assert [(pair.name, pair.moved, pair.changes) for pair in difference.layers] == [
        ("d", True, ())
    ]
    (pair,) = compare(train + test, train + layer.format("TEST", 3)).layers
    assert pair.changes == (FieldChange("data_param.b", "2", "3"),)


def test_moved_layers_are_the_fewest() -> None:
    lines = [in_layer(f'top: "{name}"').replace('"l"', f'"{name}"') for name in "abcde"]
    difference = compare("".join(lines), "".join([lines[4], *lines[:4]]))
    assert [layer.name for layer in difference.layers if layer.moved] == ["e"]
    difference = compare("".join(lines), "".join(reversed(lines)))
    assert sum(layer.moved for layer in difference.layers) == 4


@pytest.mark.parametrize("path", CORPUS, ids=lambda path: path.stem)
def test_as_protobuf_prints_it_a_net_is_the_same(path: Path) -> None:
    net = Prototxt.read(path)
    again = text_format.MessageToString(net_parameter(net.text))
    assert compare_nets(net, Prototxt.parse(again)).same


def test_so_are_the_nets_of_others(shared_data: Path) -> None:
    paths = sorted(shared_data.rglob("*.prototxt"))
    read = 0
    for path in paths:
        net = Prototxt.read(path)
        assert compare_nets(net, net).same
        try:
            again = text_format.MessageToString(net_parameter(net.text))
        except text_format.ParseError:
            continue  # a fork's fields
        read += 1
        difference = compare_nets(net, Prototxt.parse(again))
        assert difference.same, path
    assert read > bound(shared_data, whole=30, served=20)


@pytest.mark.parametrize(
    "name", ["branches", "dense", "digits_deploy", "flatten", "rectangular", "small_caffenet"]
)
def test_convert_is_reported_as_it_was_planned(repo_root: Path, name: str) -> None:
    plan = plan_convolution(NetDefinition.read(repo_root / "prototxt" / f"{name}.prototxt"))
    difference = compare_nets(plan.net.prototxt, Prototxt.parse(plan.text))
    assert renames(difference) == {move.layer: move.target for move in plan.moves}
    assert difference.blobs == renames(difference)
    assert not difference.added
    assert {layer.type for layer in difference.removed} <= {"Flatten", "Reshape"}
    for layer in difference.layers:
        if layer.renamed:
            assert layer.changes[0] == FieldChange("type", "InnerProduct", "Convolution")
            assert (
                FieldChange("inner_product_param", None, None, "convolution_param") in layer.changes
            )


def test_bvlcs_own_full_conv_net(shared_data: Path) -> None:
    old, new = (
        Prototxt.read(shared_data / "bvlc" / f"{name}.prototxt")
        for name in ("bvlc_reference_caffenet", "bvlc_caffenet_full_conv")
    )
    difference = compare_nets(old, new)
    assert difference.fields == (FieldChange("name", '"CaffeNet"', '"CaffeNetConv"'),)
    assert not difference.added
    assert not difference.removed
    fcs = {f"fc{i}": f"fc{i}-conv" for i in (6, 7, 8)}
    assert renames(difference) == difference.blobs == fcs
    data, *converted = difference.layers
    change = FieldChange("input_param.shape.dim", "[10, 3, 227, 227]", "[1, 3, 451, 451]")
    assert (data.name, data.changes) == ("data", (change,))
    for layer, kernel in zip(converted, "611", strict=True):
        assert layer.changes == (
            FieldChange("type", "InnerProduct", "Convolution"),
            FieldChange("inner_product_param", None, None, "convolution_param"),
            FieldChange("convolution_param.kernel_size", None, kernel),
        )
