"""InnerProducts over several maps of different sizes: split by columns, or refused."""

from __future__ import annotations

import difflib
from pathlib import Path

import numpy as np
import pytest
from small_models import model_layer, write_hdf5, write_model

from netsurgery.engines.contract import EngineOptions
from netsurgery.errors import SurgeryError
from netsurgery.formats.prototxt import Prototxt
from netsurgery.formats.weights import open_weights
from netsurgery.net.net import NetDefinition
from netsurgery.net.state import NetState
from netsurgery.surgery.convolution.plan import ConvolutionPlan, plan_convolution
from netsurgery.verbs.convert import convert

#: Messages are compared as the command words them.
pytestmark = pytest.mark.usefixtures("option_names")

INPUT = 'input: "c" input_shape { dim: [1, 2, 5, 6] }\n'
WINDOW = "convolution_param { num_output: 3 kernel_size: 3 %s }"


def layer(kind: str, bottom: str, top: str, more: str = "") -> str:
    bottoms = " ".join(f'bottom: "{b}"' for b in bottom.split())
    return f'layer {{ name: "{top}" type: "{kind}" {bottoms} top: "{top}" {more} }}\n'


def fc(name: str, bottom: str, more: str = "", param: str = "") -> str:
    return layer(
        "InnerProduct", bottom, name, f"{param} inner_product_param {{ num_output: 4 {more} }}"
    )


#: d is 3 x 3 x 4.
CONV = layer("Convolution", "c", "d", WINDOW % "")
FLAT = layer("Flatten", "c", "f") + layer("Flatten", "d", "g")
HEAD = INPUT + CONV + FLAT + layer("Concat", "f g", "h")


def plan(text: str, **options: object) -> ConvolutionPlan:
    return plan_convolution(NetDefinition.of(Prototxt.parse(text, "n.prototxt")), **options)  # type: ignore[arg-type]


AUTHORS = HEAD + (
    "layer {\n"
    "  name: 'fc'   # the classifier\n"
    "  type: 'InnerProduct' bottom: 'h' top: 'fc'\n"
    "  param { lr_mult: 1 }\n"
    "  param { lr_mult: 2 }\n"
    "  include { phase: TEST }\n"
    "  inner_product_param {\n"
    "    num_output: 4\n"
    "    axis: -1\n"
    "    transpose: true\n"
    "    bias_filler { type: 'constant' }\n"
    "  }\n"
    "}\n"
    'layer { name: "p" type: "Softmax" bottom: "fc" top: "p" }\n'
)


def test_the_text_of_a_split_layer() -> None:
    planned = plan(AUTHORS)
    lines = difflib.unified_diff(AUTHORS.splitlines(), planned.text.splitlines(), n=0)
    shown = [line for line in lines if line[0] in "+-" and line[:3] not in ("+++", "---")]
    assert shown[2:] == [
        '-layer { name: "f" type: "Flatten" bottom: "c" top: "f"  }',
        '-layer { name: "g" type: "Flatten" bottom: "d" top: "g"  }',
        '-layer { name: "h" type: "Concat" bottom: "f" bottom: "g" top: "h"  }',
        "-  name: 'fc'   # the classifier",
        "-  type: 'InnerProduct' bottom: 'h' top: 'fc'",
        "+  name: 'fc-conv_1'   # the classifier",
        "+  type: 'Convolution' bottom: 'c' top: 'fc-conv_1'",
        "-  inner_product_param {",
        "+  convolution_param {",
        "-    axis: -1",
        "-    transpose: true",
        "+    kernel_h: 5",
        "+    kernel_w: 6",
        "+    axis: 1",
        '-layer { name: "p" type: "Softmax" bottom: "fc" top: "p" }',
        "+layer {",
        "+  name: 'fc-conv_2'   # the classifier",
        "+  type: 'Convolution' bottom: 'd' top: 'fc-conv_2'",
        "+  param { lr_mult: 1 }",
        "+  include { phase: TEST }",
        "+  convolution_param {",
        "+    num_output: 4",
        "+    kernel_h: 3",
        "+    kernel_w: 4",
        "+    bias_term: false",
        "+    axis: 1",
        "+  }",
        "+}",
        '+layer { name: "fc-conv" type: "Eltwise" bottom: "fc-conv_1" bottom: "fc-conv_2" '
        'top: "fc-conv" include { phase: TEST } eltwise_param { operation: SUM } }',
        '+layer { name: "p" type: "Softmax" bottom: "fc-conv" top: "p" }',
    ]
    assert planned.removed == ("f", "g", "h")
    assert planned.maps == {"p": (1, 4, 8, 8)}
    first, second = planned.moves
    assert (first.target, first.new) == ("fc-conv_1", ((4, 2, 5, 6), (4,)))
    assert (second.target, second.new) == ("fc-conv_2", ((4, 3, 3, 4),))
    assert (first.first, second.first) == (0, 60)


