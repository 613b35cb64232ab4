"""Stages of tiles: where nets are cut, what the stages give, and what they cost.

Nets and weights are those of the tests of tiles: small whole numbers where a sum is to be exact in
whatever order it is added up.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from test_tiling import (
    C1,
    DECLARED,
    PADDED,
    checked,
    close,
    conv,
    engine,
    is_any_window_empty,
    layer,
    net_of,
    nets,
    pixels,
    pool,
    run,
    weights_of,
    windows,
)

from netsurgery.engines.contract import Engine
from netsurgery.engines.ort import EmbeddedEngine
from netsurgery.engines.pycaffe import PycaffeEngine
from netsurgery.io import memory
from netsurgery.maps import tile_runs
from netsurgery.maps.tile_runs import cutter, run_stages
from netsurgery.maps.tile_store import in_memory
from netsurgery.net.cuts import find_cuts, part_between
from netsurgery.net.memory import embedded_memory
from netsurgery.net.net import NetDefinition
from netsurgery.net.shapes import infer
from netsurgery.net.stages import StagedPlan
from netsurgery.net.staging import Staging, find_stages
from netsurgery.net.tiles import EXACT_CELLS, Tiling
from netsurgery.net.tiling import find_tiling

Array = NDArray[np.float32]
Size = tuple[int, int]

__all__ = ["engine"]  # the fixture


def staging_of(net: NetDefinition, size: Size, blobs: list[str]) -> Staging:
    staging = find_stages(net, "x", DECLARED, size, blobs, embedded_memory)
    assert isinstance(staging, Staging), staging
    return staging


@contextmanager
def staged(
    engine: Engine, net: NetDefinition, plan: StagedPlan, data: Array, whole_numbers: bool
) -> Iterator[tuple[dict[str, Array], dict[str, Array]]]:
    """The blobs of the stages, and those of the whole."""
    with weights_of(net, whole_numbers) as model, ExitStack() as stack:
        nets = {}
        for stage in plan.stages:
            nets[stage] = stack.enter_context(engine.load(stage.net, model))
            nets[stage].reshape({stage.input: stage.input_shape})
        values = run_stages(
            plan,
            cutter(data),
            lambda stage, part: nets[stage].forward({stage.input: part}, stage.blobs),
            in_memory,
        )
        whole = stack.enter_context(engine.load(net, model))
        yield values, run(whole, data, list(plan.maps))


def all_cut(staging: Staging, sides: list[int]) -> StagedPlan:
    """Every cut made, and each stage in tiles of about such a side."""
    tiles = {}
    for start, side in zip(range(staging.end), sides, strict=False):
        tiles[start, start + 1] = staging.parts[start, start + 1].tiling.largest(side)
    return staging.plan(tiles)


@st.composite
def strided_nets(draw: st.DrawFn) -> tuple[str, str]:
    """A net with a stride, behind which there is a layer more; and its last blob."""
    text, bottom = draw(nets())
    strided = conv("s", bottom, "kernel_size: 3 stride: 2 pad: 1")
    return text + strided + draw(windows("z", "s")), "z"


@settings(max_examples=60, deadline=None)
@given(
    strided_nets(),
    st.integers(24, 70),
    st.integers(24, 70),
    st.lists(st.integers(1, 40), min_size=6),
    st.data(),
)
def test_stages_give_the_numbers_of_the_whole(
    engine: EmbeddedEngine,
    drawn: tuple[str, str],
    height: int,
    width: int,
    sides: list[int],
    data: st.DataObject,
) -> None:
    """Of the last blob, and of another on the way."""
    net = net_of(drawn[0])
    blobs = [drawn[1], data.draw(st.sampled_from([*net.blob_names][1:-1]))]
    assume(isinstance(checked(net, (height, width), blobs), Tiling))
    assume(not is_any_window_empty(net, (height, width)))
    plan = all_cut(staging_of(net, (height, width), blobs), sides)
    with staged(engine, net, plan, pixels((height, width)), True) as (values, whole):
        for blob in blobs:
            np.testing.assert_array_equal(values[blob], whole[blob])


@settings(max_examples=60, deadline=None)
@given(strided_nets(), st.integers(24, 300), st.integers(24, 300), st.data())
def test_a_part_is_cut_into_tiles_as_if_it_were_walked_over_by_itself(
    drawn: tuple[str, str], height: int, width: int, data: st.DataObject
) -> None:
    net = net_of(drawn[0])
    blobs = [drawn[1], data.draw(st.sampled_from([*net.blob_names][1:-1]))]
    assume(isinstance(checked(net, (height, width), blobs), Tiling))
    staging = staging_of(net, (height, width), blobs)
    for part in staging.parts.values():
        (source,) = part.net.inputs
        assert source.shape is not None
        alone = find_tiling(part.net, part.input, source.shape, part.tiling.size, part.blobs)
        assert isinstance(alone, Tiling)
        assert part.tiling.counts == alone.counts
        for axis, own in zip(part.tiling.axes, alone.axes, strict=True):
            assert (axis.size, axis.stride) == (own.size, own.stride)
            assert (axis.overlap, axis.smallest) == (own.overlap, own.smallest)
            for side in (1, axis.size // 2):
                tile = axis.largest(side)
                assert list(axis.cuts(tile)) == list(own.cuts(tile))


@pytest.mark.parametrize("remainder", range(8))
def test_every_remainder_of_the_size(engine: EmbeddedEngine, remainder: int) -> None:
    """Tiles of many cells give the very bits of the whole, and those of few its scores."""
    net, blobs = net_of(PADDED), ["prob", "y", "c2", "p1"]
    for side, bound in (64, 1e-6), (144, 0):  # there are many small tiles
        size = (side + remainder, side + 8 + (3 * remainder + 1) % 8)
        staging = staging_of(net, size, blobs)
        exact = {
            ends: part.tiling.smallest_exact
            for ends, part in staging.parts.items()
            if ends[1] == ends[0] + 1
        }
        plan = all_cut(staging, [1] * 9) if bound else staging.plan(exact)
        assert plan.cuts == ("c1", "p1", "p2")
        assert all(stage.plan.count > 1 for stage in plan.stages)
        assert plan.is_exact(1) == (bound == 0)
        data = np.random.default_rng(2).standard_normal((1, 2, *size)).astype(np.float32)
        with staged(engine, net, plan, data, False) as (values, whole):
            for blob in blobs:
                close(values[blob], whole[blob], bound)


@pytest.mark.parametrize("remainder", [0, 3, 7])
def test_stages_in_caffe(caffe_engine: PycaffeEngine, remainder: int) -> None:
    net, size = net_of(PADDED), (96 + remainder, 104 + remainder)
    plan = all_cut(staging_of(net, size, ["prob"]), [40, 20, 12, 9])
    data = np.random.default_rng(2).standard_normal((1, 2, *size)).astype(np.float32)
    with staged(caffe_engine, net, plan, data, False) as (values, whole):
        close(values["prob"], whole["prob"], 1e-5)


#: Adds maps to what convolutions make of them, one as it is and one of a pooling.
RESIDUAL = (
    conv("c1", "x", "kernel_size: 3 stride: 2 pad: 1")
    + conv("c2", "c1", "kernel_size: 5 pad: 2")
    + layer("Eltwise", "j", "c1 c2")
    + conv("c3", "j", "kernel_size: 3 stride: 2 pad: 1")
    + pool("p", "c3", "kernel_size: 3 pad: 1")
    + conv("c4", "p", "kernel_size: 3 pad: 1")
    + layer("Bias", "k", "p c4", "bias_param { axis: 0 }")
    + conv("y", "k", "kernel_size: 3 pad: 1")
)


def test_a_residual_block_is_not_cut_where_its_sum_would_be_rounded_otherwise(
    engine: EmbeddedEngine,
) -> None:
    """ONNX Runtime joins a sum to a Convolution where another one made the other map, too."""
    net, size = net_of(RESIDUAL), (62, 70)
    staging = staging_of(net, size, ["y"])
    assert staging.cuts == ("j", "k")
    plan = all_cut(staging, [max(size)] * staging.end)
    data = np.random.default_rng(2).standard_normal((1, 2, *size)).astype(np.float32)
    with staged(engine, net, plan, data, False) as (values, whole):
        assert values["y"].tobytes() == whole["y"].tobytes()


RELU = 'layer { name: "r" type: "ReLU" bottom: "c1" top: "c1" }\n'
C2 = conv("c2", "c1", "kernel_size: 3 stride: 2")


@pytest.mark.parametrize(
    ("text", "blobs", "cuts"),
    [
        (C1 + C2, "c2", ["c1"]),
        (C1 + C2 + conv("y", "c2", "kernel_size: 3"), "y", ["c1", "c2"]),
        # Nothing is gained where the cells lie no further apart.
        (C1 + conv("s", "c1", "kernel_size: 3") + conv("y", "s", "kernel_size: 3"), "y", ["c1"]),
        # A chain in place is cut at its end, and never before a layer that joins the one before.
        (C1 + RELU + C2, "c2", ["c1"]),
        (C1 + layer("ReLU", "r", "c1") + conv("y", "r", "kernel_size: 3"), "y", ["r"]),
        # A blob between branches, and none across them.
        (C1 + C2 + layer("Concat", "y", "c2 c2"), "y", ["c1", "c2"]),
        (C1 + C2 + pool("p", "c1", "kernel_size: 3 stride: 2") + layer("Concat", "j", "c2 p")
         + conv("y", "j", "kernel_size: 3"), "y", ["c1", "j"]),
        (C1 + conv("u", "c1", "kernel_size: 4 stride: 2", "Deconvolution")
         + layer("Crop", "y", "x u", "crop_param { axis: 2 }"), "y", []),
        # What is wanted before a cut is no hindrance; what reads past it is.
        (C1 + C2 + conv("y", "c2", "kernel_size: 3"), "c1 y", ["c1", "c2"]),
        (C1 + C2 + conv("y", "c2", "kernel_size: 3") + layer("ReLU", "z", "c1"), "y z", []),
        # Layers that share params stay together.
        (conv("c1", "x", "kernel_size: 3 stride: 2").replace("convolution_param",
         'param { name: "w" } convolution_param')
         + conv("c2", "c1", "kernel_size: 3 stride: 2").replace("convolution_param",
         'param { name: "w" } convolution_param') + conv("y", "c2", "kernel_size: 1"), "y", ["c2"]),
    ],
)  # fmt: skip
def test_where_a_net_is_cut(text: str, blobs: str, cuts: list[str]) -> None:
    net = net_of(text)
    assert list(find_cuts(net, infer(net), blobs.split())) == cuts


def test_a_part_keeps_the_places_of_its_text() -> None:
    net = net_of(C1 + C2)
    part = part_between(net, "c1", (1, 2, 11, 11), ["c2"])
    assert [each.name for each in part.layers] == ["c2"]
    assert part.layers[0].error("").line == net.layers[1].error("").line
    assert part_between(net, None, DECLARED, ["c2"]) is net


#: Half of it sees much, behind strides; what it sees there is dear to compute twice.
DEEP = (
    conv("c1", "x", "kernel_size: 5 stride: 2 pad: 2")
    + pool("p1", "c1", "kernel_size: 3 stride: 2")
    + "".join(conv(f"d{n}", f"d{n - 1}" if n else "p1", "kernel_size: 5 pad: 2") for n in range(8))
)


def test_stages_compute_less_than_tiles_of_the_whole() -> None:
    staging = staging_of(net_of(DEEP), (2000, 2003), ["d7"])
    for side in (400, 600, 1000):
        plan = staging.of_side(side, EXACT_CELLS + 1)
        assert plan is not None
        assert plan.cuts
        unstaged = staging.plan({(0, staging.end): staging.tiling.largest(side)})
        assert 1 <= plan.overhead < 0.7 * unstaged.overhead
        assert max(plan.stages[0].plan.tile) <= side


def test_what_is_planned_fits_and_more_memory_computes_no_more() -> None:
    staging = staging_of(net_of(DEEP), (4000, 4003), ["d7"])
    least = staging.least(EXACT_CELLS + 1).memory
    assert staging.within(int(0.99 * least), EXACT_CELLS + 1) is None
    last = np.inf
    for allowed in (least, 2 * least, 4 * least, 16 * least):
        plan = staging.within(allowed, EXACT_CELLS + 1)
        assert plan is not None
        assert plan.memory <= allowed
        assert plan.is_exact(1)
        assert plan.overhead <= last * 1.001
        last = plan.overhead


def test_the_memory_of_stages_does_not_grow_with_the_height(
    monkeypatch: pytest.MonkeyPatch, engine: EmbeddedEngine
) -> None:
    """Of the map between two stages only a band is kept, which is in the memory planned."""
    net, bands = net_of(DEEP), []

    def empty(shape: tuple[int, ...], kind: type, what: str) -> Array:
        if what.startswith("a band"):
            bands.append(shape)
        array: Array = memory.empty(shape, kind, what)
        return array

    monkeypatch.setattr(tile_runs, "empty", empty)
    for height in (800, 3200):
        size = (height, 203)
        staging = staging_of(net, size, ["d7"])
        first, second = staging.parts[0, 1], staging.parts[1, staging.end]
        plan = staging.plan(
            {(0, 1): first.tiling.largest(120), (1, staging.end): second.tiling.largest(110)}
        )
        running = [
            embedded_memory(
                stage.net, infer(stage.net, {stage.input: stage.input_shape}), stage.blobs
            )
            for stage in plan.stages
        ]
        with staged(engine, net, plan, pixels(size), True) as (values, whole):
            np.testing.assert_array_equal(values["d7"], whole["d7"])
        assert 4 * np.prod(bands[-1]) <= plan.memory - sum(running) + 4 * 2 * 110
    assert bands[0] == bands[1]


def test_more_threads_want_more_cells() -> None:
    staging = staging_of(net_of(PADDED), (1000, 1003), ["prob"])
    for threads, cells in (1, 65), (16, 1280):
        plan = staging.of_side(500, cells)
        assert plan is not None
        assert plan.is_exact(threads)
        assert not plan.is_exact(1000)


def test_the_smallest_tile_is_one_that_layers_kept_for_their_params_take() -> None:
    """c2 shares c1's param, and is run along; it takes no input of 5 pixels."""
    shares = 'param { name: "w" } convolution_param'
    wide = conv("c0", "x", "kernel_size: 9").replace("num_output: 2", "num_output: 2 stride: 4")
    text = (
        conv("c1", "x", "kernel_size: 3 stride: 2").replace("convolution_param", shares)
        + wide
        + conv("c2", "c0", "kernel_size: 3 stride: 2").replace("convolution_param", shares)
    )
    staging = staging_of(net_of(text), (301, 303), ["c1"])
    for part in staging.parts.values():
        for tile in (part.tiling.smallest, part.tiling.smallest_exact):
            assert infer(part.net, {"x": (1, 2, *tile)})
    assert min(staging.tiling.smallest) >= 9


def shown(plan: StagedPlan) -> Mapping[str, Size]:
    return {stage.input: stage.plan.tile for stage in plan.stages}


def test_an_input_may_be_larger_than_caffe_counts() -> None:
    staging = staging_of(net_of(PADDED), (100_000, 90_001), ["prob"])
    plan = staging.within(1 << 40, EXACT_CELLS + 1)
    assert plan is not None
    assert plan.stages[0].plan.count > 1, shown(plan)
    assert plan.maps == staging.tiling.maps


def test_bundled_net_of_a_megapixel_computes_little_twice() -> None:
    """That it is worth while: 1.25 times the whole's at the very most."""
    folder = Path(__file__).parents[1] / "benchmarks"
    net = NetDefinition.read(folder / "caffenet_sized.prototxt")
    part = find_stages(net, "data", (1, 3, 227, 227), (2851, 2851), ["pool5"], embedded_memory)
    assert isinstance(part, Staging)
    plan = part.within(600 << 20, EXACT_CELLS + 1)
    assert plan is not None
    assert plan.overhead <= 1.25
