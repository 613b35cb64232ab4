"""Decimated nets in both engines: what the old net gives with zeros for the dropped weights.

Which weights those are is written out here.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Literal

import numpy as np
import pytest

import netsurgery as ns
from netsurgery.engines.pycaffe import PycaffeEngine

pytestmark = pytest.mark.caffe

FILL = 'weight_filler { type: "gaussian" std: 0.3 } bias_filler { type: "uniform" max: 0.5 }'
RANDOM = '{ type: "uniform" min: 0.5 max: 1.5 }'


def layer(kind: str, name: str, bottom: str, more: str = "", top: str = "") -> str:
    bottoms = " ".join(f'bottom: "{each}"' for each in bottom.split())
    return f'layer {{ name: "{name}" type: "{kind}" {bottoms} top: "{top or name}" {more} }}'


def conv(name: str, bottom: str, outputs: int, more: str) -> str:
    param = f"convolution_param {{ num_output: {outputs} {more} {FILL} }}"
    return layer("Convolution", name, bottom, param)


#: A large fc6 with all that may stand between it and what reads it; a layer beside it, joined.
NET = "\n".join(
    [
        'layer { name: "x" type: "Input" top: "x" input_param { shape { dim: [2, 3, 12, 14] } } }',
        conv("fc6", "x", 16, "kernel_size: 7 pad: 3 stride: 2"),
        layer("BatchNorm", "bn", "fc6", top="fc6"),
        layer("Scale", "scale", "fc6",
              f"scale_param {{ bias_term: true filler {RANDOM} bias_filler {RANDOM} }}", "fc6"),
        layer("Bias", "bias", "fc6", f"bias_param {{ filler {RANDOM} }}", "fc6"),
        layer("PReLU", "prelu", "fc6", f"prelu_param {{ filler {RANDOM} }}", "fc6"),
        conv("beside", "x", 2, "kernel_size: 1 stride: 2"),
        layer("Concat", "joined", "beside fc6"),
        conv("fc7", "joined", 5, "kernel_size: 1"),
        layer("InnerProduct", "ip", "joined", f"inner_product_param {{ num_output: 4 {FILL} }}"),
    ]
)  # fmt: skip


@pytest.mark.parametrize("engine", ["embedded", "caffe"])
def test_the_old_net_with_zeros(
    engine: Literal["embedded", "caffe"],
    tmp_path: Path,
    live_caffe_engine: Callable[[], PycaffeEngine],
) -> None:
    live_caffe_engine()
    paths = tmp_path / "net.prototxt", tmp_path / "w.caffemodel"
    paths[0].write_text(NET)
    ns.init(*paths, seed=1)
    rows = [0, 2, 5, 8, 10, 13]  # 16 x i / 6
    new = tmp_path / "new.caffemodel", tmp_path / "new.prototxt"
    with ns.edit(*paths, "decimate:fc6:kernel=3:outputs=6") as result:
        result.save(*new)
    assert "dilation: 3" in new[1].read_text()
    picture = np.random.default_rng(0).normal(size=(2, 3, 12, 14)).astype(np.float32)
    with (
        ns.Net(*paths, engine=engine) as old,
        ns.Net(new[1], new[0], engine=engine) as decimated,
    ):
        weight = old.params["fc6"][0]
        np.testing.assert_array_equal(decimated.params["fc6"][0], weight[rows, :, ::3, ::3])
        np.testing.assert_array_equal(decimated.params["scale"][1], old.params["scale"][1][rows])
        positions = np.zeros_like(weight)
        positions[:, :, ::3, ::3] = weight[:, :, ::3, ::3]
        weight[...] = positions
        gone = [2 + row for row in range(16) if row not in rows]
        old.params["fc7"][0][:, gone] = 0
        # Of an InnerProduct the columns are those of 18 maps.
        columns = old.params["ip"][0].reshape(4, 18, -1)
        columns[:, gone] = 0
        before, after = (net.forward(x=picture, blobs=["fc6"]) for net in (old, decimated))
        np.testing.assert_allclose(after["fc6"], before["fc6"][:, rows], atol=1e-5)
        for blob in ("fc7", "ip"):
            size = float(np.abs(before[blob]).max())
            assert size > 0.1
            np.testing.assert_allclose(after[blob], before[blob], atol=1e-5 * max(size, 1))
