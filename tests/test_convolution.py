"""InnerProduct into Convolution: what is rewritten, what is kept, what is refused."""

from __future__ import annotations

import difflib
from pathlib import Path

import pytest

from netsurgery.errors import NetError, NetsurgeryError, PrototxtError, SurgeryError
from netsurgery.formats.prototxt import Prototxt
from netsurgery.net.net import NetDefinition
from netsurgery.net.shapes import ShapesAt, infer
from netsurgery.net.state import NetState
from netsurgery.surgery.convolution.analysis import Analysis, FlattenedMap
from netsurgery.surgery.convolution.checks import ensure_same
from netsurgery.surgery.convolution.plan import ConvolutionPlan, plan_convolution
from netsurgery.surgery.convolution.size import Resize

#: Messages are compared as the command words them.
pytestmark = pytest.mark.usefixtures("option_names")

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


def in_training(text: str) -> str:
    return text.replace("layer {", "layer { include { phase: TRAIN }")


def plan(text: str, **options: object) -> ConvolutionPlan:
    net = NetDefinition.of(Prototxt.parse(text, "n.prototxt"))
    return plan_convolution(net, **options)  # type: ignore[arg-type]


def steps(resize: Resize) -> list[float]:
    assert resize.stride is not None
    return [float(step) for step in resize.stride]


def changed(before: str, after: str) -> list[str]:
    lines = difflib.unified_diff(before.splitlines(), after.splitlines(), n=0)
    return [line for line in lines if line[0] in "+-" and line[:3] not in ("+++", "---")]


def test_an_inner_product_that_is_kept_is_named() -> None:
    text = SMALL + fc("one", "data") + layer("ReLU", "one", "r") + fc("two", "r")
    with pytest.raises(SurgeryError, match="'two': InnerProduct 'one' before it is not converted"):
        plan(text, layers=["two"])


