"""InnerProduct into Convolution: what is rewritten, what is kept, what is refused."""

from __future__ import annotations

import difflib
from pathlib import Path

import pytest

from netsurgery.errors import NetsurgeryError, SurgeryError
from netsurgery.formats.prototxt import Prototxt
from netsurgery.net import Net
from netsurgery.surgery.convolution import ConvolutionPlan, plan_convolution

INPUT = 'layer { name: "data" type: "Input" top: "data" input_param { shape { %s } } }\n'
SMALL = INPUT % "dim: 5 dim: 2 dim: 6 dim: 6"


def fc(name: str, bottom: str, more: str = "", top: str = "", kind: str = "layer") -> str:
    word = '"InnerProduct"' if kind == "layer" else "INNER_PRODUCT"
    return (
        f'{kind} {{ name: "{name}" type: {word} bottom: "{bottom}" top: "{top or name}" '
        f"inner_product_param {{ num_output: 3 {more} }} }}\n"
    )


def layer(kind: str, bottom: str, top: str, more: str = "") -> str:
    bottoms = " ".join(f'bottom: "{b}"' for b in bottom.split())
    tops = " ".join(f'top: "{t}"' for t in top.split())
    return f'layer {{ name: "{kind}-{top}" type: "{kind}" {bottoms} {tops} {more} }}\n'


def plan(text: str, **options: object) -> ConvolutionPlan:
    net = Net.of(Prototxt.parse(text, "n.prototxt"))
    return plan_convolution(net, **options)  # type: ignore[arg-type]


def changed(before: str, after: str) -> list[str]:
    lines = difflib.unified_diff(before.splitlines(), after.splitlines(), n=0)
    return [line for line in lines if line[0] in "+-" and line[:3] not in ("+++", "---")]


COMMENTED = """\
name: 'Mine'  # my net
input: 'data'
input_dim: 10
input_dim: 2
input_dim: 6   # rows
input_dim: 8

layer {
  # the classifier
  name: 'fc'   type: 'InnerProduct'
  bottom: "data"
  top: 'fc'
  param { lr_mult: 1 decay_mult: 1 }
  inner_product_param {
\tnum_output: 3 # classes
\t#kernel_size: 9
\ttranspose: true  # kept K x N
\tweight_filler { type: "xavier" }
  }
  my_fork_param { strange: [1, 2] }
}
layer { name: "relu" type: "ReLU" bottom: "fc" top: "fc" }
layer { name: "fc_again" type: "Power" bottom: "fc" top: "out" }
"""


def test_only_the_surgery_shows_in_the_text() -> None:
    made = plan(COMMENTED)
    assert changed(COMMENTED, made.text) == [
        "-name: 'Mine'  # my net",
        "+name: 'MineConv'  # my net",
        "-input_dim: 10",
        "+input_dim: 1",
        "-input_dim: 6   # rows",
        "-input_dim: 8",
        "+input_dim: 13   # rows",
        "+input_dim: 15",
        "-  name: 'fc'   type: 'InnerProduct'",
        "+  name: 'fc-conv'   type: 'Convolution'",
        "-  top: 'fc'",
        "+  top: 'fc-conv'",
        "-  inner_product_param {",
        "+  convolution_param {",
        "+\tkernel_h: 6",
        "+\tkernel_w: 8",
        "-\ttranspose: true  # kept K x N",
        '-layer { name: "relu" type: "ReLU" bottom: "fc" top: "fc" }',
        '-layer { name: "fc_again" type: "Power" bottom: "fc" top: "out" }',
        '+layer { name: "relu" type: "ReLU" bottom: "fc-conv" top: "fc-conv" }',
        '+layer { name: "fc_again" type: "Power" bottom: "fc-conv" top: "out" }',
    ]
    (move,) = made.moves
    assert (move.old, move.new) == (((96, 3), (3,)), ((3, 2, 6, 8), (3,)))
    assert move.transpose


def test_crlf_stays_crlf() -> None:
    text = COMMENTED.replace("\n", "\r\n")
    made = plan(text).text
    assert made.count("\n") == made.count("\r\n") == text.count("\n") + 1


