"""Global poolings however they are written, and gates: what convert does with them."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

import netsurgery as ns
from netsurgery.errors import NetsurgeryError, SurgeryError
from netsurgery.formats.prototxt import Prototxt
from netsurgery.net.net import NetDefinition
from netsurgery.surgery.convolution.plan import ConvolutionPlan, plan_convolution

INPUT = 'input: "data" input_shape { dim: [1, 2, 12, 14] }\n'
CONV = 'layer { name: "c" type: "Convolution" bottom: "data" top: "c" convolution_param {' + (
    " num_output: 4 kernel_size: 3 stride: 2 } }\n"
)  # 4 x 5 x 6


def layer(kind: str, bottom: str, top: str, more: str = "") -> str:
    bottoms = " ".join(f'bottom: "{b}"' for b in bottom.split())
    return f'layer {{ name: "{kind}-{top}" type: "{kind}" {bottoms} top: "{top}" {more} }}\n'


def pool(param: str, bottom: str = "c", top: str = "p") -> str:
    return layer("Pooling", bottom, top, f"pooling_param {{ {param} }}")


def fc(name: str, bottom: str, outputs: int = 3, more: str = "") -> str:
    param = f"inner_product_param {{ num_output: {outputs} {more} }}"
    return layer("InnerProduct", bottom, name, param).replace(f"InnerProduct-{name}", name)


def plan(text: str, **options: object) -> ConvolutionPlan:
    return plan_convolution(NetDefinition.of(Prototxt.parse(INPUT + text, "n.prototxt")), **options)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("written", "becomes"),
    [
        ("pool: AVE global_pooling: true", "pool: AVE kernel_h: 5 kernel_w: 6"),
        (
            "pool: AVE kernel_h: 5 kernel_w: 6 stride_h: 5 stride_w: 6",
            "pool: AVE kernel_h: 5 kernel_w: 6 stride_h: 1 stride_w: 1",
        ),
        ("kernel_h: 5 kernel_w: 6 stride: 6", "kernel_h: 5 kernel_w: 6 stride: 1"),
        ("kernel_size: 6 stride: 6 pool: AVE", "kernel_h: 5 kernel_w: 6 stride: 1 pool: AVE"),
        ("kernel_h: 7 kernel_w: 6 stride: 9", "kernel_h: 5 kernel_w: 6 stride: 1"),
    ],
)
def test_a_pooling_over_the_whole_map_becomes_a_window(written: str, becomes: str) -> None:
    planned = plan(CONV + pool(written) + fc("fc", "p"))
    assert f"pooling_param {{ {becomes} }}" in planned.text
    assert planned.windows == {"Pooling-p": (5, 6)}
    assert planned.inputs[0].stride == (Fraction(2), Fraction(2))
    assert planned.maps == {"fc-conv": (1, 3, 8, 8)}


@pytest.mark.parametrize(
    ("written", "map_size"),
    [
        ("kernel_h: 5 kernel_w: 6", (8, 8)),  # slides already
        ("kernel_h: 5 kernel_w: 6 stride: 3", (8, 8)),  # does not move by all of it
        ("kernel_size: 3 stride: 3", (8, 8)),
    ],
)
def test_other_poolings_stay_as_they_are(written: str, map_size: tuple[int, int]) -> None:
    planned = plan(CONV + pool(written) + fc("fc", "p"))
    assert f"pooling_param {{ {written} }}" in planned.text
    assert planned.windows == {}
    assert planned.maps == {"fc-conv": (1, 3, *map_size)}


def test_kept_global_poolings_are_kept_however_they_are_written() -> None:
    written = pool("kernel_h: 5 kernel_w: 6 stride: 6")
    planned = plan(CONV + written + fc("fc", "p"), keep_global_pooling=True)
    assert written in planned.text


MEAN = "reduction_param { operation: MEAN axis: 2 }"


@pytest.mark.parametrize(
    ("written", "becomes"),
    [
        (MEAN, "pooling_param { pool: AVE kernel_h: 5 kernel_w: 6 }"),
        (
            "reduction_param { axis: -2  # over all\n coeff: 1.0 operation: MEAN }",
            "pooling_param { kernel_h: 5 kernel_w: 6  # over all\n pool: AVE }",
        ),
    ],
)
def test_a_mean_over_the_map_becomes_a_window(written: str, becomes: str) -> None:
    planned = plan(CONV + layer("Reduction", "c", "p", written) + fc("fc", "p"))
    assert f'type: "Pooling" bottom: "c" top: "p" {becomes}' in planned.text
    assert planned.windows == {"Reduction-p": (5, 6)}
    assert planned.moves[0].new[0] == (3, 4, 1, 1)
    assert planned.maps == {"fc-conv": (1, 3, 8, 8)}
    assert "Reduction 'Reduction-p', the mean over a map, becomes a Pooling" in planned.notes


def test_a_net_that_ends_in_a_mean_is_converted() -> None:
    planned = plan(CONV + layer("Reduction", "c", "p", MEAN) + layer("Softmax", "p", "q"))
    assert planned.maps == {"q": (1, 4, 8, 8)}


def test_a_mean_that_is_kept_is_a_global_pooling() -> None:
    text = CONV + layer("Reduction", "c", "p", MEAN) + fc("fc", "p")
    planned = plan(text, keep_global_pooling=True)
    assert "pooling_param { pool: AVE global_pooling: true }" in planned.text
    assert planned.windows == {}
    assert planned.moves[0].new[0] == (3, 4, 1, 1)


@pytest.mark.parametrize(
    "param",
    [
        "operation: SUM axis: 2",
        "operation: MEAN axis: 2 coeff: 2",
        "operation: MEAN axis: 1",
        "operation: MEAN axis: 3",
    ],
)
def test_other_reductions_are_none(param: str) -> None:
    text = CONV + layer("Reduction", "c", "p", f"reduction_param {{ {param} }}") + fc("fc", "p")
    with pytest.raises(NetsurgeryError, match="layer 'fc'"):
        plan(text)


# What gates a map.
GATE = (
    pool("pool: AVE global_pooling: true", top="g")
    + fc("g1", "g", 2)
    + layer("ReLU", "g1", "g1")
    + fc("g2", "g1", 4)
    + layer("Sigmoid", "g2", "g2")
)
SCALE = layer("Scale", "c g2", "s", "scale_param { axis: 0 }")
AXPY = layer("Axpy", "g2 c c", "s")
END = pool("pool: AVE global_pooling: true", "s", "p") + fc("fc", "p")


ROW = "reshape_param { shape { dim: [0, 4, 1, 1] } }"
BACK = layer("Reshape", "g2", "r", ROW) + AXPY.replace('"g2"', '"r"')


@pytest.mark.parametrize("reader", [SCALE, AXPY, BACK])
def test_inner_products_of_a_gate_stay(reader: str) -> None:
    planned = plan(CONV + GATE + reader + END)
    assert [move.layer for move in planned.moves] == ["fc"]
    assert GATE in planned.text
    assert planned.windows == {"Pooling-p": (5, 6)}
    assert planned.maps == {"fc-conv": (1, 3, 8, 8)}
    kind = reader.splitlines()[-1].split('"')[1]
    assert (
        f"InnerProduct 'g1' and 'g2' stay: what comes of it scales a map in layer {kind!r}, and "
        "classifies nothing"
    ) in planned.notes


def test_a_gate_of_a_mean_stays_a_reduction() -> None:
    gate = GATE.replace(
        pool("pool: AVE global_pooling: true", top="g"), layer("Reduction", "c", "g", MEAN)
    )
    planned = plan(CONV + gate + SCALE + END)
    assert gate in planned.text
    assert [move.layer for move in planned.moves] == ["fc"]


def test_gates_behind_gates_stay_each() -> None:
    second = GATE.replace('"g', '"h').replace('"c"', '"s"').replace("-g", "-h")
    scale = SCALE.replace('"c"', '"s"').replace('"g2"', '"h2"').replace('"s" ', '"s" ')
    scale = layer("Scale", "s h2", "t", "scale_param { axis: 0 }")
    planned = plan(CONV + GATE + SCALE + second + scale + END.replace('"s"', '"t"'))
    assert [move.layer for move in planned.moves] == ["fc"]
    assert len([note for note in planned.notes if note.startswith("InnerProduct")]) == 2


def test_an_inner_product_that_gates_and_classifies_is_no_gate_alone() -> None:
    with pytest.raises(SurgeryError, match="layer 'Scale-s': a Scale of two bottoms"):
        plan(CONV + GATE + layer("Softmax", "g2", "classes") + SCALE + END)


def test_an_inner_product_over_the_map_itself_is_no_gate_that_can_stay() -> None:
    """It could not look at a larger one."""
    gate = fc("g1", "c", 2) + fc("g2", "g1", 4)
    with pytest.raises(SurgeryError, match="layer 'Scale-s': a Scale of two bottoms"):
        plan(CONV + gate + SCALE + END)


def test_a_layer_of_a_gate_that_is_named_is_taken_at_its_word() -> None:
    with pytest.raises(SurgeryError, match="layer 'Scale-s': a Scale of two bottoms"):
        plan(CONV + GATE + SCALE + END, layers=["g2", "fc"])


def test_a_gate_is_the_first_reason_why_cells_are_no_windows(tmp_path: Path) -> None:
    """It changes every cell, where padding changes those at a window's edge."""
    prototxt, model = tmp_path / "n.prototxt", tmp_path / "n.caffemodel"
    padded = CONV.replace("stride: 2", "stride: 2 pad: 1")
    prototxt.write_text(INPUT + padded + GATE + SCALE + END)
    with ns.init(prototxt, seed=1) as filled:
        for params in filled.net.params.values():
            params[0][...] = np.random.default_rng(2).standard_normal(params[0].shape)
        filled.net.save(model)
    result = ns.convert(prototxt, model, tmp_path / "o", engine="embedded", verify=True)
    assert result.verification is not None
    (compared,) = result.verification.maps
    first, *others = compared.check.reasons
    assert first == "a layer looks at the whole map at once"
    assert others[0] == "'c' pads by 1"


