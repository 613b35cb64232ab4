"""Tiles of a large input, against the whole: what they give, and which nets have none.

The weights and pixels of drawn nets are small whole numbers, so that every sum is exact in whatever
order it is added up: tiles have to give the very numbers of the whole.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import chain
from math import prod
from pathlib import Path

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from small_models import model_layer, write_model

from netsurgery.engines.contract import Engine, EngineOptions, LoadedNet
from netsurgery.engines.ort import EmbeddedEngine, open_engine
from netsurgery.engines.pycaffe import PycaffeEngine
from netsurgery.errors import PrototxtError
from netsurgery.formats.prototxt import Prototxt
from netsurgery.maps.tile_runs import cutter, run_tiles
from netsurgery.maps.tile_store import in_memory
from netsurgery.net.field import fields
from netsurgery.net.net import NetDefinition
from netsurgery.net.shapes import infer
from netsurgery.net.tiles import EXACT_CELLS, TilePlan, Tiling
from netsurgery.net.tiling import Untileable, find_tiling
from netsurgery.net.windows import pool_window

Array = NDArray[np.float32]
Size = tuple[int, int]

#: The input that prototxts declare here.
DECLARED = (1, 2, 24, 24)


@pytest.fixture(scope="module")
def engine() -> Iterator[EmbeddedEngine]:
    with open_engine(EngineOptions(threads=1)) as opened:
        yield opened


def layer(kind: str, top: str, bottoms: str, param: str = "") -> str:
    reads = "".join(f' bottom: "{bottom}"' for bottom in bottoms.split())
    return f'layer {{ name: "{top}" type: "{kind}"{reads} top: "{top}" {param} }}\n'


def conv(top: str, bottom: str, rest: str, kind: str = "Convolution") -> str:
    return layer(kind, top, bottom, f"convolution_param {{ num_output: 2 {rest} }}")


def pool(top: str, bottom: str, rest: str) -> str:
    return layer("Pooling", top, bottom, f"pooling_param {{ {rest} }}")


def net_of(text: str) -> NetDefinition:
    dims = ", ".join(map(str, DECLARED))
    return NetDefinition.of(Prototxt.parse(f'input: "x" input_shape {{ dim: [{dims}] }}\n{text}'))


@st.composite
def windows(draw: st.DrawFn, top: str, bottom: str) -> str:
    """A layer, or a few, whose cells see windows of the bottom; all its numbers stay whole."""
    kind = draw(st.sampled_from(("conv", "pool", "deconv", "join", "slice", "relu", "crop")))
    kernel, stride, pad = draw(st.integers(1, 4)), draw(st.integers(1, 3)), draw(st.integers(0, 3))
    if kind == "conv":
        dilation = draw(st.integers(1, 2))
        sides = f"kernel_h: {kernel} kernel_w: {draw(st.integers(1, 4))}"
        return conv(top, bottom, f"{sides} stride: {stride} pad: {pad} dilation: {dilation}")
    if kind == "pool":
        # What AVE divides by is a power of two, at the edges too.
        how = "AVE" if kernel == 2 and draw(st.booleans()) else "MAX"
        side = f"kernel_size: {kernel} stride: {stride} pad: {min(pad, kernel - 1)}"
        return pool(top, bottom, f"pool: {how} {side}")
    if kind == "deconv":
        side = f"kernel_size: {kernel} stride: {min(stride, 2)} pad: {min(pad, kernel - 1)}"
        return conv(top, bottom, side, "Deconvolution")
    if kind == "join":
        same = conv(f"{top}a", bottom, "kernel_size: 3 pad: 1")
        return same + layer("Eltwise", top, f"{top}a {bottom}")
    if kind == "crop":
        # What is cut off at the start has to be looked at all the same.
        larger = conv(f"{top}a", bottom, f"kernel_size: 1 pad: {pad + kernel}")
        where = f"crop_param {{ axis: 2 offset: {draw(st.integers(0, pad + 2 * kernel))} }}"
        return larger + layer("Crop", top, f"{top}a {bottom}", where)
    if kind == "slice":
        tops = f'top: "{top}b" slice_param {{ axis: 2 slice_point: {kernel} }}'
        return layer("Slice", f"{top}a", bottom, tops) + layer("ReLU", top, f"{top}b")
    return layer("ReLU", top, bottom)


@st.composite
def nets(draw: st.DrawFn) -> tuple[str, str]:
    """A net of a few layers, and its last blob."""
    text, bottom = "", "x"
    for number in range(draw(st.integers(1, 4))):
        text += draw(windows(f"t{number}", bottom))
        bottom = f"t{number}"
    return text, bottom


def checked(net: NetDefinition, size: Size, blobs: list[str]) -> Tiling | Untileable:
    try:
        infer(net)
        infer(net, {"x": (1, 2, *size)})
        return find_tiling(net, "x", DECLARED, size, blobs)
    except PrototxtError:
        assume(False)
        raise


def is_any_window_empty(net: NetDefinition, size: Size) -> bool:
    """Whether a window of MAX begins behind its map, as it can where the stride is larger than it.

    Its cell is the least float32, as in Caffe: sums of that are no exact numbers, but infinite or
    NaN, and these ONNX Runtime's MAX gives as they are or not, whatever it makes of the net.
    """
    shapes = infer(net, {"x": (1, 2, *size)}).blobs
    for pooling in (each for each in net.layers if each.type == "Pooling"):
        of_bottom, cells = shapes[pooling.bottoms[0]][2:], shapes[pooling.tops[0]][2:]
        window = pool_window(pooling, of_bottom)
        axes = zip(cells, window.stride, window.pad, of_bottom, strict=True)
        if any((count - 1) * stride - pad >= end for count, stride, pad, end in axes):
            return True
    return False


@contextmanager
def weights_of(net: NetDefinition, whole_numbers: bool) -> Iterator[Path | None]:
    """A model with weights of -1, 0 and 1, or with normal ones; None where the net takes none."""
    random = np.random.default_rng(0)

    def drawn(shape: tuple[int, ...]) -> Array:
        normal = random.standard_normal(shape) / np.sqrt(prod(shape[1:]))
        return (random.integers(-1, 2, shape) if whole_numbers else normal).astype(np.float32)

    shapes = infer(net)
    layers = [
        model_layer(each.name, each.type, *map(drawn, shapes.params_of(each)))
        for each in net.layers
        if shapes.params_of(each)
    ]
    with tempfile.TemporaryDirectory() as folder:
        yield write_model(Path(folder) / "n.caffemodel", *layers) if layers else None


@contextmanager
def loaded(engine: Engine, net: NetDefinition, whole_numbers: bool = True) -> Iterator[LoadedNet]:
    """The net with such weights."""
    with weights_of(net, whole_numbers) as model, engine.load(net, model) as opened:
        yield opened


def run(net: LoadedNet, data: Array, blobs: list[str]) -> dict[str, Array]:
    if net.inputs["x"] != data.shape:
        net.reshape({"x": data.shape})
    return net.forward({"x": data}, blobs)


def pixels(size: Size) -> Array:
    return np.random.default_rng(1).integers(0, 4, (1, 2, *size)).astype(np.float32)


def tiled(net: LoadedNet, data: Array, plan: TilePlan) -> dict[str, Array]:
    blobs = list(plan.maps)
    return run_tiles(plan, cutter(data), lambda part: run(net, part, blobs), in_memory)


def check_cells(net: NetDefinition, plan: TilePlan) -> None:
    """The tiles share the cells of each map out, and see the whole field of each that they give."""
    placed = fields(net, {"x": (1, 2, *plan.size)})
    shapes = infer(net, {"x": (1, 2, *plan.size)})
    for blob, cells in plan.maps.items():
        assert shapes.blobs[blob][2:] == cells
        field, owners = placed[blob], np.zeros(cells, int)
        for tile in chain.from_iterable(plan.rows):
            part = tile.parts[blob]
            owners[part.cells] += 1
            for axis in range(2):
                own, start = part.cells[axis], tile.start[axis]
                end = start + plan.tile[axis]
                if own.start == own.stop:
                    continue
                low = field.offset[axis] + field.stride[axis] * own.start
                high = field.offset[axis] + field.stride[axis] * (own.stop - 1) + field.size[axis]
                assert start == 0 or low >= start
                assert end == plan.size[axis] or high <= end
                assert own.start - part.source[axis].start == start / field.stride[axis]
        assert (owners == 1).all()


@settings(max_examples=60, deadline=None)
@given(nets(), st.integers(20, 90), st.integers(20, 90), st.integers(1, 90))
def test_tiles_share_out_the_cells_that_they_see_whole(
    drawn: tuple[str, str], height: int, width: int, side: int
) -> None:
    net, blob = net_of(drawn[0]), drawn[1]
    tiling = checked(net, (height, width), [blob])
    assert isinstance(tiling, Tiling), tiling
    for plan in (tiling.plan(tiling.largest(side)), tiling.exactly(tiling.smallest)):
        assert plan.tile[0] in (height, *range(height % tiling.stride[0], height, tiling.stride[0]))
        check_cells(net, plan)


@settings(max_examples=50, deadline=None)
@given(nets(), st.integers(24, 70), st.integers(24, 70), st.integers(1, 50))
def test_tiles_give_the_numbers_of_the_whole(
    engine: EmbeddedEngine, drawn: tuple[str, str], height: int, width: int, side: int
) -> None:
    net, blob = net_of(drawn[0]), drawn[1]
    tiling = checked(net, (height, width), [blob])
    assert isinstance(tiling, Tiling), tiling
    assume(not is_any_window_empty(net, (height, width)))
    plan = tiling.exactly(tiling.largest(side))
    assume(plan.count > 1)
    data = pixels((height, width))
    with loaded(engine, net) as opened:
        whole = run(opened, data, [blob])[blob]
        np.testing.assert_array_equal(tiled(opened, data, plan)[blob], whole)


#: Pads, rounds up, normalizes and joins; windows are 8 pixels apart.
PADDED = (
    conv("c1", "x", "kernel_size: 5 stride: 2 pad: 2")
    + pool("p1", "c1", "pool: MAX kernel_size: 3 stride: 2")
    + layer("LRN", "n1", "p1", "lrn_param { norm_region: WITHIN_CHANNEL local_size: 3 }")
    + conv("c2", "n1", "kernel_size: 3 pad: 1")
    + 'layer { name: "r2" type: "ReLU" bottom: "c2" top: "c2" }\n'
    + conv("c3", "n1", "kernel_size: 1")
    + layer("Concat", "j", "c2 c3")
    + pool("p2", "j", "pool: AVE kernel_size: 3 stride: 2 pad: 1")
    + conv("y", "p2", "kernel_size: 3 pad: 1")
    + layer("Softmax", "prob", "y")
)


@pytest.mark.parametrize("remainder", range(8))
def test_every_remainder_of_the_size(engine: EmbeddedEngine, remainder: int) -> None:
    """Tiles of many cells give the very bits of the whole, and those of few its scores."""
    net, blobs = net_of(PADDED), ["prob", "y", "c2"]
    for side, bound in (64, 1e-6), (144, 0):  # there are many small tiles
        size = (side + remainder, side + 8 + (3 * remainder + 1) % 8)
        tiling = find_tiling(net, "x", DECLARED, size, blobs)
        assert isinstance(tiling, Tiling), tiling
        assert tiling.stride == (8, 8)
        tile = tiling.smallest if bound else tiling.smallest_exact
        plan = tiling.exactly(tile)
        check_cells(net, plan)
        assert plan.count > 1
        assert (tiling.fewest_cells(tile) > EXACT_CELLS) == (bound == 0)
        data = np.random.default_rng(2).standard_normal((1, 2, *size)).astype(np.float32)
        with loaded(engine, net, whole_numbers=False) as opened:
            whole = run(opened, data, blobs)
            for blob, values in tiled(opened, data, plan).items():
                close(values, whole[blob], bound)


def close(values: Array, whole: Array, bound: float) -> None:
    """No value is further off than `bound` times the largest."""
    assert values.shape == whole.shape
    assert np.abs(values - whole).max() <= bound * np.abs(whole).max()


@pytest.mark.parametrize("remainder", [0, 3, 7])
def test_tiles_in_caffe(caffe_engine: PycaffeEngine, remainder: int) -> None:
    net, size = net_of(PADDED), (96 + remainder, 104 + remainder)
    tiling = find_tiling(net, "x", DECLARED, size, ["prob"])
    assert isinstance(tiling, Tiling), tiling
    data = np.random.default_rng(2).standard_normal((1, 2, *size)).astype(np.float32)
    with loaded(caffe_engine, net, whole_numbers=False) as opened:
        whole = run(opened, data, ["prob"])["prob"]
        for tile in tiling.smallest, tiling.smallest_exact:
            plan = tiling.exactly(tile)
            assert plan.count > 1
            close(tiled(opened, data, plan)["prob"], whole, 1e-5)


C1 = conv("c1", "x", "kernel_size: 3 stride: 2")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (C1 + layer("InnerProduct", "y", "c1", "inner_product_param { num_output: 1 }"),
         "layer 'y' (InnerProduct) looks at the whole map"),
        (C1 + pool("y", "c1", "pool: AVE global_pooling: true"),
         "layer 'y' (Pooling) looks at the whole map"),
        (C1 + layer("MVN", "y", "c1"), "layer 'y' (MVN) looks at the whole map"),
        # In place: what the blob was before is no fault of the layer that made it.
        (C1 + 'layer { name: "mvn" type: "MVN" bottom: "c1" top: "c1" }\n'
         + layer("ReLU", "y", "c1"), "layer 'mvn' (MVN) looks at the whole map"),
        (C1 + layer("Normalize", "y", "c1", "norm_param { }"),
         "layer 'y' (Normalize) looks at the whole map"),
        (C1 + layer("BatchNorm", "y", "c1", "batch_norm_param { use_global_stats: false }"),
         "layer 'y' (BatchNorm) looks at the whole map"),
        # The gate of a squeeze and excitation: the layer that looks at everything is named.
        (C1 + pool("gate", "c1", "pool: AVE global_pooling: true")
         + layer("Flatten", "flat", "gate")
         + layer("Scale", "y", "c1 flat", "scale_param { axis: 0 }"),
         "layer 'gate' (Pooling) looks at the whole map"),
        (C1 + layer("Permute", "y", "c1", "permute_param { order: [0, 1, 3, 2] }"),
         "layer 'y' (Permute) moves numbers to places that are not known"),
        (C1 + layer("Interp", "y", "c1", "interp_param { height: 30 width: 30 }"),
         "layer 'y' (Interp) scales maps of different sizes by different factors"),
        (C1 + layer("DummyData", "like", "", "dummy_data_param { shape { dim: [1, 1, 5, 5] } }")
         + layer("Crop", "y", "c1 like", "crop_param { offset: 1 }"),
         "layer 'y' (Crop) gives a map that does not grow with the input"),
        (conv("c1", "x", "kernel_size: 1")
         + layer("DummyData", "of", "", "dummy_data_param { shape { dim: [1, 2, 24, 24] } }")
         + layer("Eltwise", "y", "c1 of"), "layer 'y' (Eltwise) takes no input of 25x24"),
        (C1 + layer("DummyData", "y", "", "dummy_data_param { shape { dim: [1, 1, 5, 5] } }"),
         "layer 'y' (DummyData) gives cells whose places in the input are not known"),
    ],
)  # fmt: skip
def test_what_forbids_tiles_is_named(text: str, words: str) -> None:
    tiling = find_tiling(net_of(text), "x", DECLARED, (301, 300), ["y"])
    assert isinstance(tiling, Untileable)
    assert str(tiling) == words


def test_what_the_blob_does_not_depend_on_forbids_nothing() -> None:
    text = C1 + layer("MVN", "m", "c1") + layer("ReLU", "y", "c1")
    assert isinstance(find_tiling(net_of(text), "x", DECLARED, (301, 300), ["y"]), Tiling)


def test_a_deconvolution_needs_no_multiple_of_its_denominator() -> None:
    """A cell every half pixel is one at every pixel; strides of 4 on the way count."""
    up = conv("up", "c1", "kernel_size: 4 stride: 4", "Deconvolution")
    tiling = find_tiling(net_of(C1 + up), "x", DECLARED, (301, 300), ["up"])
    assert isinstance(tiling, Tiling)
    assert tiling.stride == (2, 2)
    assert tiling.plan((101, 100)).maps == {"up": (600, 596)}


def test_an_interpolation_by_a_factor_is_the_same_at_every_size(engine: EmbeddedEngine) -> None:
    net = net_of(C1 + layer("Interp", "y", "c1", "interp_param { zoom_factor: 2 }"))
    tiling = find_tiling(net, "x", DECLARED, (97, 98), ["y"])
    assert isinstance(tiling, Tiling)
    data, plan = pixels((97, 98)), tiling.plan(tiling.largest(40))
    check_cells(net, plan)
    with loaded(engine, net) as opened:
        close(tiled(opened, data, plan)["y"], run(opened, data, ["y"])["y"], 1e-6)


@pytest.mark.parametrize("size", [(40_000, 40_001), (100_000, 90)])
def test_an_input_may_be_larger_than_caffe_counts(size: Size) -> None:
    net = net_of(PADDED)
    tiling = find_tiling(net, "x", DECLARED, size, ["prob"])
    assert isinstance(tiling, Tiling)
    plan = tiling.plan(tiling.largest(1000))
    assert max(plan.tile) <= 1000
    rows, columns = plan.starts
    assert (rows[-1] + plan.tile[0], columns[-1] + plan.tile[1]) == size


def test_tiles_are_no_larger_than_their_number_needs() -> None:
    tiling = find_tiling(net_of(PADDED), "x", DECLARED, (1003, 1003), ["prob"])
    assert isinstance(tiling, Tiling)
    for side in range(100, 1003, 50):
        largest = tiling.exactly(tiling.largest(side))
        plan = tiling.plan(tiling.largest(side))
        assert plan.count == largest.count
        assert plan.tile <= largest.tile
        if plan.count > 1:
            smaller = (plan.tile[0] - tiling.stride[0], plan.tile[1])
            assert tiling.exactly(smaller).count > plan.count
