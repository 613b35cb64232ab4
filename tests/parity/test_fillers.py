"""`init` against the params that real Caffe gives the same nets."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pytest
from filling import initialize
from numpy.typing import NDArray

from netsurgery.engines.pycaffe import PycaffeEngine
from netsurgery.net.net import NetDefinition

pytestmark = pytest.mark.caffe

Array = NDArray[np.float32]

INPUT = 'layer { name: "x" type: "Input" top: "x" input_param { shape { dim: [2, 6, 9, 8] } } }\n'

#: What stands in a convolution's weight_filler.
CONVOLUTIONS = {
    "nothing": "",
    "constant": 'type: "constant" value: -1.5',
    "gaussian": 'type: "gaussian" mean: 0.5 std: 0.2',
    "sparse": 'type: "gaussian" std: 0.1 sparse: 12',
    "uniform": 'type: "uniform" min: -0.5 max: 2',
    "unitball": 'type: "positive_unitball"',
    "bilinear": 'type: "bilinear"',
    **{
        f"{kind} {norm}": f'type: "{kind}" variance_norm: {norm}'
        for kind in ("xavier", "msra")
        for norm in ("FAN_IN", "FAN_OUT", "AVERAGE")
    },
}


def conv(name: str, filler: str, kind: str, more: str = "") -> str:
    weight = f"weight_filler {{ {filler} }}" if filler else ""
    return (
        f'layer {{ name: "{name}" type: "{kind}" bottom: "x" top: "{name}" convolution_param {{ '
        f'num_output: 80 kernel_size: 5 {weight} bias_filler {{ type: "uniform" max: 3 }} {more} '
        "} }\n"
    )


OTHERS = """
layer { name: "ip" type: "InnerProduct" bottom: "x" top: "ip" inner_product_param {
  num_output: 50 weight_filler { type: "xavier" variance_norm: FAN_OUT } } }
layer { name: "turned" type: "InnerProduct" bottom: "x" top: "turned" inner_product_param {
  num_output: 50 transpose: true weight_filler { type: "msra" } bias_term: false } }
layer { name: "scale" type: "Scale" bottom: "x" top: "scale" scale_param { bias_term: true
  num_axes: 3 bias_filler { type: "gaussian" std: 3 } } }
layer { name: "scaled" type: "Scale" bottom: "x" bottom: "scale" top: "scaled" scale_param {
  axis: 0 bias_term: true bias_filler { value: 7 } } }
layer { name: "filled" type: "Scale" bottom: "x" top: "filled" scale_param { num_axes: -1
  filler { type: "uniform" min: 1 max: 2 } } }
layer { name: "bias" type: "Bias" bottom: "x" top: "bias" bias_param { num_axes: -1
  filler { type: "uniform" min: -1 max: 2 } } }
layer { name: "prelu" type: "PReLU" bottom: "x" top: "prelu" }
layer { name: "shared" type: "PReLU" bottom: "x" top: "shared" prelu_param {
  channel_shared: true filler { value: 0.5 } } }
layer { name: "bn" type: "BatchNorm" bottom: "x" top: "bn" }
layer { name: "own" type: "Parameter" top: "own" parameter_param { shape { dim: [3, 4] } } }
"""

SEQUENCES = """
layer { name: "in" type: "Input" top: "x" top: "cont" top: "still" input_param {
  shape { dim: [3, 2, 60] } shape { dim: [3, 2] } shape { dim: [2, 30] } } }
layer { name: "lstm" type: "LSTM" bottom: "x" bottom: "cont" bottom: "still" top: "lstm"
  recurrent_param { num_output: 40 weight_filler { type: "uniform" min: -0.08 max: 0.08 }
  bias_filler { type: "gaussian" mean: 5 } } }
layer { name: "rnn" type: "RNN" bottom: "x" bottom: "cont" top: "rnn"
  recurrent_param { num_output: 80 weight_filler { type: "xavier" } bias_filler { value: 2 } } }
layer { name: "words" type: "Embed" bottom: "cont" top: "words" embed_param { num_output: 70
  input_dim: 40 weight_filler { type: "gaussian" std: 4 } bias_filler { value: 1 } } }