def test_what_does_not_go_through_is_reported_at_its_place_in_the_original() -> None:
    """The new text has three lines less before the Eltwise."""
    flat = "layer {\n  name: 'f' type: 'Flatten'\n  bottom: 'data' top: 'f' }\n"
    pool = layer("Pooling", "data", "p", "pooling_param { kernel_size: 2 stride: 2 }")
    text = SMALL + flat + pool + fc("a", "f") + fc("b", "p") + layer("Eltwise", "a b", "s")
    message = rf"n\.prototxt:{text.count(chr(10))}:\d+: layer 'Eltwise-s' \(Eltwise\): its bottoms"
    with pytest.raises(SurgeryError, match=message):
        plan(text, input_size=(20, 20))
    planned = plan(text)  # the strides differ, so no size is known to go through
    assert (planned.inputs[0].new, planned.inputs[0].stride) == ((1, 2, 6, 6), None)


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
    planned = plan(COMMENTED)
    assert changed(COMMENTED, planned.text) == [
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
    (move,) = planned.moves
    assert (move.old, move.new) == (((96, 3), (3,)), ((3, 2, 6, 8), (3,)))
    assert move.transpose


def test_crlf_stays_crlf() -> None:
    text = COMMENTED.replace("\n", "\r\n")
    planned = plan(text).text
    assert planned.count("\n") == planned.count("\r\n") == text.count("\n") + 1


def test_a_top_that_bears_another_name_keeps_it() -> None:
    planned = plan(SMALL + fc("fc", "data", top="scores") + layer("Softmax", "scores", "prob"))
    assert 'name: "fc-conv"' in planned.text
    assert 'top: "scores"' in planned.text
    assert 'bottom: "scores"' in planned.text
    assert planned.renames == {}


def test_v1_is_answered_in_v1() -> None:
    text = 'input: "x" input_dim: 1 input_dim: 1 input_dim: 4 input_dim: 4\n'
    planned = plan(text + fc("ip", "x", kind="layers"))
    assert 'layers { name: "ip-conv" type: CONVOLUTION' in planned.text
    assert "kernel_size: 4" in planned.text


def test_axes_counted_from_behind_are_counted_from_the_front() -> None:
    text = SMALL + fc("a", "data", "axis: -3") + fc("b", "a", "axis: -1")
    text += layer("Softmax", "b", "p", "softmax_param { axis: -1 }")
    planned = plan(text)
    assert planned.text.count("axis: 1") == 3
    assert planned.maps == {"p": (1, 3, 8, 8)}


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
    planned = plan(SMALL + fc("fc", "data"), **options)
    (net_input,) = planned.inputs
    assert (net_input.name, net_input.new, net_input.window) == ("data", shape, (6, 6))
    assert steps(net_input) == [1, 1]
    assert planned.maps == {"fc-conv": (1, 3, *cells)}
    assert planned.notes == ("the batch of 5 of input 'data' becomes 1",)


def test_the_stride_is_the_total_one() -> None:
    pool = layer("Pooling", "data", "p", "pooling_param { kernel_size: 2 stride: 2 }")
    planned = plan(SMALL + pool + fc("fc", "p"))
    assert steps(planned.inputs[0]) == [2, 2]
    assert planned.inputs[0].new == (1, 2, 6 + 2 * 7, 6 + 2 * 7)


def test_height_and_width_have_strides_of_their_own() -> None:
    pool = layer("Pooling", "data", "p", "pooling_param { kernel_size: 3 stride_h: 3 stride_w: 1 }")
    planned = plan(SMALL + pool + fc("fc", "p"))
    assert steps(planned.inputs[0]) == [3, 1]
    assert planned.inputs[0].new == (1, 2, 6 + 3 * 7, 6 + 1 * 7)
    assert planned.maps == {"fc-conv": (1, 3, 8, 8)}


def test_a_stride_below_one_gives_no_map_smaller_than_wanted() -> None:
    """Half a pixel a cell: 7 cells more need 3.5 pixels more, so 4."""
    up = "convolution_param { num_output: 2 kernel_size: 2 stride: 2 }"
    planned = plan(SMALL + layer("Deconvolution", "data", "up", up) + fc("fc", "up"))
    assert steps(planned.inputs[0]) == [0.5, 0.5]
    assert planned.inputs[0].new == (1, 2, 10, 10)
    assert planned.maps == {"fc-conv": (1, 3, 9, 9)}


def test_a_map_that_no_size_gives_is_refused_with_those_there_are() -> None:
    up = "convolution_param { num_output: 2 kernel_size: 2 stride: 2 }"
    text = SMALL + layer("Deconvolution", "data", "up", up) + fc("fc", "up")
    assert plan(text, map_size=(3, 5)).maps == {"fc-conv": (1, 3, 3, 5)}
    said = (
        r"n\.prototxt: no size of input 'data' gives a map 'fc-conv' of 4x5 \(7x7 gives 3x3, 8x8 "
        r"gives 5x5\); give another --map-size, or --input-size"
    )
    with pytest.raises(SurgeryError, match=said):
        plan(text, map_size=(4, 5))


INTERP = 'layer { name: "up" type: "Interp" bottom: "c" top: "up" interp_param { %s } }\n'
HALVED = layer("Convolution", "data", "c", "convolution_param { num_output: 2 kernel_size: 2 "
               "stride: 2 }")  # fmt: skip


@pytest.mark.parametrize(
    ("zoom", "asked", "size", "stride"),
    [
        ("zoom_factor: 2", (3, 5), (8, 10), 1),  # the old 3x3 become 5x5, so 1 pixel a cell
        ("zoom_factor: 3", (7, 4), (10, 8), None),  # 2 cells over 3 pixels
    ],
)
def test_an_interpolation_counts_for_stride_and_size(
    zoom: str, asked: tuple[int, int], size: tuple[int, int], stride: int | None
) -> None:
    planned = plan(SMALL + HALVED + INTERP % zoom + fc("fc", "up"), map_size=asked)
    (net_input,) = planned.inputs
    assert planned.maps == {"fc-conv": (1, 3, *asked)}
    assert net_input.new[2:] == size
    assert stride is None or steps(net_input) == [stride, stride]


def test_an_interpolation_to_one_size_has_no_stride_that_moves() -> None:
    text = SMALL + HALVED + INTERP % "height: 5 width: 5" + fc("fc", "up")
    planned = plan(text)
    assert (planned.inputs[0].new, planned.inputs[0].stride) == ((1, 2, 6, 6), None)
    assert "no output is known to grow with it" in planned.notes[-2]
    with pytest.raises(SurgeryError, match=r"gives a map 'fc-conv' of 2x2 \("):
        plan(text, map_size=(2, 2))
    assert plan(text, input_size=(12, 12)).inputs[0].stride is None


def test_the_map_asked_for_is_that_of_an_output_that_grows() -> None:
    """Not of one that has one cell whatever the input's size."""
    pooled = layer("Pooling", "data", "g", "pooling_param { global_pooling: true }")
    halved = layer("Pooling", "data", "p", "pooling_param { kernel_size: 2 stride: 2 }")
    text = SMALL + halved + fc("fc", "p") + pooled
    planned = plan(text, map_size=(3, 5), keep_global_pooling=True)
    assert planned.maps == {"fc-conv": (1, 3, 3, 5), "g": (1, 2, 1, 1)}
    assert steps(planned.inputs[0]) == [2, 2]
    behind = layer("Pooling", "fc", "h", "pooling_param { global_pooling: true }")
    alone = SMALL + halved + fc("fc", "p") + behind.replace("fc", "p")
    assert plan(alone, keep_global_pooling=True).maps["fc-conv"] == (1, 3, 8, 8)


def test_a_map_of_one_cell_has_no_stride() -> None:
    halved = layer("Pooling", "data", "p", "pooling_param { kernel_size: 2 stride: 2 }")
    behind = layer("Pooling", "p", "g", "pooling_param { global_pooling: true }")
    text = SMALL + halved + behind + fc("fc", "g")
    planned = plan(text, keep_global_pooling=True)
    assert (planned.inputs[0].new, planned.inputs[0].stride) == ((1, 2, 6, 6), None)
    planned = plan(text, keep_global_pooling=True, input_size=(9, 9))
    assert (planned.maps, planned.inputs[0].stride) == ({"fc-conv": (1, 3, 1, 1)}, None)
    with pytest.raises(SurgeryError, match="gives a map 'fc-conv' of 2x2"):
        plan(text, keep_global_pooling=True, map_size=(2, 2))


def test_a_size_that_stays_is_spelled_as_it_was() -> None:
    planned = plan(INPUT % "dim: 0x5 dim: 0x2 dim: 06 dim: 6" + fc("fc", "data"))
    assert "dim: 1 dim: 0x2 dim: 13 dim: 13" in planned.text


def test_what_is_to_be_known_of_the_net_comes_with_the_plan() -> None:
    twins = layer("ReLU", "fc", "fc") * 2
    planned = plan(SMALL + fc("fc", "data") + twins)
    assert any("all named 'ReLU-fc'" in note for note in planned.notes)


@pytest.mark.parametrize(
    ("addition", "what"),
    [
        (fc("fc", "data").replace("3", "4"), "layer 'fc': blob 'fc' was 5x3 and would be 5x4"),
        (fc("fc", "data", top="gone"), "layer 'fc': blob 'fc' was 5x3 and would be nothing known"),
        (
            fc("fc", "data", "bias_term: false"),
            "layer 'fc': its params would change their shape",
        ),
    ],
)
def test_a_net_that_came_out_otherwise_is_refused(addition: str, what: str) -> None:
    """No net is known that leads to this: it is the check on what was written."""
    net = NetDefinition.of(Prototxt.parse(SMALL + fc("fc", "data"), "n.prototxt"))
    converted = NetDefinition.of(Prototxt.parse(SMALL + addition, "n.prototxt"))
    for flat in ({}, {"fc": FlattenedMap()}):
        with pytest.raises(SurgeryError) as caught:
            ensure_same(net, ShapesAt(converted), Analysis(flat=flat), infer(net), {})
        assert str(caught.value) == f"n.prototxt: {what}"


def test_an_unknown_type_in_place_is_kept_and_said() -> None:
    mystery = layer("Mystery", "data", "data")
    planned = plan(SMALL + mystery + fc("fc", "data"))
    assert mystery in planned.text
    assert planned.maps["fc-conv"][:2] == (1, 3)
    assert (
        "layer 'Mystery-data' is of type Mystery, which is not known: it is kept as it is, and "
        "taken to do the same at every position, as it works in place" in planned.notes
    )


WHOLE_MAPS = {
    "MVN": "",
    "Normalize": "norm_param { across_spatial: true }",
    "Softmax": "softmax_param { axis: 2 }",
    "BatchNorm": "batch_norm_param { use_global_stats: false }",
}


@pytest.mark.parametrize("kind", WHOLE_MAPS)
@pytest.mark.parametrize("top", ["data", "m"])
def test_a_layer_that_looks_at_the_whole_map_is_noted(kind: str, top: str) -> None:
    planned = plan(SMALL + layer(kind, "data", top, WHOLE_MAPS[kind]) + fc("fc", top))
    (note,) = [note for note in planned.notes if "the whole map" in note]
    assert note == (
        f"layer '{kind}-{top}' ({kind}) looks at the whole map, so every cell depends on the "
        "whole picture"
    )


@pytest.mark.parametrize(
    ("kind", "message"),
    [("MVN", ""), ("Sigmoid", ""), ("LRN", "lrn_param { norm_region: WITHIN_CHANNEL }")],
)
def test_only_what_is_before_the_map_and_looks_at_all_of_it_is_noted(
    kind: str, message: str
) -> None:
    aside = layer(kind, "data", "m", message)
    planned = plan(SMALL + aside + fc("fc", "data" if kind == "MVN" else "m"))
    assert not [note for note in planned.notes if "the whole map" in note]


@pytest.mark.parametrize("axis", [2, 3, -1, -2])
@pytest.mark.parametrize("joins", [True, False])
def test_no_window_slides_over_maps_joined_or_cut_along_height_or_width(
    axis: int, *, joins: bool
) -> None:
    if joins:
        text = (
            'layer { name: "k" type: "Concat" bottom: "data" bottom: "data" top: "k" '
            f"concat_param {{ axis: {axis} }} }}\n"
        )
    else:
        text = (
            'layer { name: "k" type: "Slice" bottom: "data" top: "k" top: "l" '
            f"slice_param {{ axis: {axis} }} }}\n"
        )
    with pytest.raises(SurgeryError, match=r"layer 'k' .* moves numbers from position to position"):
        plan(SMALL + text + fc("fc", "k"))


def test_a_flattening_and_what_makes_a_map_of_it_again_are_called_so() -> None:
    again = layer("Reshape", "f", "m", "reshape_param { shape { dim: 0 dim: 2 dim: 6 dim: 6 } }")
    planned = plan(SMALL + layer("Flatten", "data", "f") + again + fc("fc", "m"))
    assert [note for note in planned.notes if "taken out" in note] == [
        "layer 'Flatten-f' only flattens and is taken out",
        "layer 'Reshape-m' only makes a map again of what was flattened and is taken out",
    ]


def test_a_kept_inner_product_behind_holds_the_input_at_its_size() -> None:
    text = SMALL + fc("a", "data") + fc("b", "a")
    planned = plan(text, layers=["a"])
    assert [move.layer for move in planned.moves] == ["a"]
    assert planned.inputs[0].new == (1, 2, 6, 6)
    assert planned.notes[0] == (
        "input 'data' stays at 6x6: layer 'b': its params are 3x3 and 3 at that size only; "
        "an InnerProduct that is kept looks at the whole map"
    )
    with pytest.raises(SurgeryError, match="layer 'b': its params are 3x3 and 3 at that size"):
        plan(text, layers=["a"], map_size=(2, 2))


RESHAPED = "reshape_param { shape { dim: 30 dim: -1 } }"
SCALED = "scale_param { axis: 1 bias_term: true }"
GATED = "scale_param { axis: 0 }"
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
    planned = plan(SMALL + fc("fc", "data") + behind)
    assert all(shape[2:] == (8, 8) for shape in planned.maps.values())


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
        (
            'input: "x"' + fc("fc", "x"),
            "layer 'fc': the shape of its bottom 'x' is not known: the prototxt declares no shape "
            "for this input; --input-shape x=NxCxHxW gives it",
        ),
        (
            'input: "x" input_shape { dim: 1 dim: 9 }' + fc("fc", "x"),
            "layer 'fc': its bottom 'x' is 1x9, the net's input: no map",
        ),
        (
            INPUT % "dim: 1 dim: 2 dim: 0 dim: 6" + fc("fc", "data"),
            "layer 'fc': its bottom 'data' is 1x2x0x6: it is empty",
        ),
        (
            SMALL + fc("fc", "data", "axis: 2"),
            "layer 'fc': axis 2 of a 5x2x6x6 bottom; only axis 1 leaves a map",
        ),
        (
            SMALL + layer("Reshape", "data", "flat", RESHAPED) + fc("fc", "flat"),
            "layer 'fc': its bottom 'flat' is 30x12, made by layer 'Reshape-flat' (Reshape): "
            "no map",
        ),
        (
            SMALL + layer("Mystery", "data", "m") + fc("fc", "m"),
            "layer 'fc': the shape of its bottom 'm' is not known: layer 'Mystery-m' is of type "
            "Mystery, which Caffe 1.0 gives no fixed shape; --input-shape m=NxCxHxW gives it",
        ),
        (
            SMALL + fc("fc", "data") + layer("Softmax", "fc", "p", "softmax_param { axis: 0 }"),
            "layer 'Softmax-p': axis 0, expected 1, the channels",
        ),
        (
            SMALL
            + fc("fc", "data")
            + layer("ArgMax", "fc", "p", "argmax_param { out_max_val: true }"),
            "layer 'ArgMax-p': out_max_val gives pairs of class and value, of which no map is "
            "made: remove it",
        ),
        (
            SMALL
            + fc("fc", "data")
            + layer("ArgMax", "fc", "p", "argmax_param { top_k: 2 }")
            + layer("Softmax", "p", "q"),
            "layer 'Softmax-q': it reads what an ArgMax made that has to be given axis 1, in "
            "another shape",
        ),
        (
            SMALL
            + fc("fc", "data")
            + layer("ArgMax", "fc", "p")
            + layer("Reduction", "p", "q", "reduction_param { axis: 1 }"),
            "layer 'Reduction-q': a Reduction may not treat every position of a map alike",
        ),
        (
            SMALL + fc("fc", "data") + layer("Tile", "fc", "p", "tile_param { tiles: 2 }"),
            "layer 'Tile-p': a Tile may not treat every position of a map alike",
        ),
        (
            SMALL + fc("fc", "data") + layer("Flatten", "data", "g") + layer("Concat", "fc g", "p"),
            "layer 'Concat-p': it joins maps of different sizes",
        ),
        (
            SMALL
            + layer("Permute", "data", "t", "permute_param { order: [0, 2, 3, 1] }")
            + layer("LRN", "t", "u", "lrn_param { norm_region: WITHIN_CHANNEL }")
            + fc("f", "u"),
            "layer 'f': layer 'Permute-t' (Permute) moves numbers from position to position before "
            "it, so no window slides over the input",
        ),
        (
            SMALL + fc("fc", "data") + fc("fc-conv", "fc"),
            "layer 'fc': a layer named 'fc-conv' is there already; try another --suffix",
        ),
        (
            SMALL + fc("fc", "data") + layer("Power", "fc", "fc-conv"),
            "layer 'fc': a blob named 'fc-conv' is there already; try another --suffix",
        ),
        (
            SMALL + fc("fc", "data") + layer("Power", "fc", "fc-conv", "include { phase: TRAIN }"),
            "layer 'fc': a blob named 'fc-conv' is there already; try another --suffix",
        ),
        (
            SMALL + fc("fc", "data") + in_training(fc("fc-conv", "data")),
            "layer 'fc': a layer named 'fc-conv' is there already; try another --suffix",
        ),
        (
            SMALL + fc("fc", "data") + in_training(fc("fc", "data")),
            "layer 'fc': a layer of another phase or stage has its name",
        ),
        (
            SMALL + fc("ReLU-r", "data") + layer("ReLU", "ReLU-r", "r"),
            "layer 'ReLU-r': another layer has the same name",
        ),
        (
            SMALL
            + fc("fc", "data")
            + INPUT.replace("data", "s") % "dim: 5 dim: 3"
            + layer("Eltwise", "fc s", "p"),
            "layer 'Eltwise-p': it joins a map with 's', which does not become one",
        ),
        (
            SMALL + fc("fc", "data") + fc("g", "data") + layer("Scale", "fc g", "p", GATED),
            "layer 'Scale-p': a Scale of two bottoms may not treat every position of a map alike",
        ),
        (
            SMALL + fc("fc", "data") + layer("Normalize", "fc", "p", "norm_param { }"),
            "layer 'Normalize-p': a Normalize looks at the whole map at once",
        ),
        (
            SMALL
            + INPUT.replace("data", "x") % "dim: 5 dim: 2"
            + layer("Scale", "data x", "s", GATED)
            + fc("fc", "s"),
            "input 'x' has 5x2, expected N x C x H x W",
        ),
    ],
)
def test_refusals(text: str, what: str) -> None:
    with pytest.raises(NetsurgeryError) as caught:
        plan(text)
    assert str(caught.value) == f"n.prototxt: {what}"


