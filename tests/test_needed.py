"""What a blob depends on, and the net of nothing else."""

from __future__ import annotations

from pathlib import Path

import pytest

from netsurgery.errors import NetError, PrototxtError
from netsurgery.formats.prototxt import Prototxt
from netsurgery.net.needed import needed, only_needed, require_blobs
from netsurgery.net.net import NetDefinition
from netsurgery.net.shapes import infer

NET = """\
name: "n" # a comment
input: "a" input_dim: 1 input_dim: 2 input_dim: 4 input_dim: 4
input: "b" input_dim: 1 input_dim: 3 input_dim: 5 input_dim: 5
state { phase: TEST }
layer { name: "a1" type: "Convolution" bottom: "a" top: "a1"
  convolution_param { num_output: 3 kernel_size: 1 } }
layer { name: "relu" type: "ReLU" bottom: "a1" top: "a1" };
layer { name: "b1" type: "Martian" bottom: "b" top: "b1" martian_param { x: -3 y: "a" "b" } }
layer { name: "a2" type: "Convolution" bottom: "a1" top: "a2"
  convolution_param { num_output: 5 kernel_size: 2 } }
layer { name: "both" type: "Eltwise" bottom: "a2" bottom: "b1" top: "both" }
"""


def net_of(text: str) -> NetDefinition:
    return NetDefinition.of(Prototxt.parse(text, "n.prototxt"))


def names(net: NetDefinition) -> list[str]:
    return [layer.name for layer in net.layers]


def test_only_what_a_blob_depends_on_is_left() -> None:
    part = only_needed(net_of(NET), ["a2"])
    assert names(part) == ["a1", "relu", "a2"]
    assert [net_input.name for net_input in part.inputs] == ["a"]
    assert infer(part).of("a2") == (1, 5, 3, 3)
    assert part.outputs == ("a2",)


def test_its_text_is_a_net_of_its_own() -> None:
    """Which Caffe is given: the same fields, without those of what is left out."""
    part = only_needed(net_of(NET), ["a2"])
    again = net_of(part.prototxt.text)
    assert names(again) == names(part)
    assert again.name == "n"
    assert infer(again).blobs == infer(part).blobs
    assert part.prototxt.text.count("input_dim") == 4
    assert "martian" not in part.prototxt.text
    of_text = only_needed(net_of(NET), ["b1"])
    assert 'martian_param { x: -3 y: "a" "b" }' in of_text.prototxt.text
    assert [net_input.shape for net_input in net_of(of_text.prototxt.text).inputs] == [(1, 3, 5, 5)]


def test_a_net_of_which_all_is_needed_is_itself() -> None:
    net = net_of(NET)
    assert only_needed(net, ["both"]) is net
    assert only_needed(net, ["b1", "a2", "both"]) is net


def test_errors_keep_their_places() -> None:
    text = NET.replace("kernel_size: 2", "kernel_size: 9")
    with pytest.raises(PrototxtError) as caught:
        infer(only_needed(net_of(text), ["a2"]))
    assert str(caught.value).startswith("n.prototxt:9:7: layer 'a2'")


def test_a_list_of_layers_and_inputs_that_are_layers() -> None:
    text = """\
layer: [
  { name: "x" type: "Input" top: "x" top: "y" input_param { shape { dim: 1 dim: 2 } } },
  { name: "z" type: "Input" top: "z" input_param { shape { dim: 1 dim: 7 } } },
  { name: "one" type: "ReLU" bottom: "x" top: "one" },
  { name: "two" type: "ReLU" bottom: "z" top: "two" } ]
"""
    part = only_needed(net_of(text), ["one"])
    assert names(part) == ["x", "one"]
    again = net_of(part.prototxt.text)
    assert names(again) == ["x", "one"]
    assert (
        [net_input.name for net_input in part.inputs]
        == [net_input.name for net_input in again.inputs]
        == ["x", "y"]
    )


def test_an_input_depends_on_nothing() -> None:
    part = only_needed(net_of(NET), ["b"])
    assert names(part) == []
    assert needed(net_of(NET), ["b"]) == ([], ["b"])


def test_sharers_of_params_stay() -> None:
    """Caffe would load the second one's numbers into the first as well."""
    text = """\
layer { name: "x" type: "Input" top: "x" input_param { shape { dim: 1 dim: 4 } } }
layer { name: "y" type: "Input" top: "y" input_param { shape { dim: 1 dim: 4 } } }
layer { name: "one" type: "InnerProduct" bottom: "x" top: "one" param { name: "w" }
  inner_product_param { num_output: 4 bias_term: false } }
layer { name: "abs" type: "AbsVal" bottom: "y" top: "abs" }
layer { name: "two" type: "InnerProduct" bottom: "abs" top: "two" param { name: "w" }
  inner_product_param { num_output: 4 bias_term: false } }
layer { name: "end" type: "ReLU" bottom: "two" top: "end" }
"""
    assert names(only_needed(net_of(text), ["one"])) == ["x", "y", "one", "abs", "two"]
    alone = text.replace('param { name: "w" }', "")
    assert names(only_needed(net_of(alone), ["one"])) == ["x", "one"]
    twins = alone.replace('"two" type', '"one" type')
    assert names(only_needed(net_of(twins), ["one"])) == ["x", "y", "one", "abs", "one"]


def test_shapes_given_to_what_is_left_out_are_left_out(tmp_path: Path) -> None:
    net = net_of(NET).at({"a": (1, 2, 6, 6), "b": (1, 3, 7, 7)})
    assert infer(only_needed(net, ["a2"])).of("a2") == (1, 5, 5, 5)


def test_layers_of_another_state_are_left_alone() -> None:
    text = (
        NET + 'layer { name: "t" type: "Martian" bottom: "a2" top: "t" include { phase: TRAIN } }'
    )
    part = only_needed(net_of(text), ["a2"])
    assert names(part) == ["a1", "relu", "a2"]
    assert names(net_of(part.prototxt.text)) == ["a1", "relu", "a2"]


def test_blobs_that_are_not_there() -> None:
    require_blobs(net_of(NET), ["a", "b1", "both"])
    with pytest.raises(NetError) as caught:
        require_blobs(net_of(NET), ["a2", "c"])
    assert str(caught.value) == "n.prototxt: no blob 'c'; it has a1, b1, a2, both"