"""

NETS = {
    "convolutions": INPUT + "".join(conv(k, v, "Convolution") for k, v in CONVOLUTIONS.items()),
    "groups": INPUT
    + "".join(conv(k, v, "Convolution", "group: 2") for k, v in CONVOLUTIONS.items()),
    "deconvolutions": INPUT
    + "".join(conv(k, v, "Deconvolution") for k, v in CONVOLUTIONS.items() if k not in ("sparse",)),
    "others": INPUT + OTHERS,
    "sequences": SEQUENCES,
}


@pytest.mark.parametrize("name", list(NETS))
def test_params_are_distributed_as_caffes_own(
    name: str, tmp_path: Path, caffe_engine: PycaffeEngine
) -> None:
    prototxt = tmp_path / "net.prototxt"
    prototxt.write_text(NETS[name])
    weights = tmp_path / ("w.caffemodel.h5" if name == "others" else "w.caffemodel")
    initialize(NetDefinition.read(prototxt), weights, seed=7, as_caffe=True)
    with caffe_engine.load(prototxt) as theirs, caffe_engine.load(prototxt, weights) as ours:
        assert ours.params == theirs.params
        for layer, shapes in theirs.params.items():
            for index in range(len(shapes)):
                pair = ours.param(layer, index), theirs.param(layer, index)
                assert_alike(*pair, f"{layer}[{index}]")


def assert_alike(ours: Array, theirs: Array, what: str) -> None:
    """Of one distribution, as far as so many samples can show."""
    if np.unique(theirs).size <= 3 or what == "bilinear[0]":
        np.testing.assert_allclose(ours, theirs, rtol=1e-6, err_msg=what)
        return
    assert not np.array_equal(ours, theirs), what
    count, std = theirs.size, float(theirs.std())
    # Five standard errors of a difference; those of std by the fourth moment.
    sigma = 5 * 2**0.5
    assert abs(ours.mean() - theirs.mean()) <= sigma * std / count**0.5, what
    fourth = float(((theirs - theirs.mean()) ** 4).mean()) / std**4
    assert abs(ours.std() / std - 1) <= sigma * ((fourth - 1) / 4 / count) ** 0.5, what
    zeros = float((theirs == 0).mean())
    assert abs(float((ours == 0).mean()) - zeros) <= sigma * (0.25 / count) ** 0.5, what
    # Kolmogorov and Smirnov: the largest distance of the two distribution functions.
    values = np.concatenate([ours.ravel(), theirs.ravel()])
    values.sort()
    ranks = [np.searchsorted(np.sort(a.ravel()), values, "right") / a.size for a in (ours, theirs)]
    assert np.abs(ranks[0] - ranks[1]).max() <= 3.2 * (2 / count) ** 0.5, what
    if fourth < 2 and "unitball" not in what:  # uniform: the ends are sharp
        width = theirs.max() - theirs.min()
        for end in (np.min, np.max):
            assert abs(float(end(ours) - end(theirs))) <= 20 / count * width, what


def test_a_batch_norm_can_be_run(tmp_path: Path, caffe_engine: PycaffeEngine) -> None:
    """In real Caffe it then changes next to nothing, while Caffe's own zeros lose twenty layers."""
    prototxt = tmp_path / "net.prototxt"
    blobs = ["x", *(f"bn{i}" for i in range(20))]
    deep = "".join(
        f'layer {{ name: "{top}" type: "BatchNorm" bottom: "{bottom}" top: "{top}" }}\n'
        for bottom, top in itertools.pairwise(blobs)
    )
    prototxt.write_text(INPUT + deep)
    x = np.random.default_rng(0).standard_normal
    for as_caffe in (False, True):
        weights = tmp_path / f"{as_caffe}.caffemodel"
        initialize(NetDefinition.read(prototxt), weights, seed=7, as_caffe=as_caffe)
        with caffe_engine.load(prototxt, weights) as net:
            data = x(net.inputs["x"]).astype(np.float32)
            output = net.forward({"x": data}, ["bn19"])["bn19"]
        if as_caffe:
            assert not np.isfinite(output).any()
        else:
            np.testing.assert_allclose(output, data * (1 + 1e-5) ** -10, rtol=1e-5)


def test_shared_params_are_filled_alike(tmp_path: Path, caffe_engine: PycaffeEngine) -> None:
    shared = 'param { name: "w" } inner_product_param { num_output: 50 bias_term: false %s }'
    text = INPUT + "".join(
        f'layer {{ name: "{name}" type: "InnerProduct" bottom: "x" top: "{name}" {shared % own} }}'
        for name, own in (("one", 'weight_filler { type: "xavier" }'), ("other", ""))
    )
    prototxt = tmp_path / "net.prototxt"
    prototxt.write_text(text)
    initialize(NetDefinition.read(prototxt), tmp_path / "w.caffemodel", seed=7)
    with caffe_engine.load(prototxt, tmp_path / "w.caffemodel") as net:
        assert np.array_equal(net.param("one", 0), net.param("other", 0))
        assert np.abs(net.param("one", 0)).max() == pytest.approx((3 / 432) ** 0.5, rel=0.01)