CONV = layer("Convolution", "data", "c", "convolution_param { num_output: 4 kernel_size: 3 }")
GLOBAL = "pooling_param { pool: AVE global_pooling: true }"


def test_a_flatten_is_taken_out_with_its_lines() -> None:
    text = SMALL + CONV + layer("Flatten", "c", "flat") + layer("ReLU", "flat", "flat")
    planned = plan(text + fc("fc", "flat") + layer("Softmax", "fc", "p"))
    assert "Flatten" not in planned.text
    assert planned.removed == ("Flatten-flat",)
    assert 'name: "ReLU-flat" type: "ReLU" bottom: "c" top: "c"' in planned.text
    assert 'type: "Convolution" bottom: "c" top: "fc-conv"' in planned.text
    assert planned.moves[0].new[0] == (3, 4, 4, 4)
    assert planned.renames == {"flat": "c", "fc": "fc-conv"}
    assert planned.maps == {"p": (1, 3, 8, 8)}


@pytest.mark.parametrize(
    "param",
    ["shape { dim: 0 dim: -1 }", "shape { dim: 5 dim: 64 }", "shape { dim: [0, -1, 1, 1] }"],
)
def test_a_reshape_that_only_flattens_is_a_flatten(param: str) -> None:
    text = SMALL + CONV + layer("Reshape", "c", "flat", f"reshape_param {{ {param} }}")
    planned = plan(text + fc("fc", "flat"))
    assert planned.removed == ("Reshape-flat",)
    assert planned.moves[0].new[0] == (3, 4, 4, 4)