def test_a_top_that_bears_another_name_keeps_it() -> None:
    made = plan(SMALL + fc("fc", "data", top="scores") + layer("Softmax", "scores", "prob"))
    assert 'name: "fc-conv"' in made.text
    assert 'top: "scores"' in made.text
    assert 'bottom: "scores"' in made.text
    assert made.renames == {}


def test_v1_is_answered_in_v1() -> None:
    text = 'input: "x" input_dim: 1 input_dim: 1 input_dim: 4 input_dim: 4\n'
    made = plan(text + fc("ip", "x", kind="layers"))
    assert 'layers { name: "ip-conv" type: CONVOLUTION' in made.text
    assert "kernel_size: 4" in made.text


def test_axes_counted_from_behind_are_counted_from_the_front() -> None:
    text = SMALL + fc("a", "data", "axis: -3") + fc("b", "a", "axis: -1")
    text += layer("Softmax", "b", "p", "softmax_param { axis: -1 }")
    made = plan(text)
    assert made.text.count("axis: 1") == 3
    assert made.maps == {"p": (1, 3, 8, 8)}


@pytest.mark.parametrize(
    ("options", "shape", "cells"),
    [
        ({}, (1, 2, 13, 13), (8, 8)),
        ({"map_size": (3, 5)}, (1, 2, 8, 10), (3, 5)),
        ({"map_size": (1, 1)}, (1, 2, 6, 6), (1, 1)),
        ({"input_size": (20, 30)}, (1, 2, 20, 30), (15, 25)),
    ],
)
def test_the_input_follows_the_map(
    options: dict[str, object], shape: tuple[int, ...], cells: tuple[int, int]
) -> None:
    made = plan(SMALL + fc("fc", "data"), **options)
    assert made.input == ("data", shape)
    assert made.maps == {"fc-conv": (1, 3, *cells)}
    assert made.window == (6, 6)
    assert made.notes == ("the input's batch of 5 becomes 1",)


def test_the_stride_is_the_total_one() -> None:
    pool = layer("Pooling", "data", "p", "pooling_param { kernel_size: 2 stride: 2 }")
    made = plan(SMALL + pool + fc("fc", "p"))
    assert made.stride == (2, 2)
    assert made.input[1] == (1, 2, 6 + 2 * 7, 6 + 2 * 7)


def test_a_kept_inner_product_behind_holds_the_input_at_its_size() -> None:
    text = SMALL + fc("a", "data") + fc("b", "a")
    made = plan(text, layers=["a"])
    assert [move.layer for move in made.moves] == ["a"]
    assert made.input == ("data", (1, 2, 6, 6))
    assert made.notes[0] == (
        "the input stays at 6x6: layer 'b': its params are 3x3 and 3 at 6x6 only; "
        "an InnerProduct that is kept looks at the whole map"
    )
    with pytest.raises(SurgeryError, match="layer 'b': its params are 3x3 and 3 at 6x6 only"):
        plan(text, layers=["a"], map_size=(2, 2))


SCALED = "scale_param { axis: 1 bias_term: true }"
ALLOWED = [
    layer("ReLU", "fc", "fc"),
    layer("PReLU", "fc", "fc"),
    layer("BatchNorm", "fc", "fc") + layer("Scale", "fc", "fc", SCALED),
    layer("Bias", "fc", "y"),
    layer("Slice", "fc", "y z w"),
    layer("Concat", "fc fc", "y"),
    layer("Eltwise", "fc fc", "y"),
    layer("Softmax", "fc", "y"),
    layer("ArgMax", "fc", "y", "argmax_param { axis: 1 }"),
    fc("fc2", "fc") + fc("fc3", "fc") + layer("Concat", "fc2 fc3", "y"),
]


@pytest.mark.parametrize("behind", ALLOWED)
def test_layers_that_may_follow(behind: str) -> None:
    made = plan(SMALL + fc("fc", "data") + behind)
    assert all(shape[2:] == (8, 8) for shape in made.maps.values())


