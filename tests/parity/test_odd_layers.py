"""Layers at the edge of what Caffe takes: what it computes there, or that both refuse them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from parity.configurations import tolerance
from parity.conformance import Trial, compare, engines, prototxt

from netsurgery.engines.contract import EngineOptions
from netsurgery.engines.ort import open_engine
from netsurgery.engines.pycaffe import PycaffeEngine
from netsurgery.errors import EngineError, PrototxtError

pytestmark = pytest.mark.caffe

IMAGE = (2, 4, 3, 5)


def of(kind: str, body: str = "", *bottoms: tuple[int, ...], **others: object) -> Trial:
    return Trial(kind, body, bottoms or (IMAGE,), **others)  # type: ignore[arg-type]


SAME = [
    of("Clip", "clip_param { min: 1 max: -1 }"),
    of("Crop", "", IMAGE, (1, 1, 2, 2, 2)),
    of("Eltwise", "eltwise_param { operation: PROD }", IMAGE, IMAGE, IMAGE, in_place=True),
    of("Exp", "exp_param { shift: 1000 }"),
    of("Exp", "exp_param { base: 10 shift: 400 }"),
    of("Log", "log_param { base: 1.0000001 }", values=("positive",)),
    of("LRN", "lrn_param { norm_region: WITHIN_CHANNEL }", in_place=True),
    of("MVN", "", (2, 3, 7)),
    of("MVN", "mvn_param { across_channels: true }", (2, 5)),
    of("MVN", "mvn_param { normalize_variance: false across_channels: true }", (5,)),
    of("Pooling", "pooling_param { global_pooling: true pad: 0 stride: 1 }"),
    of("Power", "power_param { power: -1 scale: 0 }"),
    of("Power", "power_param { power: 0 scale: 0 shift: -2 }"),
    of("Power", "power_param { power: 0.5 scale: 0 shift: -1 }"),
]

REFUSED = [
    of("Bias", "", IMAGE, (1,)),
    of("Concat", "concat_param { axis: 1 concat_dim: 1 }", IMAGE, IMAGE),
    of("Convolution", "convolution_param { num_output: 1 kernel_size: 1 }", IMAGE, IMAGE),
    of("Crop", "", IMAGE, (1, 1, 2)),
    of("Eltwise"),
    of("Exp", "exp_param { base: nan }"),
    of("Log", "log_param { base: 1e300 }"),
    of("LSTM", "recurrent_param { num_output: 3 }"),
    of("MVN", "", (2, 3, 2, 2, 2)),
    of("Pooling", "pooling_param { kernel_size: 2 pool: AVE }", tops=2),
    of("Pooling", "pooling_param { global_pooling: true pad: 1 }"),
    of("Pooling", "pooling_param { global_pooling: true stride: 2 }"),
    of("ReLU", "", IMAGE, IMAGE),
    of("ReLU", tops=2),
    of("Scale", "scale_param { axis: 3 }", IMAGE, (3, 5)),
    of("Sigmoid", "", (0, 3)),
    of("Slice", tops=0),
    of("Slice", "slice_param { axis: 1 slice_dim: 1 }", tops=2),
    of("Tile"),
]

#: Caffe takes these, and writes into its bottom before it has read it.
LOST = [
    of("BatchReindex", "", IMAGE, (2,), values=("normal", "below 2"), in_place=True),
    of("Convolution", "convolution_param { num_output: 4 kernel_size: 1 }", in_place=True),
    of("Eltwise", "", IMAGE, IMAGE, in_place=True),
    of("InnerProduct", "inner_product_param { num_output: 5 axis: -1 }", in_place=True),
    of("LRN", in_place=True),
    of("Pooling", "pooling_param { kernel_size: 1 }", in_place=True),
]


def named(trial: Trial) -> str:
    return f"{trial.type} {trial.body}"


@pytest.mark.parametrize("trial", SAME, ids=named)
def test_is_as_in_caffe(live_caffe_engine: Callable[[], PycaffeEngine], trial: Trial) -> None:
    with engines(live_caffe_engine) as both:
        assert compare(both, trial, 1) <= tolerance(trial.type)


@pytest.mark.parametrize("trial", REFUSED, ids=named)
def test_is_refused_as_by_caffe(
    live_caffe_engine: Callable[[], PycaffeEngine], tmp_path: Path, trial: Trial
) -> None:
    with pytest.raises(EngineError), live_caffe_engine().load(refused(tmp_path, trial)) as net:
        net.forward({}, list(net.blobs))


@pytest.mark.parametrize("trial", LOST, ids=named)
def test_in_place_is_not_computed_where_caffe_loses_values(tmp_path: Path, trial: Trial) -> None:
    refused(tmp_path, trial)


@pytest.mark.parametrize("body", ["negative_slope: 1e300", "negative_slope: nan"])
def test_a_number_that_float32_does_not_hold_is_refused(tmp_path: Path, body: str) -> None:
    refused(tmp_path, of("ReLU", f"relu_param {{ {body} }}"))


def refused(folder: Path, trial: Trial) -> Path:
    """The net of `trial`, which the embedded engine has refused by its layer's name."""
    path = folder / "net.prototxt"
    path.write_text(prototxt(trial))
    with (
        pytest.raises(PrototxtError, match=r"layer 'tried'"),
        open_engine(EngineOptions()) as engine,
        engine.load(path) as net,
    ):
        net.forward({}, list(net.blobs))
    return path


def test_a_row_below_0_is_refused(tmp_path: Path) -> None:
    """Caffe refuses it in BatchReindex, and reads beside the weights in Embed."""
    body = "embed_param { num_output: 2 input_dim: 4 weight_filler { type: 'constant' } }"
    for trial in (of("Embed", body, (1,)), of("BatchReindex", "", (4, 2), (1,))):
        path = tmp_path / "net.prototxt"
        path.write_text(prototxt(trial))
        last = f"in{len(trial.bottoms) - 1}"
        with open_engine(EngineOptions()) as engine, engine.load(path) as net:
            net.forward({last: np.array([3], np.float32)}, ["out0"])
            with pytest.raises(EngineError, match="layer 'tried'"):
                net.forward({last: np.array([-1], np.float32)}, ["out0"])