def test_maps_flattened_and_joined_are_joined_as_maps() -> None:
    text = SMALL + CONV + layer("Power", "c", "d") + layer("Flatten", "c", "f")
    text += layer("Flatten", "d", "g") + layer("Concat", "f g", "h") + fc("fc", "h")
    planned = plan(text)
    assert planned.removed == ("Flatten-f", "Flatten-g")
    assert planned.moves[0].new[0] == (3, 8, 4, 4)


def test_a_flatten_behind_the_classifier_goes_too() -> None:
    planned = plan(
        SMALL + fc("fc", "data") + layer("Flatten", "fc", "f") + layer("Softmax", "f", "p")
    )
    assert planned.removed == ("Flatten-f",)
    assert planned.maps == {"p": (1, 3, 8, 8)}


@pytest.mark.parametrize(
    ("behind", "what"),
    [
        (
            layer("BatchNorm", "flat", "y") + fc("fc", "y"),
            "layer 'fc': its bottom 'y' is 5x64, made by layer 'BatchNorm-y' (BatchNorm): no map; "
            "it works along the channels of what was flattened",
        ),
        (
            layer("BatchNorm", "flat", "flat") + fc("fc", "flat"),
            "layer 'fc': its bottom 'flat' is 5x64, made by layer 'BatchNorm-flat' (BatchNorm): "
            "no map; it works along the channels of what was flattened",
        ),
        (
            fc("fc", "flat") + layer("Softmax", "flat", "y"),
            "layer 'Softmax-y': it works along the channels of what was flattened",
        ),
        (
            layer("ReLU", "flat", "flat") + fc("fc", "flat") + layer("Power", "c", "y"),
            "layer 'Flatten-flat': a layer works in place on what it flattens; 'c' is read again "
            "after it",
        ),
    ],
)
def test_a_flatten_that_something_needs_stays(behind: str, what: str) -> None:
    with pytest.raises(SurgeryError) as caught:
        plan(SMALL + CONV + layer("Flatten", "c", "flat") + behind)
    assert str(caught.value) == f"n.prototxt: {what}"


