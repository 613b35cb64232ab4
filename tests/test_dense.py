"""Nets with finer maps: the text, what is refused, drawn nets, and shift and stitch."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from finer_maps import agreement
from hypothesis import assume, given, settings
from hypothesis import strategies as st

import netsurgery as ns
from netsurgery.cli import run
from netsurgery.engines.contract import EngineOptions
from netsurgery.engines.ort import EmbeddedEngine, open_engine
from netsurgery.formats.prototxt import Prototxt
from netsurgery.io.wording import naming_options
from netsurgery.net.field import fields
from netsurgery.net.finer import finer_strides
from netsurgery.net.net import NetDefinition
from netsurgery.net.shapes import infer
from netsurgery.surgery.dense.plan import plan_dense
from netsurgery.verbs.verify_result import MapDifference

NET, MODEL = "prototxt/digits_deploy.prototxt", "models/digits/digits.caffemodel"
CANVAS = "examples/digits_canvas.png"
WITHIN = 1e-5


def net(*layers: str, side: int = 40) -> NetDefinition:
    text = f'input: "x" input_shape {{ dim: [1, 2, {side}, {side}] }}\n'
    return NetDefinition.of(Prototxt.parse(text + "\n".join(layers)))


def layer(kind: str, top: str, bottom: str, param: str = "") -> str:
    bottoms = " ".join(f'bottom: "{name}"' for name in bottom.split())
    return f'layer {{ name: "{top}" type: "{kind}" {bottoms} top: "{top}" {param} }}'


def conv(top: str, bottom: str, window: str, more: str = "") -> str:
    filler = 'weight_filler { type: "gaussian" std: 0.5 }'
    return layer(
        "Convolution", top, bottom,
        f"convolution_param {{ num_output: 2 {window} {filler} {more} }}",
    )  # fmt: skip


def pool(top: str, bottom: str, window: str, how: str = "MAX") -> str:
    return layer("Pooling", top, bottom, f"pooling_param {{ pool: {how} {window} }}")


FIRST = conv("c1", "x", "kernel_size: 3 stride: 2")


def refusals(*layers: str, stride: int = 1) -> str:
    with pytest.raises(ns.SurgeryError) as info:
        plan_dense(net(*layers), stride)
    return str(info.value)


@pytest.mark.parametrize(
    ("window", "new", "last"),
    [
        ("kernel_size: 3", "", "dilation: 2"),
        ("kernel_size: 3 dilation: 3", "kernel_size: 3 dilation: 6", ""),
        ("kernel_size: 3 pad: 1", "kernel_size: 3 pad: 2", "dilation: 2"),
        ("kernel_h: 3 kernel_w: 1 pad_h: 1 pad_w: 0", "kernel_h: 3 kernel_w: 1 pad_h: 2 pad_w: 0",
         "dilation: 2 dilation: 1"),
        ("kernel_size: [3, 3] pad: [1, 2]", "kernel_size: [3, 3] pad: [2, 4]", "dilation: 2"),
        ("kernel_size: 3 stride: 2", "kernel_size: 3 stride: 1", "dilation: 2"),
        ("kernel_size: 3 hole: 2", "kernel_size: 3 hole: 4", ""),
        ("kernel_h: 3 kernel_w: 1 hole: 2", "kernel_h: 3 kernel_w: 1 hole_h: 4 hole_w: 2", ""),
        ("kernel_size: 3 engine: CUDNN", "kernel_size: 3 engine: CAFFE", "dilation: 2"),
        ("kernel_size: 1 engine: CUDNN", "", ""),
    ],
)  # fmt: skip
def test_a_window_in_its_authors_spelling(window: str, new: str, last: str) -> None:
    """Only the numbers that change are touched; what is new stands last."""
    old = conv("c2", "c1", window, "# a comment\n")
    filler = 'weight_filler { type: "gaussian" std: 0.5 }'
    expected = old.replace(window, new or window)
    if last:
        expected = expected.replace(f"{filler} #", f"{filler} {last} #")
    plan = plan_dense(net(FIRST, old), 1)
    assert plan.text == net(FIRST.replace("stride: 2", "stride: 1"), expected).prototxt.text


def test_a_stride_of_two_sides_becomes_two_numbers() -> None:
    old = conv("c2", "c1", "kernel_size: 3 stride: 2")
    wide = conv("c2", "c1", "kernel_size: 3 stride_h: 2 stride_w: 1")
    text = plan_dense(net(FIRST, wide), 2).text
    assert text == net(FIRST, wide.replace("stride_h: 2", "stride_h: 1")).prototxt.text
    first = FIRST.replace("stride: 2", "stride_h: 1 stride_w: 2")
    text = plan_dense(net(first, old), 2).text
    assert "kernel_size: 3 stride_h: 2 stride_w: 1 " in text


def test_a_pooling_with_gaps_is_crops_under_its_own_name() -> None:
    rules = "include { phase: TEST } # kept\n"
    pooling = pool("p", "c1", "kernel_size: 3").replace("top:", f"{rules} top:")
    taken = conv("p_rows", "p", "kernel_size: 1")
    plan = plan_dense(net(FIRST, pooling, taken), 1)
    names = [each.name for each in plan.new.layers]
    assert len(set(names)) == len(names)
    assert names[-2:] == ["p", "p_rows"]
    assert "p_rows_3" in names  # p_rows and p_rows_2 are there already
    assert plan.text.count("include { phase: TEST }") == len(names) - 2
    assert plan.new.outputs == plan.net.outputs
    assert infer(plan.new).blobs["p"] == (1, 2, 34, 34)


@pytest.mark.parametrize(
    ("layers", "words"),
    [
        ((layer("InnerProduct", "fc", "c1", "inner_product_param { num_output: 2 }"),
          conv("c2", "c1", "kernel_size: 1")), "layer 'fc': InnerProduct looks at the whole map"),
        ((pool("p", "c1", "kernel_size: 3 pad: 1"),),
         "layer 'p': Pooling pads 'c1', which may be negative"),
        ((layer("ReLU", "r", "c1"), pool("q", "r", "kernel_size: 1 stride: 3"),
          pool("p", "q", "kernel_size: 3 pad: 1")),  # which is the lowest float beyond the map
         "layer 'p': Pooling pads 'q', which may be negative"),
        ((pool("p", "c1", "kernel_size: 3", "STOCHASTIC"),), "neither by MAX nor by AVE"),
        ((pool("p", "c1", "global_pooling: true"), layer("Flatten", "f", "p"),
          layer("Scale", "s", "c1 f", "scale_param { axis: 0 }")),
         "layer 'p': Pooling looks at the whole map"),
        ((layer("Deconvolution", "d", "c1", "convolution_param { num_output: 2 kernel_size: 2 }"),),
         "Deconvolution is of the kind 'spreading'"),
        ((layer("LRN", "l", "c1", "lrn_param { norm_region: WITHIN_CHANNEL }"),),
         "LRN slides a window that takes no dilation"),
        ((layer("DepthwiseConvolution", "d", "c1", "convolution_param { kernel_size: 3 }"),),
         "DepthwiseConvolution slides a window that takes no dilation"),
        ((layer("Slice", "d", "c1", 'top: "e" slice_param { axis: 2 slice_point: 4 }'),),
         "layer 'd': Slice cuts or joins rows or columns by numbers of the old map"),
        ((pool("p", "c1", "kernel_size: 2", "MAX").replace('top: "p"', 'top: "p" top: "m"'),),
         "gives the places of its maxima"),
    ],
)  # fmt: skip
def test_what_a_prototxt_cannot_say_is_named(layers: tuple[str, ...], words: str) -> None:
    assert words in refusals(FIRST, *layers)


def test_a_pooling_that_keeps_a_stride() -> None:
    """Of strides 3 and 2 the first alone goes for a map every 2 pixels."""
    first = FIRST.replace("stride: 2", "stride: 3")
    for kernel in (1, 2):
        said = refusals(first, pool("p", "c1", f"kernel_size: {kernel} stride: 2"), stride=2)
        assert "layer 'p': Pooling keeps a stride behind a map that becomes finer" in said
    assert (
        "stride: 2" in plan_dense(net(first, conv("c2", "c1", "kernel_size: 3 stride: 2")), 2).text
    )


def test_a_padded_pooling_where_zeros_are_neutral() -> None:
    """Behind a ReLU, whatever only moves or picks its numbers, and for any mean."""
    relu, moved = layer("ReLU", "r", "c1"), layer("Concat", "m", "r r")
    pooling = pool("p", "m", "kernel_size: 3 pad: 1")
    text = plan_dense(net(FIRST, relu, moved, pooling), 1).text
    assert "kernel_size: 1 pad_h: 2 pad_w: 2" in text
    assert (
        "Im2col" in plan_dense(net(FIRST, pool("p", "c1", "kernel_size: 3 pad: 1", "AVE")), 1).text
    )
    leaking = layer("ReLU", "r", "c1", "relu_param { negative_slope: 0.1 }")
    assert "layer 'p'" in refusals(FIRST, leaking, moved, pooling)
    subtracted = layer("Eltwise", "m", "r r", "eltwise_param { coeff: 1 coeff: -1 }")
    assert "layer 'p'" in refusals(FIRST, relu, subtracted, pooling)


def test_all_refusals_come_together() -> None:
    layers = (
        FIRST,
        pool("p", "c1", "kernel_size: 3 pad: 1"),
        pool("q", "p", "kernel_size: 2", "STOCHASTIC"),
    )
    said = refusals(*layers)
    assert "layer 'p'" in said
    assert "layer 'q'" in said
    assert said.count("`netsurgery classify-map` with stride does it at run time") == 2
    with naming_options():
        assert "`netsurgery classify-map` with --stride does it at run time" in refusals(*layers)


@pytest.mark.parametrize(
    ("stride", "words"),
    [
        (3, "stride=3: the total stride of 'c2' is 4 x 4; expected 2 or 1"),
        (4, "the total stride of 'c2' is 4 x 4; expected 2 or 1"),
        (8, "expected 2 or 1"),
    ],
)
def test_a_stride_that_cannot_be(stride: int, words: str) -> None:
    with pytest.raises(ns.NetError) as info:
        plan_dense(net(FIRST, conv("c2", "c1", "kernel_size: 3 stride: 2")), stride)
    assert words in str(info.value)


def test_a_classifier_is_converted_first(
    capsys: pytest.CaptureFixture[str], repo_root: Path
) -> None:
    assert run(["dense", str(repo_root / NET), "--stride", "2", "--dry-run"]) == 1
    assert "`netsurgery convert`" in capsys.readouterr().err


def test_a_net_of_2014_with_a_pooling_behind() -> None:
    text = """input: "x" input_dim: [1, 2, 40, 40]
    layers { name: "c" type: CONVOLUTION bottom: "x" top: "c"
      convolution_param { num_output: 2 kernel_size: 3 stride: 2 } }
    layers { name: "p" type: POOLING bottom: "c" top: "p" pooling_param { kernel_size: 2 } }"""
    with pytest.raises(ns.SurgeryError, match="`netsurgery upgrade` brings it up to date"):
        plan_dense(NetDefinition.of(Prototxt.parse(text)), 1)


def test_a_last_window_over_the_edge_is_said() -> None:
    layers = FIRST, pool("p", "c1", "kernel_size: 2 stride: 2"), conv("c2", "p", "kernel_size: 3")
    (note,) = plan_dense(net(*layers), 2).notes
    assert note.startswith("the last window of 'p' hung over the edge")
    assert plan_dense(net(*layers, side=41), 2).notes == ()


@pytest.mark.parametrize(("side", "cells"), [(40, 20), (41, 21)])
def test_a_stride_that_remains_may_keep_the_last_window(side: int, cells: int) -> None:
    """The 11th window begins at 40: of a stride of 2 one does where the map has 41 rows."""
    plan = plan_dense(net(pool("p", "x", "kernel_size: 2 stride: 4"), side=side), 2)
    assert (plan.maps[0].old[2], plan.maps[0].new[2]) == (11, cells)
    assert [note.partition("; ")[2].partition(":")[0] for note in plan.notes] == [
        "with stride 2 the last begins before it"
    ] * (side == 40)


# Drawn nets.

_MOVES = 4


@st.composite
def nets(draw: Any) -> tuple[str, tuple[int, int]]:
    """Windows that slide, one after another, perhaps with a branch; and the picture's size."""
    number = st.integers
    layers, last = [], "x"
    channels, uneven = 2, draw(number(0, 3)) == 0
    for index in range(draw(number(1, 3))):
        top, kernel = f"t{index}", draw(number(1, 4))
        first, second = draw(number(1 if index else 2, 3)), draw(number(1, 3))
        step = f"stride_h: {first} stride_w: {second}" if uneven else f"stride: {first}"
        window = f"kernel_size: {kernel} {step} pad: {draw(number(0, kernel - 1))}"
        kind = draw(st.sampled_from(["conv", "MAX", "AVE", "branch", *["relu"][:index]]))
        if kind == "conv":
            layers.append(conv(top, last, f"{window} dilation: {draw(number(1, 2))}"))
        elif kind == "relu":
            layers.append(layer("ReLU", top, last))
        elif kind == "branch":
            # Two ways of one stride, whose maps are of one size.
            layers += [conv(f"{top}a", last, f"kernel_size: 3 {step} pad: 1"),
                       conv(f"{top}b", last, f"kernel_size: 1 {step}"),
                       layer("Eltwise", top, f"{top}a {top}b")]  # fmt: skip
        else:
            pads = draw(st.booleans())
            if draw(st.booleans()):  # then zeros around it are no larger than it
                layers.append(layer("ReLU", f"{top}r", last))
                last = f"{top}r"
            # Windows smaller than their stride may see nothing at the edge: no number at all.
            window = window.replace(f"size: {kernel}", f"size: {max(kernel, first, second)}")
            layers.append(pool(top, last, window if pads else window.partition("pad")[0], kind))
        last = top
    size = draw(number(16, 32)), draw(number(16, 32))
    header = f'input: "x" input_shape {{ dim: [1, {channels}, {size[0]}, {size[1]}] }}\n'
    text = header + "\n".join(layers)
    try:
        shape = infer(NetDefinition.of(Prototxt.parse(text))).blobs[last]
    except ns.PrototxtError:
        assume(False)
        raise
    assume(min(shape[2:]) >= 2)
    return text, size