PERMUTE = layer("Permute", "c", "m", "permute_param { order: [0, 3, 2, 1] }")


def test_no_window_is_opened_where_no_inner_product_could_slide() -> None:
    mixed = PERMUTE + layer("Convolution", "m", "d", "convolution_param { num_output: 2 pad: 1 "
                            "kernel_size: 3 }")  # fmt: skip
    text = CONV + mixed + pool("global_pooling: true", "d")
    message = (
        r"layer 'Pooling-p': layer 'Permute-m' \(Permute\) moves numbers from position to position "
        "before it, so no window slides over the input"
    )
    with pytest.raises(SurgeryError, match=message):
        plan(text)
    with pytest.raises(SurgeryError, match=message) as caught:
        plan(text + fc("fc", "p"))
    assert "'fc'" not in str(caught.value)  # one cause, said once
    both = text + fc("fc", "p") + fc("other", "c")
    planned = plan(both, skip_refused=True)
    assert [move.layer for move in planned.moves] == ["other"]
    assert "global_pooling: true" in planned.text
    assert any("left as it is: layer 'Pooling-p'" in note for note in planned.notes)


@pytest.mark.parametrize(
    ("text", "what"),
    [
        (
            CONV + fc("fc", "c", more="\nnormalize: true"),
            "layer 'fc': has a field normalize (line 4), which Caffe 1.0 does not know, nor what "
            "it makes of a Convolution",
        ),
        (
            CONV + fc("fc", "c") + fc("two", "fc", more="normalize: true"),
            "layer 'two': has a field normalize (line 4), which Caffe 1.0 does not know, nor what "
            "it makes of a Convolution",
        ),
        (
            CONV + fc("fc", "c") + layer("Softmax", "fc", "p", "softmax_param { hot: 1 }"),
            "layer 'Softmax-p': has a field hot (line 4), which Caffe 1.0 does not know",
        ),
    ],
)
def test_a_field_that_nobody_knows_is_no_license(text: str, what: str) -> None:
    with pytest.raises(SurgeryError) as caught:
        plan(text)
    assert str(caught.value) == f"n.prototxt: {what}"