def test_a_global_pooling_before_the_classifier_becomes_a_window() -> None:
    text = SMALL + CONV + layer("Pooling", "c", "p", GLOBAL) + fc("fc", "p")
    windowed = plan(text)
    assert windowed.windows == {"Pooling-p": (4, 4)}
    assert "pool: AVE kernel_size: 4" in windowed.text
    assert windowed.maps == {"fc-conv": (1, 3, 8, 8)}
    with_pooling = plan(text, keep_global_pooling=True)
    assert "global_pooling: true" in with_pooling.text
    assert with_pooling.inputs[0].new == (1, 2, 6, 6)
    assert with_pooling.maps == {"fc-conv": (1, 3, 1, 1)}


def test_a_net_without_inner_products_is_converted_by_its_global_pooling() -> None:
    wide = INPUT % "dim: 1 dim: 2 dim: 6 dim: 8"
    text = wide + CONV + layer("Pooling", "c", "p", GLOBAL) + layer("Softmax", "p", "q")
    planned = plan(text)
    assert planned.moves == ()
    assert "kernel_h: 4 kernel_w: 6" in planned.text
    assert planned.maps == {"q": (1, 4, 8, 8)}
    with pytest.raises(SurgeryError, match="already convolutional but for the global Pooling"):
        plan(text, keep_global_pooling=True)