@pytest.mark.parametrize(
    ("text", "what"),
    [
        (SMALL, "the net has no InnerProduct layer; there is nothing to convert"),
        (
            SMALL
            + layer(
                "Convolution", "data", "c", "convolution_param { num_output: 1 kernel_size: 1 }"
            ),
            "the net has no InnerProduct layer; it is already convolutional",
        ),
        (fc("fc", "x").join(['input: "x"', ""]), "input 'x' has no shape, expected N x C x H x W"),
        (
            'input: "x" input_shape { dim: 1 dim: 9 }' + fc("fc", "x"),
            "input 'x' has 1x9, expected N x C x H x W",
        ),
        (
            'input: "x" input: "y" input_shape { dim: 1 } input_shape { dim: 1 }' + fc("f", "x"),
            "found 2 inputs ('x', 'y'), expected one",
        ),
        (
            SMALL + fc("fc", "data", "axis: 2"),
            "layer 'fc': axis 2 of a 1x2x6x6 bottom; only axis 1 leaves a map",
        ),
        (
            SMALL + layer("Flatten", "data", "flat") + fc("fc", "flat"),
            "layer 'fc': its bottom 'flat' is 1x72, made by layer 'Flatten-flat' (Flatten): no map",
        ),
        (
            SMALL + layer("Mystery", "data", "m") + fc("fc", "m"),
            "layer 'fc': the shape of its bottom 'm' is not known: layer 'Mystery-m' is of type "
            "Mystery, which Caffe 1.0 gives no fixed shape",
        ),
        (
            SMALL + fc("fc", "data") + layer("Softmax", "fc", "p", "softmax_param { axis: 0 }"),
            "layer 'Softmax-p': axis 0, expected 1, the channels",
        ),
        (
            SMALL + fc("fc", "data") + layer("ArgMax", "fc", "p"),
            "layer 'ArgMax-p': an ArgMax without an axis looks at the whole map at once; "
            "give it axis: 1",
        ),
        (
            SMALL + fc("fc", "data") + layer("Flatten", "fc", "p"),
            "layer 'Flatten-p': a Flatten may not treat every position of a map alike",
        ),
        (
            SMALL + fc("fc", "data") + layer("Flatten", "data", "g") + layer("Concat", "fc g", "p"),
            "layer 'Concat-p': it joins a map with 'g', which does not become one",
        ),
        (
            SMALL + fc("fc", "data") + fc("fc-conv", "fc"),
            "layer 'fc': a layer named 'fc-conv' is there already; try another --suffix",
        ),
        (
            SMALL + fc("fc", "data") + layer("Power", "fc", "fc-conv"),
            "layer 'fc': a blob named 'fc-conv' is there already; try another --suffix",
        ),
    ],
)
def test_refusals(text: str, what: str) -> None:
    with pytest.raises(NetsurgeryError) as caught:
        plan(text)
    assert str(caught.value) == f"n.prototxt: {what}"


def test_every_refusal_is_named_at_once() -> None:
    text = SMALL + fc("a", "data", "axis: 2") + fc("b", "data", "axis: 3")
    with pytest.raises(SurgeryError, match=r"layer 'a': axis 2 .*; layer 'b': axis 3 "):
        plan(text)


def test_layers_must_be_inner_products_of_the_net() -> None:
    text = SMALL + fc("fc", "data") + layer("ReLU", "fc", "fc")
    with pytest.raises(NetsurgeryError, match="no layer named 'fc9'"):
        plan(text, layers=["fc9"])
    with pytest.raises(NetsurgeryError, match="is of type ReLU, expected InnerProduct"):
        plan(text, layers=["ReLU-fc"])


def test_an_empty_suffix_is_refused() -> None:
    with pytest.raises(SurgeryError, match="the suffix is empty"):
        plan(SMALL + fc("fc", "data"), suffix="")


def test_an_input_too_small_is_refused() -> None:
    with pytest.raises(SurgeryError, match="an input of 2x2 does not go through this net"):
        plan(SMALL + fc("fc", "data"), input_size=(2, 2))


def test_caffenet_becomes_bvlcs_own_full_conv_net(shared_data: Path) -> None:
    from caffe_schema import net_parameter  # protobuf's own reading of both

    made = plan_convolution(Net.read(shared_data / "bvlc" / "bvlc_reference_caffenet.prototxt"))
    theirs = (shared_data / "bvlc" / "bvlc_caffenet_full_conv.prototxt").read_text()
    assert net_parameter(made.text) == net_parameter(theirs)