def test_a_field_that_nobody_knows_bars_what_slides_behind_it() -> None:
    """Named by shape inference or by convert, it is the layer and its field that are named."""
    relu = layer("ReLU", "c", "r", "relu_param { strange: 1 }")
    for behind in (fc("fc", "r"), pool("global_pooling: true", "r")):
        with pytest.raises(SurgeryError, match=r"'ReLU-r'.*strange"):
            plan(CONV + relu + behind)


def test_a_field_that_nobody_knows_elsewhere_stops_nothing() -> None:
    beside = layer("ReLU", "fc", "r", "relu_param { }") + layer(
        "Power", "data", "q", "power_param { strange: 1 }"
    )
    planned = plan(CONV + fc("fc", "c") + beside)
    assert [move.layer for move in planned.moves] == ["fc"]


def test_a_gate_that_does_not_fit_a_larger_map_is_refused() -> None:
    """A pooling over the window that the whole map was gives several cells there."""
    gate = pool("pool: AVE kernel_h: 5 kernel_w: 6 stride_h: 5 stride_w: 6", top="g")
    gate += layer("Flatten", "g", "row") + layer("Scale", "c row", "s", "scale_param { axis: 0 }")
    with pytest.raises(SurgeryError, match="from axis 0 on its first bottom is 1x4, its second"):
        plan(CONV + gate + END, map_size=(4, 4))


@pytest.mark.parametrize(
    "pooling",
    [
        pool("pool: AVE kernel_h: 7 kernel_w: 8 stride: 8 pad: 1"),
        pool("kernel_h: 5 kernel_w: 6 stride: 6").replace('top: "p"', 'top: "p" top: "mask"'),
    ],
)
def test_a_padded_pooling_and_one_with_a_mask_become_no_window(pooling: str) -> None:
    """The padding counts in a mean, and a mask's numbers are places in the map as it was."""
    planned = plan(CONV + pooling + fc("fc", "p"))
    assert planned.windows == {}
    assert pooling in planned.text