def test_params_of_the_size_of_the_input_hold_it() -> None:
    """And no InnerProduct is blamed that there is not."""
    scale = layer("Scale", "data", "s", "scale_param { num_axes: -1 }")
    planned = plan(SMALL + scale + fc("fc", "s"))
    assert planned.notes[0] == (
        "input 'data' stays at 6x6: layer 'Scale-s': its params are 2x6x6 at that size only"
    )


def test_a_global_pooling_that_gates_the_map_stays() -> None:
    gate = layer("Pooling", "c", "g", GLOBAL) + layer("Flatten", "g", "row")
    planned = plan(SMALL + CONV + gate + layer("Scale", "c row", "s", GATED) + fc("fc", "s"))
    assert planned.windows == {}
    assert any("'Pooling-g' stays" in note for note in planned.notes)


def test_every_gate_of_several_stays() -> None:
    gates = "".join(
        layer("Pooling", source, gate, GLOBAL)
        + layer("Flatten", gate, f"{gate}-row")
        + layer("Scale", f"{source} {gate}-row", top, GATED)
        for source, gate, top in (("c", "g", "s"), ("s", "h", "t"))
    )
    planned = plan(SMALL + CONV + gates + layer("Pooling", "t", "p", GLOBAL) + fc("fc", "p"))
    assert planned.windows == {"Pooling-p": (4, 4)}
    assert [note for note in planned.notes if "stay" in note] == [
        "global poolings 'Pooling-g', 'Pooling-h' stay: what they pool is joined with the map "
        "again, so every cell depends on the whole picture"
    ]
    assert planned.maps == {"fc-conv": (1, 3, 8, 8)}


def test_a_global_pooling_is_a_window_beside_labels_and_other_vectors() -> None:
    labels = 'input: "y" input_shape { dim: [5] }\n'
    pool = layer("Pooling", "c", "p", GLOBAL)
    text = SMALL + labels + CONV + pool + fc("fc", "p") + layer("SoftmaxWithLoss", "fc y", "l")
    assert plan(text).windows == {"Pooling-p": (4, 4)}
    flat = layer("Flatten", "p", "flat") + layer("Concat", "a flat", "both")
    planned = plan(SMALL + CONV + pool + fc("a", "c") + flat + fc("fc", "both"))
    assert planned.windows == {"Pooling-p": (4, 4)}
    assert planned.maps == {"fc-conv": (1, 3, 8, 8)}


def test_a_flatten_behind_a_global_pooling_goes_too() -> None:
    text = SMALL + CONV + layer("Pooling", "c", "p", GLOBAL) + layer("Flatten", "p", "flat")
    planned = plan(text + layer("Softmax", "flat", "q", "softmax_param { axis: -1 }"))
    assert planned.removed == ("Flatten-flat",)
    assert planned.maps == {"q": (1, 4, 8, 8)}
    reshape = layer("Reshape", "flat", "r", "reshape_param { shape { dim: [0, 2, -1] } }")
    with pytest.raises(SurgeryError, match="layer 'Reshape-r': a Reshape may not treat"):
        plan(text + reshape)


@pytest.mark.parametrize(
    ("behind", "shape"),
    [
        (layer("Power", "y", "z"), (1, 2, 8, 8)),
        (layer("Flatten", "y", "z"), (1, 2, 8, 8)),
        (layer("Concat", "y y", "z") + layer("Power", "z", "w"), (1, 4, 8, 8)),
        (fc("z", "y"), (1, 3, 8, 8)),
    ],
)
def test_what_reads_an_argmax_reads_a_map(behind: str, shape: tuple[int, ...]) -> None:
    argmax = layer("ArgMax", "fc", "y", "argmax_param { top_k: 2 }")
    planned = plan(SMALL + fc("fc", "data") + argmax + behind)
    assert list(planned.maps.values()) == [shape]


def test_an_argmax_is_given_its_axis() -> None:
    planned = plan(SMALL + fc("fc", "data") + layer("ArgMax", "fc", "y"))
    assert 'type: "ArgMax" argmax_param { axis: 1 } bottom: "fc-conv"' in planned.text
    assert planned.maps == {"y": (1, 1, 8, 8)}
    planned = plan(
        SMALL + fc("fc", "data") + layer("ArgMax", "fc", "y", "argmax_param { top_k: 2 }")
    )
    assert "argmax_param { top_k: 2 axis: 1 }" in planned.text


def test_two_inputs_grow_each_by_its_own_stride() -> None:
    text = SMALL + 'input: "x" input_shape { dim: [1, 1, 9, 9] }\n'
    pool = layer("Pooling", "x", "p", "pooling_param { kernel_size: 3 stride: 3 }")
    planned = plan(text + fc("a", "data") + pool + fc("b", "p"))
    assert {net_input.name: net_input.new for net_input in planned.inputs} == {
        "x": (1, 1, 9 + 3 * 7, 9 + 3 * 7),
        "data": (1, 2, 13, 13),
    }
    with pytest.raises(SurgeryError, match="--input-size is for one input, found 2"):
        plan(text + fc("a", "data") + pool + fc("b", "p"), input_size=(20, 20))


def test_inputs_that_meet_grow_together() -> None:
    text = 'input: "x" input: "y" ' + "input_shape { dim: [1, 1, 9, 9] }" * 2
    pools = [
        layer("Pooling", b, f"p{b}", "pooling_param { kernel_size: 3 stride: 3 }") for b in "xy"
    ]
    join = fc("a", "px") + fc("b", "py") + layer("Concat", "a b", "c")
    planned = plan(text + "".join(pools) + join)
    assert {net_input.name: net_input.new for net_input in planned.inputs} == dict.fromkeys(
        "xy", (1, 1, 30, 30)
    )
    assert planned.maps == {"c": (1, 6, 8, 8)}