@pytest.fixture(scope="module")
def embedded() -> Any:
    with open_engine(EngineOptions(threads=1)) as engine:
        yield engine


def fits(net: NetDefinition, size: Sequence[int]) -> bool:
    """Whether the net takes a picture of that size."""
    try:
        infer(net, {"x": (1, 2, *size)})
    except ns.PrototxtError:
        return False
    return True


@settings(max_examples=40, deadline=None)
@given(drawn=nets(), data=st.data())
def test_drawn_nets_see_what_they_saw(
    embedded: EmbeddedEngine,
    tmp_path_factory: pytest.TempPathFactory,
    drawn: tuple[str, tuple[int, int]],
    data: st.DataObject,
) -> None:
    text, size = drawn
    old = NetDefinition.of(Prototxt.parse(text))
    (blob,) = old.outputs
    total = fields(old)[blob].stride
    # Of a few moves each way: the net is run once for every one.
    strides = [each for each in finer_strides(total) if max(total) <= _MOVES * each]
    assume(strides)
    stride = data.draw(st.sampled_from(strides))
    moved = [side - int(step - stride) for side, step in zip(size, total, strict=True)]
    assume(fits(old, moved))
    try:
        plan = plan_dense(old, stride)
    except ns.SurgeryError:  # padded poolings
        return
    folder = tmp_path_factory.mktemp("drawn")
    (folder / "net.prototxt").write_text(text)
    ns.init(folder / "net.prototxt", folder / "w.caffemodel", seed=1)
    weights = folder / "w.caffemodel"
    image = np.random.default_rng(0).uniform(-1, 1, (1, 2, *size)).astype(np.float32)
    with embedded.load(old, weights) as before, embedded.load(plan.new, weights) as after:
        result = agreement((old, before), (plan.new, after), image, blob)
    assert result.inside <= WITHIN
    if not plan.edge_notes:
        assert result.old_cells <= WITHIN