def test_a_top_of_another_name_keeps_it() -> None:
    text = HEAD + fc("fc", "h").replace('top: "fc"', 'top: "scores"')
    planned = plan(text, suffix="/dense")
    assert 'name: "fc/dense" type: "Eltwise"' in planned.text
    assert 'bottom: "fc/dense_1" bottom: "fc/dense_2" top: "scores"' in planned.text
    assert planned.maps == {"scores": (1, 4, 8, 8)}


def test_v1_is_answered_in_v1() -> None:
    text = (
        'input: "c" input_dim: 1 input_dim: 2 input_dim: 5 input_dim: 6\n'
        'layers { name: "d" type: CONVOLUTION bottom: "c" top: "d" convolution_param { '
        "num_output: 3 kernel_size: 3 } }\n"
        'layers { name: "f" type: FLATTEN bottom: "c" top: "f" }\n'
        'layers { name: "g" type: FLATTEN bottom: "d" top: "g" }\n'
        'layers { name: "h" type: CONCAT bottom: "f" bottom: "g" top: "h" }\n'
        'layers { name: "fc" type: INNER_PRODUCT bottom: "h" top: "fc" blobs_lr: 1 blobs_lr: 2 '
        "weight_decay: 1 weight_decay: 0 inner_product_param { num_output: 4 } }\n"
    )
    planned = plan(text)
    assert planned.text.count("type: CONVOLUTION") == 3
    assert 'type: ELTWISE bottom: "fc-conv_1" bottom: "fc-conv_2" top: "fc-conv"' in planned.text
    assert planned.text.count("blobs_lr") == planned.text.count("weight_decay") == 3


def test_crlf_stays_crlf() -> None:
    planned = plan(AUTHORS.replace("\n", "\r\n")).text
    assert planned.count("\n") == planned.count("\r\n") > 20


def test_strides_bring_the_maps_to_one_grid() -> None:
    coarse = layer("Convolution", "c", "d", WINDOW % "stride_h: 2 stride_w: 3")
    planned = plan(INPUT + coarse + FLAT + layer("Concat", "f g", "h") + fc("fc", "h"))
    first, second = planned.moves
    assert (first.stride, second.stride) == ((2, 3), (1, 1))
    assert "num_output: 4 kernel_h: 5 kernel_w: 6 stride_h: 2 stride_w: 3" in planned.text
    assert planned.inputs[0].new == (1, 2, 5 + 2 * 7, 6 + 3 * 7)
    assert planned.maps == {"fc-conv": (1, 4, 8, 8)}
    assert "inputs have to be larger by whole strides, or these maps part" in planned.notes
    rounded = layer("Pooling", "c", "d", "pooling_param { kernel_size: 2 stride: 2 }")
    text = INPUT + rounded + FLAT + layer("Concat", "f g", "h") + fc("fc", "h")
    message = "an input of 5x7 does not go through this net: .*'fc'"
    with pytest.raises(SurgeryError, match=message):
        plan(text, input_size=(5, 7))


def test_two_layers_may_split_one_join() -> None:
    planned = plan(HEAD + fc("a", "h") + fc("b", "h") + layer("Concat", "a b", "z"))
    assert [move.target for move in planned.moves] == [
        "a-conv_1",
        "a-conv_2",
        "b-conv_1",
        "b-conv_2",
    ]
    assert planned.maps == {"z": (1, 8, 8, 8)}