LABELLED = 'input: "data" input: "label" input_shape { dim: [2, 2, 6, 6] } input_shape { dim: 2 }\n'


def test_a_net_that_compares_with_labels_keeps_its_inputs() -> None:
    text = LABELLED + fc("fc", "data") + layer("SoftmaxWithLoss", "fc label", "loss")
    planned = plan(text)
    assert planned.inputs == ()
    assert planned.maps == {}
    assert "dim: [2, 2, 6, 6]" in planned.text
    assert "compares the map with labels, which do not grow with it" in planned.notes[0]
    with pytest.raises(SurgeryError, match="layer 'SoftmaxWithLoss-loss': SoftmaxWithLoss comp"):
        plan(text, map_size=(3, 3))


def test_a_layer_that_another_phase_names_can_be_left() -> None:
    text = SMALL + fc("fc", "data") + in_training(fc("fc", "data")) + fc("fd", "data")
    converted = plan(text, skip_refused=True)
    assert [move.layer for move in converted.moves] == ["fd"]
    note = "left as it is: layer 'fc': a layer of another phase or stage has its name"
    assert note in converted.notes


TRAIN_VAL = """
layer { name: "d" type: "Data" top: "data" top: "label" }
layer { name: "fc" type: "InnerProduct" bottom: "data" top: "fc"
  inner_product_param { num_output: 3 } }
layer { name: "loss" type: "SoftmaxWithLoss" bottom: "fc" bottom: "label" top: "loss" }
layer { name: "acc" type: "Accuracy" bottom: "fc" bottom: "label" top: "acc"
  include { phase: TEST } }
"""


def test_a_training_net_needs_its_inputs_shape_given() -> None:
    with pytest.raises(SurgeryError, match="--input-shape data=NxCxHxW gives it"):
        plan(TRAIN_VAL)
    shapes = {"data": (4, 2, 6, 6), "label": (4,)}
    planned = plan(TRAIN_VAL, input_shapes=shapes)
    assert planned.moves[0].new[0] == (3, 2, 6, 6)
    assert planned.inputs == ()
    assert planned.text.count('bottom: "fc-conv"') == 2


def test_refused_layers_can_be_skipped() -> None:
    text = SMALL + fc("good", "data") + fc("bad", "data", "axis: 2")
    planned = plan(text, skip_refused=True)
    assert [move.layer for move in planned.moves] == ["good"]
    assert "left as it is: layer 'bad': axis 2" in planned.notes[0]
    behind = layer("Tile", "bad", "t", "tile_param { tiles: 2 }")
    planned = plan(SMALL + fc("good", "data") + fc("bad", "data") + behind, skip_refused=True)
    assert [move.layer for move in planned.moves] == ["good"]
    with pytest.raises(SurgeryError, match="layer 'bad'"):
        plan(SMALL + fc("bad", "data", "axis: 2"), skip_refused=True)


def test_params_shared_by_name_must_agree_on_their_shape() -> None:
    shared = 'param { name: "w" } param { name: "b" }'
    same = fc("a", "data").replace("inner", f"{shared} inner", 1)
    twin = fc("b", "data").replace("inner", f"{shared} inner", 1)
    assert len(plan(SMALL + same + twin).moves) == 2
    with pytest.raises(SurgeryError, match="param 'w' would be 3x72 here and 3x2x6x6 there"):
        plan(SMALL + same + twin, layers=["a"])


def test_a_shared_weight_is_turned_for_all_or_for_none() -> None:
    point = INPUT % "dim: 1 dim: 3 dim: 1 dim: 1"
    first, second = (
        fc(name, "data", more).replace("inner", 'param { name: "w" } inner', 1)
        for name, more in (("a", "transpose: true"), ("b", ""))
    )
    with pytest.raises(SurgeryError, match=r"layer 'a': its weight 'w' has to be turned .*'b'"):
        plan(point + first + second)
    assert len(plan(point + first + first.replace('"a"', '"c"')).moves) == 2


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


def test_params_have_to_find_their_layer() -> None:
    twins = CONV + CONV.replace('top: "c"', 'top: "d"')
    with pytest.raises(PrototxtError, match="has the same name, and Caffe loads params by name"):
        plan(SMALL + twins + fc("fc", "c"))


def test_a_shape_for_a_blob_that_takes_none() -> None:
    with pytest.raises(
        NetError, match="a shape is given for 'fc', expected an input, the top of a data layer"
    ):
        plan(SMALL + fc("fc", "data"), input_shapes={"fc": (1, 2)})


def test_a_stage_that_the_text_does_not_state_is_reported() -> None:
    text = "state { stage: 'deploy' }" + SMALL + fc("fc", "data")
    net = NetDefinition.of(Prototxt.parse(text), NetState(stages=("deploy", "small")))
    notes = plan_convolution(net).notes
    assert [note for note in notes if "stage" in note] == [
        "the new net too has to be given the stage 'small', or state { stage: \"small\" } in its "
        "prototxt"
    ]