@settings(max_examples=60, deadline=None)
@given(drawn=nets())
def test_step_by_step_or_at_once_is_one_text(drawn: tuple[str, tuple[int, int]]) -> None:
    """A net that was made finer is made finer still: crops and dilations move along."""
    old = NetDefinition.of(Prototxt.parse(drawn[0]))
    (blob,) = old.outputs
    strides = finer_strides(fields(old)[blob].stride)
    steps = [(a, b) for a in strides for b in strides if a > b and a % b == 0]
    for first, second in steps:
        try:
            at_once, step = plan_dense(old, second), plan_dense(old, first)
        except ns.SurgeryError:  # padded poolings, and those that keep a stride
            continue
        assert plan_dense(step.new, second).text == at_once.text


def test_crops_move_with_their_cells() -> None:
    """In the second step the pooling is crops already, which an author might have written."""
    layers = [
        FIRST,
        conv("c2", "c1", "kernel_size: 1 stride: 2"),
        layer("ReLU", "r", "c2"),
        pool("p", "r", "kernel_size: 3 pad: 1"),
        pool("q", "p", "kernel_size: 2", "AVE"),
    ]
    step = plan_dense(net(*layers), 2)
    plan = plan_dense(step.new, 1)
    assert plan.text == plan_dense(net(*layers), 1).text
    what = {each.name: each.what for each in plan.layers}
    assert what["p_rows_slice"] == "slice_point 4 becomes 8"
    assert what["p_rows_1"] == "offset 2 becomes 4"
    assert what["p_padded"] == "pad 2 becomes 4"
    assert "p_rows_0" not in what  # it begins at 0