def test_a_split_may_stand_behind_another() -> None:
    again = layer("Flatten", "d", "k") + layer("Concat", "fc k", "m") + fc("last", "m")
    planned = plan(HEAD + fc("fc", "h") + again)
    assert len(planned.moves) == 4
    assert planned.maps == {"last-conv": (1, 4, 8, 8)}


@pytest.mark.parametrize(
    ("text", "what"),
    [
        (
            HEAD + layer("ReLU", "h", "h").replace('name: "h"', 'name: "r"') + fc("fc", "h"),
            "layer 'fc': its bottom 'h' is 1x96, made by layer 'r' (ReLU): no map; 'h': it joins "
            "maps of different sizes, and layer 'r' reads them joined",
        ),
        (
            HEAD + layer("Power", "h", "z") + fc("fc", "h"),
            "layer 'fc': its bottom 'h' is 1x96, made by layer 'h' (Concat): no map; it joins "
            "maps of different sizes, and layer 'z' reads them joined",
        ),
        (
            HEAD + fc("fc", "h") + layer("Power", "h", "z"),
            "layer 'h': it joins maps of different sizes, and layer 'z' reads them joined",
        ),
        (
            INPUT + fc("a", "c") + layer("Flatten", "c", "f") + layer("Concat", "a f", "h"),
            "layer 'h': it joins maps of different sizes",
        ),
        (
            HEAD + fc("fc", "h", param='param { name: "w" }'),
            "layer 'fc': its params are shared by name, and split it has others",
        ),
        (
            HEAD + fc("fc", "h", param="param: [{ lr_mult: 1 }, { lr_mult: 2 }]"),
            "layer 'fc': its params' fields are written as lists",
        ),
        (
            HEAD + layer("ReLU", "c", "c") + fc("fc", "h"),
            "layer 'fc': layer 'c' works in place on a map that it reads as it was before",
        ),
        (
            HEAD + fc("fc", "h") + layer("Power", "fc", "fc-conv_2"),
            "layer 'fc': a layer named 'fc-conv_2' is there already; try another --suffix",
        ),
        (
            INPUT
            + layer("Crop", "c c", "k", "crop_param { axis: 1 offset: 0 }")
            + layer("Reshape", "c", "d", "reshape_param { shape { dim: [0, 5, 4, 3] } }")
            + FLAT
            + layer("Concat", "f g", "h")
            + fc("fc", "h"),
            "layer 'fc': layer 'd' (Reshape) moves numbers from position to position before it, so "
            "no window slides over the input",
        ),
        (
            'input: "e" input_shape { dim: [1, 2, 4, 4] }\n'
            + INPUT
            + layer("Flatten", "c", "f")
            + layer("Flatten", "e", "g")
            + layer("Concat", "f g", "h")
            + fc("fc", "h"),
            "layer 'fc': its maps come from different inputs, so they lie on no one grid",
        ),
        (
            INPUT
            + layer("Python", "c", "d", 'python_param { module: "m" layer: "L" }')
            + FLAT
            + layer("Concat", "f g", "h")
            + fc("fc", "h"),
            "layer 'fc': layer 'd' (Python) moves numbers from position to position before it, so "
            "no window slides over the input",
        ),
    ],
)
def test_refusals(text: str, what: str) -> None:
    shapes = {"d": (1, 3, 3, 4)} if "Python" in text else None
    with pytest.raises(SurgeryError) as caught:
        plan(text, input_shapes=shapes)
    assert str(caught.value) == f"n.prototxt: {what}"


def test_a_split_that_is_refused_can_be_skipped() -> None:
    text = HEAD + layer("Power", "h", "z") + fc("fc", "h") + fc("other", "c")
    planned = plan(text, skip_refused=True)
    assert [move.layer for move in planned.moves] == ["other"]
    inputs = 'input: "e" input_shape { dim: [1, 2, 4, 4] }\n' + INPUT
    both = layer("Flatten", "c", "f") + layer("Flatten", "e", "g") + layer("Concat", "f g", "h")
    planned = plan(inputs + both + fc("fc", "h") + fc("other", "c"), skip_refused=True)
    assert [move.layer for move in planned.moves] == ["other"]
    assert "left as it is: layer 'fc': its maps come from different inputs" in planned.notes[0]