V1 = """input: "data" input_dim: 1 input_dim: 2 input_dim: 6 input_dim: 6
layers { name: "a" type: INNER_PRODUCT bottom: "data" top: "a" param: "w" param: "b"
  MODES inner_product_param { num_output: 3 } }
layers { name: "b" type: INNER_PRODUCT bottom: "data" top: "b" param: "w" param: "b"
  MODES inner_product_param { num_output: 3 } }
"""


@pytest.mark.parametrize("mode", ["", "STRICT", "PERMISSIVE", "1"])
def test_params_shared_by_v1s_names(mode: str) -> None:
    """There a param is its name alone, and how it is shared a list beside those."""
    planned = plan(V1.replace("MODES", 2 * f"blob_share_mode: {mode} " if mode else ""))
    assert [move.target for move in planned.moves] == ["a-conv", "b-conv"]
    counted = [layer.shares_by_count(1) for layer in planned.new.layers if layer.bottoms]
    assert counted == 2 * [mode in ("PERMISSIVE", "1")]


@pytest.mark.parametrize("kind", ["Scale", "Bias"])
@pytest.mark.parametrize("axis", ["", "axis: 0", "axis: -1"])
def test_one_number_for_all_may_follow(kind: str, axis: str) -> None:
    """As the temperature of a Softmax: it does the same to each cell, whatever axis is named."""
    scalar = layer(kind, "fc", "t", f"{kind.lower()}_param {{ {axis} num_axes: 0 }}")
    planned = plan(SMALL + fc("fc", "data") + scalar)
    assert planned.maps == {"t": (1, 3, 8, 8)}
    with pytest.raises(SurgeryError, match="axis 0, expected 1, the channels"):
        plan(SMALL + fc("fc", "data") + scalar.replace(f"{axis} num_axes: 0", "axis: 0"))


def test_many_layers_that_look_at_the_whole_map_are_one_note() -> None:
    """A net of hundreds of such BatchNorms fills no screen with them."""
    norms = "".join(
        layer("BatchNorm", "data", f"b{number}", WHOLE_MAPS["BatchNorm"]) for number in range(9)
    )
    joined = layer("Eltwise", " ".join(f"b{number}" for number in range(9)), "sum")
    planned = plan(SMALL + norms + joined + layer("MVN", "sum", "m") + fc("fc", "m"))
    assert [note for note in planned.notes if "whole picture" in note] == [
        "layers 'BatchNorm-b0', 'BatchNorm-b1', 'BatchNorm-b2', 'BatchNorm-b3', 5 more "
        "(BatchNorm) look at the whole map, so every cell depends on the whole picture",
        "layer 'MVN-m' (MVN) looks at the whole map, so every cell depends on the whole picture",
    ]


def test_maps_of_other_strides_are_noted_with_them() -> None:
    """Of auxiliary classifiers the map is another than the last one's."""
    heads = "".join(
        layer("Pooling", "data", f"p{step}", f"pooling_param {{ kernel_size: 2 stride: {step} }}")
        + fc(f"fc{step}", f"p{step}")
        for step in (3, 1, 2, 4)
    )
    notes = plan(SMALL + heads, input_size=(30, 30)).notes
    assert [note for note in notes if "total stride" in note] == [
        "the total stride of 'fc3-conv' is 3 x 3, not 4 x 4",
        "the total stride of 'fc1-conv' is 1 x 1, not 4 x 4",
        "the total stride of 'fc2-conv' is 2 x 2, not 4 x 4",
    ]


def test_an_empty_suffix_is_refused() -> None:
    with pytest.raises(SurgeryError, match="the suffix is empty"):
        plan(SMALL + fc("fc", "data"), suffix="")


def test_an_input_too_large_for_caffe_is_refused() -> None:
    with pytest.raises(NetsurgeryError, match=r"'data' is 1x1x2147483647x9: more than Caffe"):
        plan(INPUT % "dim: 1 dim: 1 dim: 2147483647 dim: 9" + fc("fc", "data"))


def test_an_input_too_small_is_refused() -> None:
    with pytest.raises(SurgeryError, match="an input of 2x2 does not go through this net"):
        plan(SMALL + fc("fc", "data"), input_size=(2, 2))


def test_caffenet_becomes_bvlcs_own_full_conv_net(shared_data: Path) -> None:
    from caffe_schema import net_parameter  # protobuf's own reading of both

    planned = plan_convolution(
        NetDefinition.read(shared_data / "bvlc" / "bvlc_reference_caffenet.prototxt")
    )
    theirs = (shared_data / "bvlc" / "bvlc_caffenet_full_conv.prototxt").read_text()
    assert net_parameter(planned.text) == net_parameter(theirs)


def test_a_forks_layer_of_caffes_own_name_is_reported() -> None:
    """NVCaffe's BatchNorm has a scale and a bias of its own, which Caffe 1.0 does not load."""
    norm = 'layer { name: "bn" type: "BatchNorm" bottom: "data" top: "bn" batch_norm_param { '
    nvcaffe = norm + 'scale_filler { type: "constant" value: 1 } } }\n'
    note = (
        "layer 'bn' is NVCaffe's BatchNorm, with 5 params, which Caffe 1.0 does not load: it is "
        "kept as it is"
    )
    for layer, notes in ((nvcaffe, [note]), (norm + "eps: 0.1 } }\n", [])):
        net = NetDefinition.of(Prototxt.parse(SMALL + layer + fc("fc", "bn"), "n.prototxt"))
        assert [each for each in plan_convolution(net).notes if "'bn'" in each] == notes