@pytest.mark.parametrize(
    ("layers", "words"),
    [
        # What the Slice gives first is read: its rows would be others.
        ((layer("Slice", "s", "c1", 'top: "t" slice_param { axis: 2 slice_point: 4 }'),
          conv("c2", "s", "kernel_size: 1"), conv("c3", "t", "kernel_size: 1")),
         "layer 's': Slice cuts or joins rows or columns"),
        ((conv("d", "x", "kernel_size: 5 stride: 1"), layer("Crop", "k", "c1 d2", "")),
         "layer 'k': Crop cuts a map to the size of one of another stride"),
    ],
)  # fmt: skip
def test_cuts_that_cannot_move(layers: tuple[str, ...], words: str) -> None:
    beside = conv("d2", "x", "kernel_size: 3 stride: 4")
    assert words in refusals(FIRST, beside, *layers)


# Shift and stitch.


@pytest.fixture(scope="module")
def converted(repo_root: Path) -> Any:
    with ns.convert(repo_root / NET, repo_root / MODEL, input_size=(88, 120)).net as opened:
        yield opened


@pytest.mark.parametrize("stride", [4, 2, 1])
def test_shift_and_stitch_is_the_surgerys_map(
    converted: ns.Net, stride: int, repo_root: Path
) -> None:
    stitched = ns.classify_map(repo_root / CANVAS, net=converted, stride=stride, engine="embedded")
    with ns.dense(converted, stride=stride).net as finer:
        class_map = ns.classify_map(repo_root / CANVAS, net=finer, engine="embedded")
    rows, columns = class_map.shape
    assert (rows, columns) == ((88 - 32) // stride + 1, (120 - 32) // stride + 1)
    np.testing.assert_allclose(
        stitched.values[:, :rows, :columns], class_map.values, rtol=0, atol=WITHIN
    )
    windows, of_stitched = class_map.windows(), stitched.windows()
    assert windows is not None
    assert of_stitched is not None
    np.testing.assert_array_equal(of_stitched[:rows, :columns], windows)
    assert stitched.notes["stride"].startswith(f"the net was run {(8 // stride) ** 2} times")


def test_every_stitched_cell_is_the_net_on_the_moved_picture(
    converted: ns.Net, repo_root: Path
) -> None:
    """Also where a padded pooling cannot be written; and in tiles."""
    text = """input: "x" input_shape { dim: [1, 1, 60, 61] }
    layer { name: "c" type: "Convolution" bottom: "x" top: "c"
      convolution_param { num_output: 2 kernel_size: 3 stride: 2 pad: 1 } }
    layer { name: "p" type: "Pooling" bottom: "c" top: "p"
      pooling_param { kernel_size: 3 pad: 1 stride: 2 } }"""
    Path("net.prototxt").write_text(text)
    ns.init("net.prototxt", "w.caffemodel")
    pixels = np.random.default_rng(0).uniform(0, 1, (60, 61)).astype(np.float32)
    settings_ = ns.Settings("net.prototxt", "w.caffemodel")
    class_map = ns.classify_map(pixels, settings_, stride=2, engine="embedded")
    tiled = ns.classify_map(
        pixels, settings_, stride=2, engine="embedded", size=ns.PictureOptions(tile=40)
    )
    np.testing.assert_allclose(tiled.values, class_map.values, rtol=0, atol=WITHIN)
    with ns.Net("net.prototxt", "w.caffemodel", engine="embedded") as opened:
        for row in range(2):
            for column in range(2):
                part = np.ascontiguousarray(pixels[2 * row :, 2 * column :])
                expected = opened.forward({"x": part[None, None]})["p"][0]
                ours = class_map.values[:, row::2, column::2]
                np.testing.assert_array_equal(ours, expected[:, : ours.shape[1], : ours.shape[2]])
                assert ours.size


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_a_stride_that_a_map_cannot_have(converted: ns.Net, repo_root: Path) -> None:
    with pytest.raises(ns.NetError, match="stride=3: the total stride of 'prob' is 8 x 8"):
        ns.classify_map(repo_root / CANVAS, net=converted, stride=3, engine="embedded")


def test_the_maps_are_whole_on_a_narrow_terminal(converted: ns.Net) -> None:
    """A cell that is cut in its middle would lose the new size."""
    with ns.dense(converted, stride=2) as result:
        *_, last = result.table().lines(80)
        assert last.split(None, 1) == [
            "prob", "map of 8x12 becomes 29x45, stride 8 x 8 becomes 2 x 2",
        ]  # fmt: skip


def test_a_conversion_with_a_finer_map(repo_root: Path) -> None:
    pair = repo_root / NET, repo_root / MODEL
    with ns.convert(*pair, stride=2) as result:
        assert result.plan.maps == {"prob": (1, 11, 29, 29)}
        verification = result.verify()
    (*_, checked) = verification.maps
    assert isinstance(checked, MapDifference)
    assert (checked.compared, checked.agreeing) == (841, 841)
    with ns.convert(*pair, stride=2, map_size=(8, 12)) as result:
        assert result.plan.maps == {"prob": (1, 11, 8, 12)}
        assert result.plan.inputs[0].new == (1, 1, 46, 54)
        assert result.to_json()["inputs"][0]["stride"] == [2.0, 2.0]