def test_a_join_that_nothing_converted_reads_stays() -> None:
    planned = plan(HEAD + fc("other", "c"))
    assert FLAT in planned.text
    assert planned.removed == ()


def test_a_layer_of_another_phase_reads_what_is_gone() -> None:
    train = layer("Power", "h", "z", "include { phase: TRAIN }")
    with pytest.raises(
        SurgeryError, match="layer 'fc': layer 'z', of another phase or stage, reads 'h'"
    ):
        plan(HEAD + train + fc("fc", "h"))
    net = NetDefinition.of(Prototxt.parse(HEAD + train + fc("fc", "c"), "n"), NetState())
    assert plan_convolution(net).removed == ()


@pytest.mark.parametrize("turned", [False, True])
@pytest.mark.parametrize("form", ["caffemodel", "h5"])
def test_every_branch_gets_its_columns(tmp_path: Path, form: str, turned: bool) -> None:
    random = np.random.default_rng(1)
    first, second, bias = (
        random.standard_normal(shape).astype("<f4") for shape in ((4, 2, 5, 6), (4, 3, 3, 4), (4,))
    )
    convolution = random.standard_normal((3, 2, 3, 3)).astype("<f4"), bias[:3]
    # The second map is flattened rows first.
    columns = [first.reshape(4, -1), second.transpose(0, 2, 3, 1).reshape(4, -1)]
    weight = np.concatenate(columns, axis=1)
    weight = np.ascontiguousarray(weight.T) if turned else weight
    permuted = layer("Permute", "d", "e", "permute_param { order: [0, 2, 3, 1] }")
    flat = layer("Flatten", "c", "f") + layer("Flatten", "e", "g") + layer("Concat", "f g", "h")
    prototxt = tmp_path / "net.prototxt"
    more = "transpose: true" if turned else ""
    prototxt.write_text(INPUT + CONV + permuted + flat + fc("fc", "h", more))
    model = tmp_path / f"m.caffemodel{'' if form == 'caffemodel' else '.h5'}"
    if form == "h5":
        write_hdf5(model, d=convolution, fc=(weight, bias))
    else:
        layers = (("d", "Convolution", *convolution), ("fc", "InnerProduct", weight, bias))
        write_model(model, *(model_layer(*layer_) for layer_ in layers))
    conversion = convert(
        prototxt,
        model,
        tmp_path / "out",
        engine=EngineOptions(choice="embedded"),
        verify=True,
    )
    with open_weights(conversion.paths.weights) as written:
        stored = {layer_.name: [blob.numpy() for blob in layer_.blobs] for layer_ in written.layers}
    assert [values.tobytes() for values in stored["fc-conv_1"]] == [first.tobytes(), bias.tobytes()]
    assert [values.tobytes() for values in stored["fc-conv_2"]] == [second.tobytes()]
    assert stored["fc-conv_2"][0].shape == (4, 3, 3, 4)
    assert "fc" not in stored
    # The first Convolution alone takes the bias, and the report says so.
    wide = list(weight.shape)
    moved = [
        [(param["shape"], param["new_shape"]) for param in part["params"]]
        for part in conversion.to_json()["layers"]
    ]
    assert moved == [
        [(wide, [4, 2, 5, 6]), ([4], [4])],
        [(wide, [4, 3, 3, 4])],
    ]


def test_a_map_made_of_one_cell_lies_on_no_grid() -> None:
    """All its cells look at one place, so its stride is 0."""
    window = "convolution_param { num_output: 1 kernel_h: 3 kernel_w: 4 }"
    cell = layer("Convolution", "d", "one", window)
    cell += layer("Interp", "one", "e", "interp_param { height: 2 width: 1 }")
    join = layer("Flatten", "e", "i") + layer("Concat", "g i", "h")
    with pytest.raises(SurgeryError, match="the total stride of 'i' is not known, so its maps"):
        plan(INPUT + CONV + layer("Flatten", "d", "g") + cell + join + fc("fc", "h"))
